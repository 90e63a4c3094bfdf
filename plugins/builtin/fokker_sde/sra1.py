"""A stochastic Runge-Kutta method of strong order 1.5 on the reverse-time SDE."""

from collections.abc import Mapping

from torch import Tensor

from fokker.component import component
from fokker.model import ScoreModel
from fokker.noise import Noise
from fokker.perturbation import Perturbation
from fokker.sampler import Claims, Coefficients, OneStep, add

__all__ = ["SRA1"]


@component
class SRA1(OneStep):
    """Two-stage stochastic Runge-Kutta method for additive noise (Roessler, 2010, table 6.3, SRA1).

        k1  = g(t)^2 score(x, t) - f(t) x,                           h = t - s
        x_u = x + 3/4 h k1 + 3/2 g(s) sqrt(h) y,                     u = t - 3/4 h
        k2  = g(u)^2 score(x_u, u) - f(u) x_u
        x_s = x + h (k1 + 2 k2) / 3 + sqrt(h) (g(s) z + (g(t) - g(s)) y)

    with z the increment of the Brownian path over the step and y its integral over time, `noise.integral`. Where the
    noise is additive, as here, states converge with order 1.5 along a path, which no method that sees increments
    alone can. A step asks for the score at a time between those of the grid.
    """

    @property
    def claims(self) -> Claims:
        """Strong order 1.5 and weak order 2, at two evaluations a step."""
        return Claims(weak_order=2, strong_order=1.5, evaluations=2, stochastic=True)

    def coefficients(self, p: Perturbation, t: Tensor, s: Tensor) -> dict[str, Tensor]:
        """Factors of x and score in h k1 and in h k2, and of z and y."""
        h, u = t - s, t + 0.75 * (s - t)
        g_t, g_u, g_s, root = p.diffusion(t), p.diffusion(u), p.diffusion(s), h.sqrt()
        return {
            "x": -p.drift(t) * h,
            "score": g_t**2 * h,
            "x_u": -p.drift(u) * h,
            "score_u": g_u**2 * h,
            "y_u": 1.5 * g_s * root,
            "z": g_s * root,
            "y": (g_t - g_s) * root,
        }

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
        z, y = noise.integral(x, t, s)
        q = model(x, t, cond)
        there = add(q.linear(x=1 + 0.75 * c["x"], score=0.75 * c["score"]), c["y_u"], y)
        second = model(there, t + 0.75 * (s - t), cond).linear(x=2 * c["x_u"] / 3, score=2 * c["score_u"] / 3)
        x = add(q.linear(x=1 + c["x"] / 3, score=c["score"] / 3), 1.0, second)
        return add(add(x, c["z"], z), c["y"], y)
