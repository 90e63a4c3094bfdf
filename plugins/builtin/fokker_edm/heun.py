"""Runge-Kutta methods of order 2 on the probability flow, Heun's among them."""

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from annotated_types import Gt, Le
from torch import Tensor

from fokker.component import component
from fokker.model import ScoreModel
from fokker.noise import Noise
from fokker.perturbation import Perturbation
from fokker.sampler import Claims, Coefficients, OneStep

__all__ = ["Heun", "of_ratio", "ratio"]


def ratio(p: Perturbation, t: Tensor) -> Tensor:
    """Noise in units of the scaled data, s = sigma / alpha, the sigma of Karras et al. (2022)."""
    return p.sigma(t) / p.alpha(t)


def of_ratio(p: Perturbation, s: Tensor) -> Tensor:
    """Times at which sigma / alpha is `s`; the nearest end of [0, 1] where there are none."""
    return p.time(-2 * s.log())


@component
class Heun(OneStep):
    """Second-order Runge-Kutta step of the probability flow (Karras et al., 2022, algorithms 1 and 3).

        dy/du = eps,    y = x / alpha,  u = sigma / alpha,      h = u_s - u_t
        y_m = y_t + share h eps(y_t, u_t),                      u_m = u_t + share h
        y_s = y_t + h ((1 - w) eps(y_t, u_t) + w eps(y_m, u_m)),    w = 1 / (2 share)

    A step into sigma = 0, where the noise is no longer defined, is Euler's, y_t + h eps(y_t, u_t), which is the
    expected data, and takes one evaluation. With `variable=time` the same rule is applied to dx/dt = alpha' x0 +
    sigma' eps over time, as for the schedules and scalings of others in the source's comparison (its eq. 4).

    Args:
        share: Where in the step the second slope is taken: 1 is Heun's method, 1/2 the midpoint rule, 2/3 Ralston's.
        variable: What is stepped in: `ratio`, sigma / alpha, over the scaled state; `time`, over the state.
    """

    share: Annotated[float, Gt(0), Le(1)] = 1.0
    variable: Literal["ratio", "time"] = "ratio"

    @property
    def claims(self) -> Claims:
        """Order 2 at two evaluations a step."""
        scaled = self.variable == "ratio"
        return Claims(order=2, evaluations=2, schedule_invariant=scaled, exact_on_point_mass=scaled)

    def coefficients(self, p: Perturbation, t: Tensor, s: Tensor) -> dict[str, Tensor]:
        """Factors of x and both eps, in the middle (x_m, eps_m) and at the end, and the time of the middle."""
        found = self._over_ratio(p, t, s) if self.variable == "ratio" else self._over_time(p, t, s)
        return {name: c.broadcast_to(t.shape).clone() for name, c in found.items()}

    def _over_ratio(self, p: Perturbation, t: Tensor, s: Tensor) -> dict[str, Tensor]:
        u, end = ratio(p, t), p.sigma(s) == 0
        h = ratio(p, s) - u
        m = s if self.share == 1 else torch.where(s == t, s, of_ratio(p, u + self.share * h))
        weight = torch.where(end, 0.0, 1 / (2 * self.share))
        fade_m, fade = ((p.log_alpha(there) - p.log_alpha(t)).exp() for there in (m, s))
        return {
            "x_m": fade_m,
            "eps_m": p.alpha(m) * self.share * h,
            "x": fade,
            "eps": p.alpha(s) * h * (1 - weight),
            "second": p.alpha(s) * h * weight,
            "time": m,
        }

    def _over_time(self, p: Perturbation, t: Tensor, s: Tensor) -> dict[str, Tensor]:
        h, end = s - t, p.sigma(s) == 0
        m = s if self.share == 1 else t + self.share * h
        there = torch.where(end, t, m)  # rates need not exist where sigma is 0, and the second slope is not taken
        weight = torch.where(end, 0.0, 1 / (2 * self.share))
        (f, g), (f_m, g_m) = _slope(p, t), _slope(p, there)
        x_m, eps_m = 1 + self.share * h * f, self.share * h * g
        return {
            "x_m": x_m,
            "eps_m": eps_m,
            "x": 1 + h * ((1 - weight) * f + weight * f_m * x_m),
            "eps": h * ((1 - weight) * g + weight * f_m * eps_m),
            "second": h * weight * g_m,
            "time": m,
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
        eps = model(x, t, cond).eps
        there = c["x"] * x + c["eps"] * eps
        second, m = c["second"], c["time"]
        if isinstance(second, float) and not second:
            return there  # Euler's step into sigma = 0, or one that leads nowhere
        if isinstance(m, Tensor):
            m = m.reshape(len(x))
        return there + second * model(c["x_m"] * x + c["eps_m"] * eps, m, cond).eps


def _slope(p: Perturbation, t: Tensor) -> tuple[Tensor, Tensor]:
    """Factors of x and eps in dx/dt = alpha' x0 + sigma' eps."""
    d_alpha, d_sigma = p.rates(t)
    f = d_alpha / p.alpha(t)
    return f, d_sigma - f * p.sigma(t)
