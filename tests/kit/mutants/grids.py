"""Grids with the mistakes that grids really have."""

import torch

from fokker.component import component
from fokker.grid import Grid, Karras, Knots, LogSNR, Quadratic, Uniform, karras_sigmas


def between(start, end, n):
    return torch.linspace(start, end, n, dtype=torch.float64)


@component
class TimesForSteps(Grid):
    """As many times as steps."""

    def times(self, perturbation, steps):
        return between(1.0, perturbation.t_min, steps)


@component
class SinglePrecision(Grid):
    """Made in torch's default precision."""

    def times(self, perturbation, steps):
        return torch.linspace(1, perturbation.t_min, steps + 1)


@component
class OffByOne(Grid):
    """1 - k / N without the step to the end: k / (N + 1) of the way at most."""

    def times(self, perturbation, steps):
        return between(1.0, perturbation.t_min, steps + 2)[:-1]


@component
class FromTheSecond(Knots):
    """Levels L down to 2: the index of level 1 is taken for 1."""

    def times(self, perturbation, steps):
        knots = self._knots(perturbation, steps)
        return knots[torch.linspace(len(knots) - 1, 1, steps + 1).round().long()]


@component
class FirstStepVanishes(Grid):
    """A short first step, of (N - 3) / 100: none up to N = 3."""

    def times(self, perturbation, steps):
        start = 1 - max(0, steps - 3) / 100
        return torch.cat([torch.ones(1, dtype=torch.float64), between(start, perturbation.t_min, steps)])


@component
class ZeroAppended(Grid):
    """A last time of 0 after that of sigma_min, which is 0 already where a table begins there."""

    def times(self, perturbation, steps):
        rest = between(1.0, perturbation.t_min, steps) if steps > 1 else torch.ones(1, dtype=torch.float64)
        return torch.cat([rest, torch.zeros(1, dtype=torch.float64)])

    def ends(self, perturbation, steps):
        return 1.0, 0.0


@component
class Ascending(Grid):
    """Noise levels in ascending order."""

    def times(self, perturbation, steps):
        return Karras().times(perturbation, steps).flip(0)


@component
class Jittered(Grid):
    """Times shifted at random, from the global generator."""

    def times(self, perturbation, steps):
        times = between(1.0, perturbation.t_min, steps + 1)
        times[1:-1] += (torch.rand(steps - 1, dtype=torch.float64) - 0.5) * 0.1 / steps
        return times


REMEMBERED = {}


@component
class Remembering(Grid):
    """Keeps a grid for every N, and forgets that another perturbation has another."""

    def times(self, perturbation, steps):
        if steps not in REMEMBERED:
            REMEMBERED[steps] = torch.linspace(1, perturbation.t_min, steps + 1, dtype=torch.float64)
        return REMEMBERED[steps]


@component
class IgnoresRho(Karras):
    """rho is accepted, and 7 is used."""

    def times(self, perturbation, steps):
        high, low = (float(v) for v in (-perturbation.log_snr(torch.tensor([1.0, perturbation.t_min])) / 2).exp())
        return perturbation.time(-2 * karras_sigmas(steps + 1, low, high).log())


MUTANTS = {
    "has as many times as steps": (Uniform(), TimesForSteps(), "length"),
    "is in single precision": (Uniform(), SinglePrecision(), "length"),
    "stops one step before the end": (Uniform(), OffByOne(), "ends"),
    "leaves out level 1": (Knots(), FromTheSecond(), "ends"),
    "repeats a time up to N = 3": (Quadratic(), FirstStepVanishes(), "decreasing"),
    "appends an end that is there already": (LogSNR(), ZeroAppended(), "decreasing"),
    "goes up": (Karras(), Ascending(), "decreasing"),
    "draws from the global generator": (Uniform(), Jittered(), "pure"),
    "remembers the grid of another perturbation": (Uniform(), Remembering(), "ends"),
    "accepts rho and ignores it": (Karras(), IgnoresRho(), "field[rho]"),
}
