"""torchsde's solvers with steps of their own."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Lt
from fokker.component import component
from fokker.errors import ConfigError
from fokker.flow.transport import some_rows
from fokker.model import ScoreModel
from fokker.noise import Noise, Zero
from fokker.sampler import Claims, Sampler, State
from torch import Tensor

from fokker_torchsde.descent import Descent, Tolerance
from fokker_torchsde.methods import METHODS, Name
from fokker_torchsde.noise import drawn_path

__all__ = ["AdaptiveTorchSDE"]


@component
class AdaptiveTorchSDE(Sampler):
    """The reverse SDE (Song et al., 2021, eq. 6) by a solver of torchsde, with steps that follow a tolerance.

        dx = (f(t) x - g(t)^2 score) dt + g(t) dw,    t running down

    A step is compared with its two halves along the same path, which a Brownian interval remembers, so rejected steps
    lose no noise (Li et al., 2020, section 4):

        E = sqrt(mean(((x_whole - x_halves) / (atol + rtol max(|x_whole|, |x_halves|)))^2))

    The halves are kept where E is at most 1. torchsde takes one E, and one step, for a whole batch. So each sample is
    solved on its own here, one after the other, and depends on its index alone; `shared` has torchsde's way, which is
    faster by about the size of the batch, and makes a sample depend on its neighbours, within the tolerance.

    A step also ends at the next time of the grid, since torchsde would draw a straight line through the noise there; a
    grid of few times costs least. `final=mean` takes the last half-step again, without noise. Where the tolerance
    takes steps below 1e-7 torchsde would go on without meeting it; here it is refused.

    Args:
        method: Solver, see `torchsde`.
        rtol: Relative tolerance of a step.
        atol: Absolute tolerance of a step, in the units of the model's data; torchsde would take 1e-7 for any less.
        h: Length in time of the first step.
        shared: Whether a batch has steps in common. Only then a source of noise that is a path is walked.
        refines: Whether all tolerances and first steps walk the same path of a sample, by a tree of halves that takes
            ten to thirty times as long to draw; unless so, each has a path of its own. As `shared` unless given: the
            steps of a batch must not decide the path of a sample.
    """

    method: Name = "srk"
    rtol: Annotated[float, Gt(0), Lt(1)] = 0.01
    atol: Annotated[float, Ge(1e-7)] = 0.01
    h: Annotated[float, Gt(0), Lt(1)] = 0.01
    shared: bool = False
    refines: bool | None = None

    def __post_init__(self) -> None:
        if self.refines is None:
            object.__setattr__(self, "refines", self.shared)
        if self.shared and not self.refines:
            raise ConfigError(
                "AdaptiveTorchSDE.refines cannot be false with shared = true, where a sample's path would depend on "
                "its batch; leave it out."
            )

    @property
    def claims(self) -> Claims:
        """Steps of each sample's own, or of the batch's, of which it claims no order."""
        return Claims(evaluations=None, stochastic=True, own_steps=not self.shared, shared_steps=self.shared)

    def trajectory(
        self, model: ScoreModel, x: Tensor, grid: Tensor, noise: Noise, cond: Mapping[str, Tensor] | None = None
    ) -> Iterator[State]:
        """See `Sampler.trajectory`."""
        times: list[float] = grid.tolist()
        yield State(times[0], x)
        everyone = torch.arange(len(x))
        descents = []
        for rows in (everyone,) if self.shared else everyone.split(1):
            mine, source = x[rows.to(x.device)], noise if self.shared else noise.rows(rows)
            silent = isinstance(noise, Zero)
            path = None if silent else source.path(mine) or drawn_path(mine, source, refines=bool(self.refines))
            tolerance = Tolerance(self.rtol, self.atol, self.h)
            descents.append(Descent(METHODS[self.method], model, mine, path, tolerance, some_rows(cond, rows)))
        quiet = isinstance(noise.final, Zero)
        for start, end in pairwise(times):
            last = quiet and end == times[-1]
            yield State(end, torch.cat([descent.down(start, end, quiet=last) for descent in descents]))
