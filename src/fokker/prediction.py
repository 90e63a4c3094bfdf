"""What a model says about a noisy example: one quantity, from which all others follow.

    x = alpha x0 + sigma eps        score = -eps / sigma
    v = alpha eps - sigma x0        velocity = alpha' x0 + sigma' eps

(Salimans & Ho, 2022, appendix D for v.) A `Prediction` keeps the quantity that the model gave, its primary, and
derives the others when they are asked for: an eager pair (x0, eps) is singular at both ends of time and costs
passes over the data. All of them are linear in `x` and the primary, and so is a sampler's step in any of them: what
`linear` adds up on the host, as two numbers, costs two passes over the data whatever the model gives.
"""

from collections.abc import Callable
from math import isfinite
from typing import Literal

import torch
from torch import Tensor

from fokker.errors import SingularError
from fokker.perturbation import Scale

__all__ = ["Prediction", "Primary", "Rates", "weighted"]

Primary = Literal["score", "eps", "x0", "v", "velocity"]
Rates = Callable[[], tuple[Scale, Scale]]
"""Gives (alpha', sigma'), shaped like alpha and sigma; called only when a velocity is involved."""


class Prediction:
    """One prediction at a state `x`, with exactly one primary quantity.

    `score` and `eps` are regular primaries at sigma = 0, `x0` at alpha = 0, `v` and `velocity` at both ends. Asking for
    what does not exist there raises; nothing returns NaN.

    Args:
        x: Noisy data, (B, *D).
        alpha: Scale of the data, a float or (B, 1, ..., 1).
        sigma: Standard deviation of the noise, likewise.
        score: Gradient of log p_t at `x`, (B, *D); as are the other four, of which exactly one is given.
        eps: Expected noise.
        x0: Expected data.
        v: alpha eps - sigma x0.
        velocity: Drift of the probability-flow ODE.
        rates: Gives (alpha', sigma'); needed to derive, or derive from, a velocity.
        log_var: Log-variance of a learned reverse transition, (B, *D), where the model has one.

    Raises:
        TypeError: Unless exactly one primary is given.
    """

    __slots__ = ("_value", "alpha", "log_var", "primary", "rates", "sigma", "x")

    primary: Primary

    def __init__(
        self,
        x: Tensor,
        alpha: Scale,
        sigma: Scale,
        *,
        score: Tensor | None = None,
        eps: Tensor | None = None,
        x0: Tensor | None = None,
        v: Tensor | None = None,
        velocity: Tensor | None = None,
        rates: Rates | None = None,
        log_var: Tensor | None = None,
    ) -> None:
        self.x = x
        self.alpha = alpha
        self.sigma = sigma
        self.rates = rates
        self.log_var = log_var
        count = 0
        if eps is not None:
            self.primary, self._value, count = "eps", eps, 1
        if x0 is not None:
            self.primary, self._value, count = "x0", x0, count + 1
        if v is not None:
            self.primary, self._value, count = "v", v, count + 1
        if score is not None:
            self.primary, self._value, count = "score", score, count + 1
        if velocity is not None:
            self.primary, self._value, count = "velocity", velocity, count + 1
        if count != 1:
            raise TypeError(f"Prediction takes exactly one of score, eps, x0, v, velocity; got {count}.")

    @property
    def value(self) -> Tensor:
        """The primary quantity itself."""
        return self._value

    @property
    def x0(self) -> Tensor:
        """Expected data given `x` (Tweedie's formula), (B, *D)."""
        return self._value if self.primary == "x0" else self.linear(x0=1.0)

    @property
    def eps(self) -> Tensor:
        """Expected noise given `x`, (B, *D)."""
        return self._value if self.primary == "eps" else self.linear(eps=1.0)

    @property
    def score(self) -> Tensor:
        """Gradient of log p_t at `x`, (B, *D)."""
        return self._value if self.primary == "score" else self.linear(score=1.0)

    @property
    def v(self) -> Tensor:
        """alpha eps - sigma x0, (B, *D)."""
        return self._value if self.primary == "v" else self._tangent(self.alpha, -1.0 * self.sigma, "v")

    @property
    def velocity(self) -> Tensor:
        """Drift of the probability-flow ODE, alpha' x0 + sigma' eps, (B, *D)."""
        if self.primary == "velocity":
            return self._value
        d_alpha, d_sigma = self._rates()
        return self._tangent(d_sigma, d_alpha, "velocity")

    def linear(self, *, x: Scale = 0.0, x0: Scale = 0.0, eps: Scale = 0.0, score: Scale = 0.0) -> Tensor:
        """The sum of the state and of what follows from the prediction, each times its factor, (B, *D).

        Two passes over the data, whatever the primary is; what has the factor 0.0 need not exist.

        Args:
            x: Factor of the state: a float, or (B, 1, ..., 1).
            x0: Factor of the expected data, likewise.
            eps: Factor of the expected noise.
            score: Factor of the score.

        Returns:
            A tensor of its own.

        Raises:
            SingularError: If one of them does not exist here.
        """
        return weighted(self.x, self._value, *self.factors(x=x, x0=x0, eps=eps, score=score))

    def factors(self, *, x: Scale = 0.0, x0: Scale = 0.0, eps: Scale = 0.0, score: Scale = 0.0) -> tuple[Scale, Scale]:
        """The factors of the state and of the primary in `linear`, for what adds up several predictions.

        Args:
            x: See `linear`.
            x0: See `linear`.
            eps: See `linear`.
            score: See `linear`.

        Returns:
            Python floats, or (B, 1, ..., 1) where an argument or a scale is such a tensor.

        Raises:
            SingularError: If one of them does not exist here.
        """
        primary, alpha, sigma = self.primary, self.alpha, self.sigma
        if primary == "score":
            # eps = -sigma score; the score itself is regular where sigma = 0
            if not _nothing(x0):
                self._refuse_zero(alpha, "x0", "alpha")
                ratio = x0 / alpha
                return x + ratio, score + sigma * (ratio * sigma - eps)
            return x, score - sigma * eps
        if not _nothing(score):
            self._refuse_zero(sigma, "score", "sigma")
            eps = eps - score / sigma
        if primary == "eps":
            if _nothing(x0):
                return x, eps
            self._refuse_zero(alpha, "x0", "alpha")
            ratio = x0 / alpha
            return x + ratio, eps - ratio * sigma
        if primary == "x0":
            if _nothing(eps):
                return x, x0
            self._refuse_zero(sigma, "eps", "sigma")
            ratio = eps / sigma
            return x + ratio, x0 - ratio * alpha
        if _nothing(x0) and _nothing(eps):
            return x, 0.0
        if primary == "v":
            power = self._power("eps" if _nothing(x0) else "x0")
            return x + (alpha * x0 + sigma * eps) / power, (alpha * eps - sigma * x0) / power
        d_alpha, d_sigma = self._rates()
        determinant = self._determinant("eps" if _nothing(x0) else "x0", d_alpha, d_sigma)
        return x + (d_sigma * x0 - d_alpha * eps) / determinant, (alpha * eps - sigma * x0) / determinant

    def _tangent(self, of_eps: Scale, of_x0: Scale, name: str) -> Tensor:
        # where both factors are given, the one is refused for the sake of the other: by the name that was asked for
        if self.primary in ("eps", "score"):
            self._refuse_zero(self.alpha, name, "alpha")
        elif self.primary == "x0":
            self._refuse_zero(self.sigma, name, "sigma")
        return self.linear(eps=of_eps, x0=of_x0)

    def _rates(self) -> tuple[Scale, Scale]:
        if self.rates is None:
            raise TypeError("A velocity needs the rates (alpha', sigma'); pass rates= to Prediction.")
        rates = self.rates()
        for rate in rates:
            if not (isfinite(rate) if isinstance(rate, float) else bool(torch.isfinite(torch.as_tensor(rate)).all())):
                raise SingularError(
                    "The velocity is infinite here: sigma' does not exist at this time; keep t above t_min."
                )
        return rates

    def _power(self, name: str) -> Scale:
        power = self.alpha**2 + self.sigma**2
        self._refuse_zero(power, name, "alpha^2 + sigma^2")
        return power

    def _determinant(self, name: str, d_alpha: Scale, d_sigma: Scale) -> Scale:
        determinant = self.alpha * d_sigma - self.sigma * d_alpha
        self._refuse_zero(determinant, name, "alpha sigma' - sigma alpha'")
        return determinant

    def _refuse_zero(self, scale: Scale, name: str, what: str) -> None:
        if not scale if isinstance(scale, float) else bool((torch.as_tensor(scale) == 0).any()):
            mend = {
                "alpha": "take another parameterization, such as v, or a perturbation whose alpha(1) is above 0",
                "sigma": "end the grid before t = 0, or take another parameterization, such as v",
            }.get(what, "keep away from this time")
            raise SingularError(f"{name} does not follow from {self.primary} where {what} = 0; {mend}.")

    def residual(self, x0: Tensor, eps: Tensor) -> tuple[Tensor, Scale]:
        """How far the primary is from its target, in the primary's own units.

        The error of the derived x0 is `gain * residual`. Losses multiply the gain into their weight instead of
        subtracting two nearly equal x0.

        Args:
            x0: The clean data, (B, *D).
            eps: The noise that made `x` of it, (B, *D).

        Returns:
            The residual (B, *D) and the gain, a float or (B, 1, ..., 1).
        """
        alpha, sigma = self.alpha, self.sigma
        match self.primary:
            case "x0":
                return self._value - x0, 1.0
            case "eps":
                self._refuse_zero(alpha, "x0", "alpha")
                return eps - self._value, sigma / alpha
            case "score":
                self._refuse_zero(alpha, "x0", "alpha")
                self._refuse_zero(sigma, "score", "sigma")
                return self._value + eps / sigma, sigma**2 / alpha
            case "v":
                return alpha * eps - sigma * x0 - self._value, sigma / self._power("x0")
            case "velocity":
                d_alpha, d_sigma = self._rates()
                gain = sigma / self._determinant("x0", d_alpha, d_sigma)
                return d_alpha * x0 + d_sigma * eps - self._value, gain


def weighted(x: Tensor, y: Tensor, of_x: Scale, of_y: Scale) -> Tensor:
    """of_x x + of_y y in at most two passes over the data, as a tensor of its own.

    Args:
        x: (B, *D).
        y: Likewise.
        of_x: A float, or (B, 1, ..., 1).
        of_y: Likewise.
    """
    if not (isinstance(of_x, float) and isinstance(of_y, float)):
        return of_x * x + of_y * y
    if not of_y:
        return torch.mul(x, of_x)
    if not of_x:
        return torch.mul(y, of_y)
    if of_x == 1:
        return torch.add(x, y, alpha=of_y)
    # the sum is written over the product: a third tensor costs as much as a pass, where it has to be fetched
    return torch.mul(x, of_x).add_(y, alpha=of_y)


def _nothing(factor: Scale) -> bool:
    return isinstance(factor, float) and not factor
