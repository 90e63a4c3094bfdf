"""Milstein's scheme on the reverse-time SDE."""

from collections.abc import Mapping

import torch
from torch import Tensor

from fokker.component import component
from fokker.model import ScoreModel
from fokker.noise import Noise
from fokker.perturbation import Perturbation, Scale
from fokker.sampler import Claims, Coefficients, OneStep, add_noise

__all__ = ["Milstein", "increment"]


@component
class Milstein(OneStep):
    """Milstein's step on the reverse SDE (Kloeden & Platen, 1992, eq. 10.3.1).

        x_s = x - (f(t) x - g(t)^2 score) h + g(t) sqrt(h) z + g(t) (dg/dx) h (z^2 - 1) / 2,    h = t - s

    Its last term gives strong order 1 where Euler-Maruyama has 1/2. In every perturbation g depends on time alone, so
    dg/dx = 0 and the step is that of `euler-maruyama`, bit for bit, whose strong order is 1 already: nothing is to be
    gained here but the name. `sra1` has strong order 1.5.
    """

    @property
    def claims(self) -> Claims:
        """Weak and strong order 1."""
        return Claims(weak_order=1, strong_order=1, stochastic=True)

    def coefficients(self, p: Perturbation, t: Tensor, s: Tensor) -> dict[str, Tensor]:
        """Factors of x and score, and what `increment` takes."""
        h, g = t - s, p.diffusion(t)
        return {"x": 1 - p.drift(t) * h, "score": g**2 * h, "g": g * h.sqrt(), "slope": torch.zeros_like(t)}

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
        mean = model(x, t, cond).linear(x=c["x"], score=c["score"])
        if isinstance(c["slope"], float) and not c["slope"]:
            return add_noise(mean, c["g"], noise, t, s)
        return mean + increment(c["g"], c["slope"], noise(x, t, s))


def increment(b: Scale, slope: Scale, z: Tensor) -> Tensor:
    """What the noise of dx = a(x) dt + b(x) dW adds in a step of Milstein's scheme.

        b z + b b' (z^2 - 1) / 2

    Args:
        b: The diffusion coefficient times sqrt(h), h the length of the step, a number or like `z`.
        slope: Its derivative b' by x times sqrt(h), likewise.
        z: Standard normal numbers, (B, *D).
    """
    return b * (z + slope * ((z**2 - 1) / 2))
