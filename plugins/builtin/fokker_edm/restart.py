"""Restart sampling: down, up again with fresh noise, and down once more."""

from collections.abc import Iterator, Mapping
from typing import Annotated

import torch
from annotated_types import Ge, Gt, MinLen
from torch import Tensor

from fokker.component import component
from fokker.errors import ConfigError
from fokker.grid import karras_sigmas
from fokker.model import ScoreModel
from fokker.noise import Noise
from fokker.perturbation import Perturbation
from fokker.sampler import Claims, Sampler, State, by_step
from fokker_edm.heun import Heun, of_ratio, ratio

__all__ = ["Restart"]


@component
class Restart(Sampler):
    """Heun's method down the grid, with intervals that are gone through again (Xu et al., 2023, algorithm 1).

        repeat K times at the first time of the grid whose u = sigma / alpha is at most t_min:
            y <- y + sqrt(t_max^2 - u^2) z          y = x / alpha
            `steps` steps of Heun's method from t_max down to u, at the levels of Karras et al. (2022, eq. 5, rho = 7)

    The fresh noise forgets errors that were made above, which a deterministic sampler carries to its end. The source
    begins at the time of the grid that is nearest to t_min, here it is the first one below, or the last of all, so
    that there always is one, and evaluations are a matter of the settings alone: 2 a step, and 2 K steps for each
    interval. A grid that ends at or above an interval's t_max is refused. Where t_max is more noise than t = 1 has, it
    is that of t = 1. Every draw is followed by steps without noise, so that `final=mean` has none to leave out.

    Args:
        t_min: Lower end of each interval, in units of sigma / alpha.
        t_max: Upper end of each interval, likewise.
        repeats: K, how often each is gone through again.
        steps: Steps through each of them.
    """

    t_min: Annotated[tuple[Annotated[float, Gt(0)], ...], MinLen(1)] = (0.1,)
    t_max: Annotated[tuple[Annotated[float, Gt(0)], ...], MinLen(1)] = (2.0,)
    repeats: Annotated[tuple[Annotated[int, Ge(1)], ...], MinLen(1)] = (1,)
    steps: Annotated[tuple[Annotated[int, Ge(1)], ...], MinLen(1)] = (4,)

    def __post_init__(self) -> None:
        lengths = {name: len(getattr(self, name)) for name in ("t_min", "t_max", "repeats", "steps")}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{count} of {name}" for name, count in lengths.items())
            raise ConfigError(f"Restart takes one value of each field for every interval; got {told}.")
        for low, high in zip(self.t_min, self.t_max, strict=True):
            if high <= low:
                raise ConfigError(f"Restart.t_max must be greater than t_min = {low:g}, got {high:g}.")

    @property
    def claims(self) -> Claims:
        """No order: a restart's own steps stay as few as they are. What restarts cost is the same on every grid."""
        restarts = sum(2 * k * n for k, n in zip(self.repeats, self.steps, strict=True))
        return Claims(
            evaluations=2,
            at_end=restarts,
            stochastic=True,
            schedule_invariant=True,
            exact_on_point_mass=True,
            quiet_end=True,
        )

    def _intervals(self, p: Perturbation, grid: Tensor) -> dict[int, list[tuple[int, Tensor]]]:
        """By the position in the grid where they begin: how often to go, and the times to go down by."""
        u = ratio(p, grid)
        top = float(ratio(p, torch.ones((), dtype=torch.float64)))
        found: dict[int, list[tuple[int, Tensor]]] = {}
        for low, high, repeats, steps in zip(self.t_min, self.t_max, self.repeats, self.steps, strict=True):
            below = (u <= low).nonzero()
            k = int(below[0]) if len(below) else len(grid) - 1
            here, high = float(u[k]), min(high, top)
            if here >= high:
                raise ConfigError(
                    f"Restart has an interval up to t_max = {high:g}, and this grid is at sigma / alpha = {here:.4g} "
                    "where it would begin: raise t_max, or end the grid at less noise."
                )
            levels = karras_sigmas(steps + 1, here, high) if here else high * (1 - torch.arange(steps + 1) / steps) ** 7
            times = of_ratio(p, levels.double())
            times[-1] = grid[k]
            found.setdefault(k, []).append((repeats, times))
        return found

    def trajectory(
        self, model: ScoreModel, x: Tensor, grid: Tensor, noise: Noise, cond: Mapping[str, Tensor] | None = None
    ) -> Iterator[State]:
        """See `Sampler.trajectory`."""
        p, heun = model.perturbation, Heun()
        intervals = {
            k: [(repeats, times.tolist(), *_passage(p, heun, times)) for repeats, times in each]
            for k, each in self._intervals(p, grid).items()
        }
        down = by_step(heun.coefficients(p, grid[:-1], grid[1:]))
        times: list[float] = grid.tolist()
        yield State(times[0], x)
        for k, t in enumerate(times):
            if k:
                x = heun.step(model, x, times[k - 1], t, down[k - 1], noise, cond)
            for repeats, way, up, steps in intervals.get(k, ()):
                for _ in range(repeats):
                    x = up["x"] * x + up["z"] * noise(x, way[0], t)
                    for j, c in enumerate(steps):
                        x = heun.step(model, x, way[j], way[j + 1], c, noise, cond)
            if k:
                yield State(t, x)


def _passage(p: Perturbation, heun: Heun, times: Tensor) -> tuple[dict[str, float], list[dict[str, float]]]:
    """Coefficients of the way up from the last of these times to the first, and of the steps down."""
    a, v = p.transition(times[-1:], times[:1])
    return by_step({"x": a, "z": v})[0], by_step(heun.coefficients(p, times[:-1], times[1:]))
