"""Annealed Langevin dynamics as a corrector."""

from collections.abc import Mapping
from typing import Annotated

from annotated_types import Ge, Gt
from torch import Tensor

from fokker.component import component
from fokker.model import ScoreModel
from fokker.noise import Noise
from fokker.perturbation import Perturbation
from fokker.sampler import Claims, Coefficients, Corrector

__all__ = ["AnnealedLangevin"]


@component
class AnnealedLangevin(Corrector):
    """A Langevin step in proportion to the variance of the level (Song & Ermon, 2019, algorithm 1).

        x + a score + temperature sqrt(2 a) z,    a = step sigma_t^2

    A relative step means the same for data of any scale. The published forms are `step = eps / sigma_min^2` (NCSN;
    its algorithm 1 writes the update with a / 2 and sqrt(a), its code with a and sqrt(2 a), the form used here) and
    `step = alpha / sigma_max^2` (SMLD). Score SDE's signal-to-noise ratio r is `step = 2 r^2`.

    Args:
        step: Step size relative to sigma_t^2; a Gaussian level is stable below 2. NCSN's 2e-5 at sigma_min = 0.01 is
            the default, 0.2.
        temperature: Multiplies the standard deviation of the noise.
    """

    step: Annotated[float, Gt(0)] = 0.2
    temperature: Annotated[float, Ge(0)] = 1.0

    @property
    def claims(self) -> Claims:
        """One evaluation per update; the law stays in place at temperature 1."""
        return Claims(stochastic=self.temperature > 0, stationary=self.temperature == 1)

    def coefficients(self, p: Perturbation, t: Tensor) -> dict[str, Tensor]:
        """Factors of score and z."""
        a = self.step * p.sigma(t) ** 2
        return {"score": a, "z": self.temperature * (2 * a).sqrt()}

    def correct(
        self,
        model: ScoreModel,
        x: Tensor,
        t: float | Tensor,
        c: Coefficients,
        noise: Noise,
        cond: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """See `Corrector.correct`."""
        x = x + c["score"] * model(x, t, cond).score
        return x + c["z"] * noise(x, t, t) if self.temperature else x
