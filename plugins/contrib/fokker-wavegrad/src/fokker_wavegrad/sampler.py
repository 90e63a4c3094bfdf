"""WaveGrad's way down, as the published program goes it."""

from collections.abc import Iterator, Mapping
from typing import Annotated

from annotated_types import Gt
from fokker import Claims, Noise, Sampler, ScoreModel, State, component
from fokker.sampler import by_step
from fokker_ddpm.ancestral import Ancestral
from torch import Tensor

__all__ = ["ClippedAncestral"]


@component
class ClippedAncestral(Sampler):
    """DDPM's step with the state clipped after each of them (Chen et al., 2020, algorithm 2; lmnt-com's program).

        x_s = clip(posterior step to s),    at the end clip(x0)

    The step is that of `ddpm`. Clipping is what the published program does and the paper does not mention: modulated
    by the noisy waveform at every rate, the network multiplies what is out of range, and a few steps can run away.
    It moves the states of data that reach beyond the bound, so no order of convergence is claimed.

    Args:
        bound: Largest absolute value of a state, in the model's units.
    """

    bound: Annotated[float, Gt(0)] = 1.0

    @property
    def claims(self) -> Claims:
        """One evaluation a step, and one for the end, which comes with the last state."""
        return Claims(evaluations=1, at_end=1, finishes=True, stochastic=True)

    def trajectory(
        self, model: ScoreModel, x: Tensor, grid: Tensor, noise: Noise, cond: Mapping[str, Tensor] | None = None
    ) -> Iterator[State]:
        """See `Sampler.trajectory`."""
        step = Ancestral()
        coefficients = by_step(step.coefficients(model.perturbation, grid[:-1], grid[1:]))
        times: list[float] = grid.tolist()
        last = len(coefficients) - 1
        yield State(times[0], x)
        for k, c in enumerate(coefficients):
            source = noise.final if k == last else noise
            x = step.step(model, x, times[k], times[k + 1], c, source, cond).clamp(-self.bound, self.bound)
            if k < last:
                yield State(times[k + 1], x)
        yield State(times[-1], x, model(x, times[-1], cond).x0.clamp(-self.bound, self.bound))
