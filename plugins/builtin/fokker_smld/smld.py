"""Score matching with Langevin dynamics: the sampler of SMLD and of NCSN by its own name."""

from collections.abc import Iterator, Mapping
from typing import Annotated

from annotated_types import Ge, Gt
from torch import Tensor

from fokker.component import component
from fokker.model import ScoreModel
from fokker.noise import Noise
from fokker.sampler import Claims, Sampler, State
from fokker_sde.pc import Identity, PredictorCorrector
from fokker_smld.annealed_langevin import AnnealedLangevin, Form

__all__ = ["SMLD"]


@component
class SMLD(Sampler):
    """Annealed Langevin dynamics: Langevin steps at every noise level, largest first (Song & Ermon, 2019, algorithm 1).

        for t in grid:    repeat `steps_per_level` times:    x <- x + a score + temperature sqrt(2 a) z

    It is `pc(identity, annealed-langevin)` with its corrections, in one word; a is that of `annealed-langevin`. On a
    table of L sigmas take the grid `knots` with L - 1 steps: all L levels have their updates, the last one too. The end
    is `final`: `mean` leaves out the noise of the very last update, `tweedie` adds the last denoising of NCSNv2 (Song &
    Ermon, 2020, section 3.4).

    Args:
        step: Step size; see `form`.
        steps_per_level: Updates at each level: K of SMLD, T of NCSN. A loop that counts from 0 to K has K + 1.
        form: What `step` means: `relative`, `smld` or `ncsn`, as in `annealed-langevin`.
        temperature: Multiplies the standard deviation of the noise.
    """

    step: Annotated[float, Gt(0)] = 0.2
    steps_per_level: Annotated[int, Ge(1)] = 5
    form: Form = "relative"
    temperature: Annotated[float, Ge(0)] = 1.0

    @property
    def _composition(self) -> PredictorCorrector:
        corrector = AnnealedLangevin(step=self.step, form=self.form, temperature=self.temperature)
        return PredictorCorrector(Identity(), corrector, self.steps_per_level)

    @property
    def claims(self) -> Claims:
        """As many evaluations per level as updates."""
        return self._composition.claims

    def trajectory(
        self, model: ScoreModel, x: Tensor, grid: Tensor, noise: Noise, cond: Mapping[str, Tensor] | None = None
    ) -> Iterator[State]:
        """See `Sampler.trajectory`."""
        yield from self._composition.trajectory(model, x, grid, noise, cond)
