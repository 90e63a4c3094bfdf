"""Predictor-corrector sampling: one loop for SMLD, DDPM and everything between."""

from collections.abc import Iterator, Mapping
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from fokker.component import component
from fokker.model import ScoreModel
from fokker.noise import Noise
from fokker.perturbation import Perturbation
from fokker.sampler import Claims, Coefficients, Corrector, OneStep, Sampler, State, by_step
from fokker_sde.reverse_diffusion import ReverseDiffusion
from fokker_smld.annealed_langevin import AnnealedLangevin

__all__ = ["Identity", "PredictorCorrector", "Unchanged"]


@component
class Identity(OneStep):
    """No prediction: the state stays and the time goes on, as in annealed Langevin dynamics (Song & Ermon, 2019)."""

    @property
    def claims(self) -> Claims:
        """No evaluation."""
        return Claims(evaluations=0)

    def coefficients(self, p: Perturbation, t: Tensor, s: Tensor) -> dict[str, Tensor]:
        """None."""
        return {"x": torch.ones_like(t)}

    def step(
        self,
        model: ScoreModel,
        x: Tensor,
        t: float | Tensor,
        s: float | Tensor,
        c: Coefficients,
        noise: Noise,
        cond: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """A copy of the state."""
        return x.clone()


@component
class Unchanged(Corrector):
    """No correction, as in DDPM (Ho et al., 2020)."""

    @property
    def claims(self) -> Claims:
        """No evaluation; every law stays in place."""
        return Claims(evaluations=0, stationary=True)

    def coefficients(self, p: Perturbation, t: Tensor) -> dict[str, Tensor]:
        """None."""
        return {"x": torch.ones_like(t)}

    def correct(
        self,
        model: ScoreModel,
        x: Tensor,
        t: float | Tensor,
        c: Coefficients,
        noise: Noise,
        cond: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """A copy of the state."""
        return x.clone()


@component
class PredictorCorrector(Sampler):
    """Correct at every level, predict from each level to the next (Song et al., 2021, algorithm 1).

    The corrector works at all levels of the grid, the last one too: on L levels SMLD makes L corrections and L - 1
    identities. SMLD is `pc(identity, annealed-langevin)` on a table of sigmas, DDPM `pc(ancestral, unchanged)` on a
    table of betas.

    Args:
        predictor: Takes the state from a level to the next.
        corrector: Mends the law at a level; the default is the source's signal-to-noise ratio of 0.16.
        corrections: Updates of the corrector at each level.
    """

    predictor: OneStep = ReverseDiffusion()
    corrector: Corrector = AnnealedLangevin(step=0.05)
    corrections: Annotated[int, Ge(1)] = 1

    @property
    def claims(self) -> Claims:
        """The predictor's, with the corrector's evaluations added."""
        p, c = self.predictor.claims, self.corrector.claims
        idle = isinstance(self.corrector, Unchanged)
        return Claims(
            order=p.order if idle else None,
            weak_order=p.weak_order if idle else None,
            strong_order=p.strong_order if idle else None,
            evaluations=None
            if p.evaluations is None or c.evaluations is None
            else p.evaluations + self.corrections * c.evaluations,
            at_end=self.corrections * (c.evaluations or 0),
            stochastic=p.stochastic or c.stochastic,
            schedule_invariant=p.schedule_invariant and idle,
            exact_on_point_mass=p.exact_on_point_mass and idle,
        )

    def trajectory(
        self, model: ScoreModel, x: Tensor, grid: Tensor, noise: Noise, cond: Mapping[str, Tensor] | None = None
    ) -> Iterator[State]:
        """See `Sampler.trajectory`."""
        p = model.perturbation
        predict = by_step(self.predictor.coefficients(p, grid[:-1], grid[1:]))
        correct = by_step(self.corrector.coefficients(p, grid))
        times: list[float] = grid.tolist()
        yield State(times[0], x)
        last = len(times) - 1
        corrects = not isinstance(self.corrector, Unchanged)
        # a state that was corrected is a tensor of its own already
        predicts = not (corrects and isinstance(self.predictor, Identity))
        for k, t in enumerate(times):
            for j in range(self.corrections if corrects else 0):
                source = noise.final if k == last and j == self.corrections - 1 else noise
                x = self.corrector.correct(model, x, t, correct[k], source, cond)
            if k < last:
                # without a corrector that draws, the last prediction is the last update
                source = noise.final if k == last - 1 and not self.corrector.claims.stochastic else noise
                if predicts:
                    x = self.predictor.step(model, x, t, times[k + 1], predict[k], source, cond)
                if k < last - 1:
                    yield State(times[k + 1], x)
        yield State(times[-1], x)
