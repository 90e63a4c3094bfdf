"""The probability flow with steps of its own for every sample."""

from collections.abc import Iterator, Mapping
from typing import Annotated

import torch
from annotated_types import Gt, Lt
from torch import Tensor

from fokker.component import component
from fokker.flow.transport import some_rows
from fokker.integrate import Variables, passage
from fokker.model import ScoreModel
from fokker.noise import Noise
from fokker.perturbation import expand
from fokker.sampler import Claims, Sampler, State

__all__ = ["AdaptiveODE"]


@component
class AdaptiveODE(Sampler):
    """The probability flow by an embedded pair, each sample with its own steps (Dormand & Prince, 1980, table 2).

        d(x / rho) / dphi = v / rho,    rho = sqrt(alpha^2 + sigma^2),  phi = atan(sigma / alpha)

    A sample depends on nothing but its start: its steps are chosen for its own error, and it leaves the batch when it
    arrives, so that an evaluation is made for the samples that need it alone. Steps go from the first time of the grid
    to the last whatever lies between; states in between are interpolated and cost nothing. In the angle phi nothing is
    infinite where no noise or no data is left, and the same tolerance takes a third fewer evaluations than in time or
    in the logarithm of sigma / alpha, whatever the perturbation (docs/maths/samplers.md).

    Args:
        rtol: Relative tolerance of a step, of the state over rho.
        atol: Absolute tolerance of a step, likewise: in units of the data, where there is little noise.
    """

    rtol: Annotated[float, Gt(0), Lt(1)] = 1e-4
    atol: Annotated[float, Gt(0)] = 1e-4

    @property
    def claims(self) -> Claims:
        """An accuracy, since errors of many steps within the tolerance add up."""
        return Claims(accuracy=100 * max(self.rtol, self.atol), evaluations=None, own_steps=True)

    def trajectory(
        self, model: ScoreModel, x: Tensor, grid: Tensor, noise: Noise, cond: Mapping[str, Tensor] | None = None
    ) -> Iterator[State]:
        """See `Sampler.trajectory`."""
        p = model.perturbation
        first, last = float(grid[0]), float(grid[-1])

        def slope(t: Tensor, y: Variables, rows: Tensor) -> Variables:
            time = p.time(-2 * t.tan().log()).clamp(last, first)  # what passes on the way is the angle
            rho = expand(torch.hypot(p.alpha(time), p.sigma(time)).to(x.device, x.dtype), x)
            return (model(rho * y[0], time, some_rows(cond, rows)).v / rho,)

        yield State(first, x)
        if len(grid) == 1:
            return
        angles: list[float] = torch.atan2(p.sigma(grid), p.alpha(grid)).tolist()
        scales: list[float] = torch.hypot(p.alpha(grid), p.sigma(grid)).tolist()
        way = passage(slope, x / scales[0], angles, rtol=self.rtol, atol=self.atol)
        for t, scale, y in zip(grid[1:].tolist(), scales[1:], way, strict=True):
            yield State(t, scale * y)
