"""Ancestral sampling: draw from the posterior of the previous level, with x0 replaced by its expectation."""

from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from fokker.component import component
from fokker.model import ScoreModel
from fokker.noise import Noise
from fokker.perturbation import Perturbation
from fokker.sampler import Claims, Coefficients, OneStep, add_noise

__all__ = ["Ancestral"]


@component
class Ancestral(OneStep):
    """The posterior step of a diffusion (Ho et al., 2020, eq. 7 and algorithm 2), for any perturbation and any grid.

        x_s = alpha_s x0 + sqrt(sigma_s^2 - tau^2) eps + (noise) z,    tau = (sigma_s / sigma_t) v
        v the standard deviation of x_t given x_s

    With `variance=posterior` the noise is tau, DDPM's beta-tilde (`fixed-small`); with `variance=forward` it is v,
    DDPM's beta (`fixed-large`; Score SDE's ancestral sampling for VP). The mean is the same.

    Args:
        variance: Which variance the step's noise has.
    """

    variance: Literal["posterior", "forward"] = "posterior"

    @property
    def claims(self) -> Claims:
        """Weak and strong order 1; the posterior variance alone is invariant and exact."""
        posterior = self.variance == "posterior"
        return Claims(
            weak_order=1,
            strong_order=1,
            stochastic=True,
            schedule_invariant=posterior,
            exact_on_point_mass=posterior,
        )

    def coefficients(self, p: Perturbation, t: Tensor, s: Tensor) -> dict[str, Tensor]:
        """Factors of x, x0 and z.

        The mean alpha_s x0 + sqrt(sigma_s^2 - tau^2) eps is written in x and x0, as in eq. 7 of the source, so that
        one evaluation of a model that gives either eps or x0 costs the same.
        """
        a, v = p.transition(s, t)
        sigma_s, sigma_t = p.sigma(s), p.sigma(t)
        # sqrt(sigma_s^2 - tau^2) = a sigma_s^2 / sigma_t; eps = (x - alpha_t x0) / sigma_t; alpha_s = alpha_t / a
        of_x = a * (sigma_s / sigma_t) ** 2
        of_x0 = p.alpha(s) * (v / sigma_t) ** 2
        noise = v if self.variance == "forward" else sigma_s / sigma_t * v
        # nothing may be added to clean data: DDPM draws no noise in the step to level 0
        return {"x": of_x, "x0": of_x0, "z": noise.where(sigma_s > 0, sigma_s)}

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
        """See `OneStep.step`."""
        mean = model(x, t, cond).linear(x=c["x"], x0=c["x0"])
        return add_noise(mean, c["z"], noise, t, s)
