"""Orders of convergence, measured.

    error(N) ~ C N^-p        p = - slope of log(error) against log(N)

A method with a wrong coefficient is often still consistent, finite and of the right shape; its order tells. The data
should have several different variances: on a scalar problem an error can cross zero and show any order.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log, prod, sqrt
from typing import TypeAlias

import torch
from torch import Tensor

from fokker.exact import ExactModel, Gaussian
from fokker.noise import Noise, Seeded, Zero
from fokker.sampler import Sampler, trajectory
from fokker.testing.moments import affine_map

__all__ = [
    "Convergence",
    "convergence",
    "even",
    "measure_order",
    "measure_strong_order",
    "measure_weak_order",
    "uneven",
]

Spacing: TypeAlias = Callable[[float, float, int], Tensor]
"""From the first time, the last time and the number of steps to the times, float64, (N + 1,)."""

_LENGTHS = (1.0, 2.5, 1.6)


@dataclass(frozen=True)
class Convergence:
    """Errors on finer and finer grids.

    Args:
        steps: Numbers of steps.
        errors: The error with each of them.
    """

    steps: tuple[int, ...]
    errors: tuple[float, ...]

    @property
    def order(self) -> float:
        """Slope of the regression of -log(error) on log(steps)."""
        x = torch.tensor([log(n) for n in self.steps], dtype=torch.float64)
        y = -torch.tensor(self.errors, dtype=torch.float64).log()
        x = x - x.mean()
        return float((x * y).sum() / (x * x).sum())

    @property
    def local_orders(self) -> tuple[float, ...]:
        """Slope between each number of steps and the next."""
        pairs = pairwise(zip(self.steps, self.errors, strict=True))
        return tuple(log(e / f) / log(m / n) for (n, e), (m, f) in pairs)


def convergence(error: Callable[[int], float], steps: Sequence[int]) -> Convergence:
    """Evaluate an error with each of these numbers of steps."""
    return Convergence(tuple(steps), tuple(error(n) for n in steps))


def measure_order(
    sampler: Sampler,
    model: Gaussian,
    *,
    steps: Sequence[int] = (16, 32, 64, 128),
    start: float = 0.9,
    end: float = 0.1,
    spacing: Spacing | None = None,
) -> Convergence:
    """The order of a sampler on the probability-flow ODE, without noise, against its exact solution.

    Args:
        sampler: The sampler.
        model: Gaussian data, whose flow is known.
        steps: Numbers of steps, at least four; their grids go from `start` to `end`.
        start: First time.
        end: Last time.
        spacing: How the times are spread; `even` unless given.

    Returns:
        Norms of the error at the end, of a batch of states about one standard deviation from the mean.
    """
    d = model.means.shape[1]
    mean, covariance = model.marginal(start)
    z = torch.randn(4, d, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x = (mean + z * covariance.diagonal().sqrt()).reshape(4, *model.event_shape)
    exact = model.flow(x, start, end)

    def error(n: int) -> float:
        y = x
        for state in trajectory(model, sampler, (spacing or even)(start, end, n), Zero(), x, final="none"):
            y = state.x
        return float((y - exact).norm())

    return convergence(error, steps)


def measure_weak_order(
    sampler: Sampler,
    model: Gaussian,
    *,
    steps: Sequence[int] = (16, 32, 64, 128),
    start: float = 0.9,
    end: float = 0.1,
    spacing: Spacing | None = None,
) -> Convergence:
    """The order in which the mean and covariance of a stochastic sampler converge to the true ones.

    The start has the true law at its time; the law at the end is exact, see `fokker.testing.moments`.

    Args:
        sampler: The sampler; on Gaussian data its steps must be affine.
        model: Gaussian data.
        steps: Numbers of steps, at least four; their grids go from `start` to `end`.
        start: First time.
        end: Last time.
        spacing: How the times are spread; `even` unless given.

    Returns:
        Norms of the error of mean and covariance together.
    """
    first, last = model.marginal(start), model.marginal(end)

    def error(n: int) -> float:
        mean, covariance = affine_map(sampler, model, (spacing or even)(start, end, n)).push(*first)
        return float(torch.cat([mean - last[0], (covariance - last[1]).flatten()]).norm())

    return convergence(error, steps)


def measure_strong_order(
    sampler: Sampler,
    model: ExactModel,
    *,
    steps: Sequence[int] = (16, 32, 64, 128),
    reference: int = 1024,
    paths: int = 256,
    start: float = 0.9,
    end: float = 0.1,
) -> Convergence:
    """The order in which a stochastic sampler converges to its own limit along one Brownian path.

    That the limit is the reverse SDE's is what the weak order shows. Every grid sees the same paths: a step's draw is
    the path's increment over it, or with `noise.integral` increment and time integral. The sampler's noise must be one
    of them a step, as that of additive noise is.

    Args:
        sampler: The sampler.
        model: Any data; on Gaussian data, where the score is linear, methods of order 3/2 have order 2.
        steps: Numbers of steps, at least four, each a divisor of `reference`.
        reference: Number of steps of the run that stands for the limit.
        paths: Number of paths.
        start: First time.
        end: Last time.

    Returns:
        Root mean squares over the paths of the error at the end.
    """
    d = prod(model.event_shape)
    generator = torch.Generator().manual_seed(2)
    x0 = model.draw(paths, Seeded(2))
    x = model.perturbation.perturb(
        x0, torch.tensor(start), torch.randn(x0.shape, dtype=torch.float64, generator=generator)
    )
    fine = torch.randn(2, reference, paths, d, dtype=torch.float64, generator=generator)
    noise = _Paths(fine[0], fine[1], start, end)

    def run(n: int) -> Tensor:
        y = x
        for state in trajectory(model, sampler, even(start, end, n), noise, x, final="none"):
            y = state.x
        return y

    limit = run(reference)
    return convergence(lambda n: float((run(n) - limit).square().mean().sqrt()), steps)


class _Paths(Noise):
    """Brownian paths, known on a fine uniform grid from `start` down to `end`, and their integrals over time.

    Args:
        increments: Standard normal numbers, one for each fine step, (N, paths, numel).
        bridges: Others, which decide the integrals within the fine steps.
        start: First time.
        end: Last time.
    """

    def __init__(self, increments: Tensor, bridges: Tensor, start: float, end: float) -> None:
        zero = torch.zeros_like(increments[:1])
        # in units of the fine step: W of its square root, the integral of W of its power 3/2
        self._path = torch.cat([zero, increments.cumsum(0)])
        within = self._path[:-1] + increments / 2 + bridges / sqrt(12)
        self._integral = torch.cat([zero, within.cumsum(0)])
        self._start, self._step = start, (start - end) / len(increments)

    def __call__(self, x: Tensor, t: Tensor | float | None = None, s: Tensor | float | None = None) -> Tensor:
        i, j = self._ends(t, s)
        increment: Tensor = (self._path[j] - self._path[i]) / (j - i) ** 0.5
        return increment.reshape(x.shape)

    def integral(
        self, x: Tensor, t: Tensor | float | None = None, s: Tensor | float | None = None
    ) -> tuple[Tensor, Tensor]:
        i, j = self._ends(t, s)
        integral: Tensor = (self._integral[j] - self._integral[i] - (j - i) * self._path[i]) / (j - i) ** 1.5
        return self(x, t, s), integral.reshape(x.shape)

    def _ends(self, t: Tensor | float | None, s: Tensor | float | None) -> tuple[int, int]:
        """Positions of a step's times on the fine grid."""
        if t is None or s is None or float(t) == float(s):
            raise TypeError("A draw along a path needs the times of its step: call noise(x, t, s).")
        i, j = (round((self._start - float(time)) / self._step) for time in (t, s))
        return i, j

    def uniform(self, x: Tensor) -> Tensor:
        raise TypeError("A Brownian path has no uniform numbers.")

    def rows(self, index: Tensor) -> Noise:
        raise TypeError("A sampler that advances rows separately has no common grid to be refined.")


def even(start: float, end: float, n: int) -> Tensor:
    """Times equally far apart."""
    return start + (end - start) * torch.arange(n + 1, dtype=torch.float64) / n


def uneven(start: float, end: float, n: int) -> Tensor:
    """Times whose distances are as 1 : 2.5 : 1.6, over and over; take multiples of 3 for `n`.

    On any smooth grid neighbouring steps become equal as they become small, which hides a multistep method's mistake
    about their ratio. These never do.
    """
    lengths = torch.tensor([_LENGTHS[k % 3] for k in range(n)], dtype=torch.float64)
    gone = torch.cat([torch.zeros(1, dtype=torch.float64), lengths.cumsum(0)]) / lengths.sum()
    times: Tensor = start + (end - start) * gone
    times[-1] = end
    return times
