"""Annealed Langevin dynamics as a corrector."""

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from fokker.component import component
from fokker.errors import ConfigError
from fokker.model import ScoreModel
from fokker.noise import Noise
from fokker.perturbation import Perturbation
from fokker.sampler import Claims, Coefficients, Corrector, add_noise

__all__ = ["AnnealedLangevin", "Form"]

Form = Literal["relative", "smld", "ncsn"]
"""What the size of a step is relative to."""


@component
class AnnealedLangevin(Corrector):
    """A Langevin step in proportion to the variance of the level (Song & Ermon, 2019, algorithm 1).

        x + a score + temperature sqrt(2 a) z
        a = step sigma_t^2                           (relative)
        a = step sigma_t^2 / sigma(1)^2              (smld: step is the alpha of the largest level)
        a = step sigma_t^2 / sigma(t_min)^2          (ncsn: step is the eps of the smallest level)

    A relative step means the same for data of any scale; the other two are as published. NCSN's algorithm 1 writes the
    update with a / 2 and sqrt(a), its code with a and sqrt(2 a), the form used here. Score SDE's signal-to-noise ratio
    r is the relative step 2 r^2.

    Args:
        step: Step size; a level of a Gaussian is stable below the relative step 2. NCSN's 2e-5 at sigma_min = 0.01 is
            the default, 0.2.
        form: What `step` means: `relative`, `smld` or `ncsn`.
        temperature: Multiplies the standard deviation of the noise.
    """

    step: Annotated[float, Gt(0)] = 0.2
    form: Form = "relative"
    temperature: Annotated[float, Ge(0)] = 1.0

    @property
    def claims(self) -> Claims:
        """One evaluation per update; the law stays in place at temperature 1."""
        return Claims(stochastic=self.temperature > 0, stationary=self.temperature == 1)

    def coefficients(self, p: Perturbation, t: Tensor) -> dict[str, Tensor]:
        """Factors of score and z."""
        a = self.step * p.sigma(t) ** 2 / self._unit(p)
        return {"score": a, "z": self.temperature * (2 * a).sqrt()}

    def _unit(self, p: Perturbation) -> float:
        """The variance that a step of this form is divided by."""
        if self.form == "relative":
            return 1.0
        ends = torch.tensor([1.0, p.t_min], dtype=torch.float64)
        largest, smallest = p.sigma(ends).tolist()
        if self.form == "ncsn" and smallest == 0:
            raise ConfigError(
                "AnnealedLangevin.form = 'ncsn' needs a smallest noise above 0; use 'relative' or 'smld'."
            )
        return float(largest if self.form == "smld" else smallest) ** 2

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
        x = model(x, t, cond).linear(x=1.0, score=c["score"])
        return add_noise(x, c["z"], noise, t, t) if self.temperature else x
