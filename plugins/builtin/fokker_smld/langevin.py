"""Langevin dynamics and gradient ascent at one noise level, the last of the grid."""

from collections.abc import Iterator, Mapping
from typing import Annotated

import torch
from annotated_types import Gt, Le
from torch import Tensor

from fokker.component import component
from fokker.model import ScoreModel
from fokker.noise import Noise
from fokker.perturbation import Perturbation
from fokker.sampler import Claims, Sampler, State, add_noise

__all__ = ["GradientAscent", "Langevin"]


@component
class GradientAscent(Sampler):
    """Gradient ascent on the log-density of one noise level (Hyvarinen, 2005, whose score is that gradient).

        x <- x + a_k score(x, t),    a_k = a decay^k,    a = step sigma_t^2, or step itself

    Every sample ends at a mode, if steps are small enough: this is Langevin dynamics without its noise, and no way to
    draw from a law. All updates are made at the last time of the grid, one for each of its steps.

    Args:
        step: Size of the first step.
        relative: Whether `step` is in units of sigma_t^2, which means the same for data of any scale; otherwise it is
            the factor of the score itself.
        decay: Factor from each step to the next.
    """

    step: Annotated[float, Gt(0)] = 0.2
    relative: bool = True
    decay: Annotated[float, Gt(0), Le(1)] = 1.0

    @property
    def claims(self) -> Claims:
        """One evaluation per step, no noise; a step of its own does without noise levels too."""
        return Claims(without_noise=not self.relative)

    def levels(self, grid: Tensor) -> Tensor:
        """The last time, over and over."""
        return grid[-1:].repeat(len(grid))

    def trajectory(
        self, model: ScoreModel, x: Tensor, grid: Tensor, noise: Noise, cond: Mapping[str, Tensor] | None = None
    ) -> Iterator[State]:
        """See `Sampler.trajectory`."""
        t = float(grid[-1])
        yield State(t, x)
        for a in _sizes(self.step, self.relative, self.decay, model.perturbation, grid):
            x = model(x, t, cond).linear(x=1.0, score=a)
            yield State(t, x)


@component
class Langevin(Sampler):
    """Langevin dynamics at one noise level (Welling & Teh, 2011, eq. 4, with the whole gradient).

        x <- x + a_k score(x, t) + temperature sqrt(2 a_k) z,    a_k = a decay^k,    a = step sigma_t^2, or step itself

    The source writes e / 2 and sqrt(e): a = e / 2. All updates are made at the last time of the grid, one for each of
    its steps. The law at that time stays in place up to the square of a step; a start that is elsewhere comes to it,
    but slowly: from one mode to another through the little mass between them takes a time that grows exponentially
    with what separates them, which is why there are noise levels (`smld`).

    Args:
        step: Size of the first step.
        relative: Whether `step` is in units of sigma_t^2, which means the same for data of any scale; otherwise it is
            the factor of the score itself, as papers have it.
        decay: Factor from each step to the next. Below 1 the steps have a finite sum, so that nothing is claimed of
            where the samples come to rest.
        temperature: Multiplies the standard deviation of the noise, which samples p^(1 / temperature^2). For none
            take `gradient-ascent`.
    """

    step: Annotated[float, Gt(0)] = 0.2
    relative: bool = True
    decay: Annotated[float, Gt(0), Le(1)] = 1.0
    temperature: Annotated[float, Gt(0)] = 1.0

    @property
    def claims(self) -> Claims:
        """One evaluation per step; the law stays in place at temperature 1; a step of its own needs no noise level."""
        return Claims(stochastic=True, stationary=self.temperature == 1, without_noise=not self.relative)

    def levels(self, grid: Tensor) -> Tensor:
        """The last time, over and over."""
        return grid[-1:].repeat(len(grid))

    def trajectory(
        self, model: ScoreModel, x: Tensor, grid: Tensor, noise: Noise, cond: Mapping[str, Tensor] | None = None
    ) -> Iterator[State]:
        """See `Sampler.trajectory`."""
        t = float(grid[-1])
        sizes = _sizes(self.step, self.relative, self.decay, model.perturbation, grid)
        yield State(t, x)
        for k, a in enumerate(sizes):
            source = noise.final if k == len(sizes) - 1 else noise
            spread = self.temperature * (2 * a) ** 0.5
            x = add_noise(model(x, t, cond).linear(x=1.0, score=a), spread, source, t, t)
            yield State(t, x)


def _sizes(step: float, relative: bool, decay: float, p: Perturbation, grid: Tensor) -> list[float]:
    """a_0, a_1, ..., one for each step of the grid."""
    unit = float(p.sigma(grid[-1])) ** 2 if relative else 1.0
    sizes: list[float] = (step * unit * decay ** torch.arange(len(grid) - 1, dtype=torch.float64)).tolist()
    return sizes
