"""Euler-Maruyama on the reverse-time SDE."""

from collections.abc import Mapping

from torch import Tensor

from fokker.component import component
from fokker.model import ScoreModel
from fokker.noise import Noise
from fokker.perturbation import Perturbation
from fokker.sampler import Claims, Coefficients, OneStep, add_noise

__all__ = ["EulerMaruyama"]


@component
class EulerMaruyama(OneStep):
    """Euler-Maruyama on the reverse SDE (Song et al., 2021, eq. 6).

        x_s = x - (f(t) x - g(t)^2 score) h + g(t) sqrt(h) z,    h = t - s

    The noise is additive (g does not depend on x), so the strong order is 1.
    """

    @property
    def claims(self) -> Claims:
        """Weak and strong order 1."""
        return Claims(weak_order=1, strong_order=1, stochastic=True)

    def coefficients(self, p: Perturbation, t: Tensor, s: Tensor) -> dict[str, Tensor]:
        """Factors of x, score and z."""
        h, g = t - s, p.diffusion(t)
        return {"x": 1 - p.drift(t) * h, "score": g**2 * h, "z": g * h.sqrt()}

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
        return add_noise(mean, c["z"], noise, t, s)
