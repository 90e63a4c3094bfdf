"""Denoising diffusion implicit models."""

from collections.abc import Mapping
from typing import Annotated

import torch
from annotated_types import Interval
from torch import Tensor

from fokker.component import component
from fokker.model import ScoreModel
from fokker.noise import Noise
from fokker.perturbation import Perturbation
from fokker.sampler import Claims, Coefficients, OneStep, add_noise

__all__ = ["DDIM"]


@component
class DDIM(OneStep):
    """Denoising diffusion implicit step (Song et al., 2021, eq. 12); ancestral sampling at eta = 1.

        x_s = alpha_s x0 + sqrt(sigma_s^2 - tau^2) eps + tau z
        tau = eta (sigma_s / sigma_t) v,    v the standard deviation of x_t given x_s

    At eta = 0 it is the exponential Euler step of the probability-flow ODE and draws nothing.

    Args:
        eta: Share of the posterior noise put back.
    """

    eta: Annotated[float, Interval(ge=0, le=1)] = 0.0

    @property
    def claims(self) -> Claims:
        """Order 1 at eta = 0, weak and strong order 1 at eta = 1."""
        return Claims(
            order=1 if self.eta == 0 else None,
            weak_order=1 if self.eta == 1 else None,
            strong_order=1 if self.eta == 1 else None,
            stochastic=self.eta > 0,
            schedule_invariant=True,
            exact_on_point_mass=True,
        )

    def coefficients(self, p: Perturbation, t: Tensor, s: Tensor) -> dict[str, Tensor]:
        """Factors of x0, eps and z."""
        if not self.eta:
            return {"x0": p.alpha(s), "eps": p.sigma(s), "z": torch.zeros_like(s)}
        _, v = p.transition(s, t)
        tau = self.eta * p.sigma(s) / p.sigma(t) * v
        rest = (p.sigma(s) ** 2 - tau**2).clamp(min=0).sqrt()  # rounding can take it below 0
        return {"x0": p.alpha(s), "eps": rest, "z": tau}

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
        x = model(x, t, cond).linear(x0=c["x0"], eps=c["eps"])
        return add_noise(x, c["z"], noise, t, s) if self.eta else x
