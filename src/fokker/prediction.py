"""What a model says about a noisy example: one quantity, from which all others follow.

    x = alpha x0 + sigma eps        score = -eps / sigma
    v = alpha eps - sigma x0        velocity = alpha' x0 + sigma' eps

(Salimans & Ho, 2022, appendix D for v.) A `Prediction` keeps the quantity that the model gave, its primary, and
derives the others when they are asked for: an eager pair (x0, eps) is singular at both ends of time and costs
passes over the data.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from fokker.errors import SingularError
from fokker.perturbation import Scale

__all__ = ["Prediction", "Primary", "Rates"]

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
        self.x, self.alpha, self.sigma, self.rates, self.log_var = x, alpha, sigma, rates, log_var
        count = 0
        for name, value in (("score", score), ("eps", eps), ("x0", x0), ("v", v), ("velocity", velocity)):
            if value is not None:
                self.primary, self._value = name, value  # type: ignore[assignment]
                count += 1
        if count != 1:
            raise TypeError(f"Prediction takes exactly one of score, eps, x0, v, velocity; got {count}.")

    @property
    def value(self) -> Tensor:
        """The primary quantity itself."""
        return self._value

    @property
    def x0(self) -> Tensor:
        """Expected data given `x` (Tweedie's formula), (B, *D)."""
        if self.primary == "x0":
            return self._value
        x, alpha, sigma, y = self.x, self.alpha, self.sigma, self._value
        if self.primary == "v":
            return (alpha * x - sigma * y) / self._power("x0")
        if self.primary == "velocity":
            _, d_sigma = self._rates()
            return (d_sigma * x - sigma * y) / self._determinant("x0")
        self._refuse_zero(alpha, "x0", "alpha")
        if self.primary == "eps":
            return (x - sigma * y) / alpha
        return (x + sigma**2 * y) / alpha

    @property
    def eps(self) -> Tensor:
        """Expected noise given `x`, (B, *D)."""
        if self.primary == "eps":
            return self._value
        x, alpha, sigma, y = self.x, self.alpha, self.sigma, self._value
        if self.primary == "score":
            return -sigma * y
        if self.primary == "v":
            return (sigma * x + alpha * y) / self._power("eps")
        if self.primary == "velocity":
            d_alpha, _ = self._rates()
            return (alpha * y - d_alpha * x) / self._determinant("eps")
        self._refuse_zero(sigma, "eps", "sigma")
        return (x - alpha * y) / sigma

    @property
    def score(self) -> Tensor:
        """Gradient of log p_t at `x`, (B, *D)."""
        if self.primary == "score":
            return self._value
        self._refuse_zero(self.sigma, "score", "sigma")
        return self.eps / -self.sigma

    @property
    def v(self) -> Tensor:
        """alpha eps - sigma x0, (B, *D)."""
        if self.primary == "v":
            return self._value
        return self._combine(self.alpha, -1.0 * self.sigma, "v")

    @property
    def velocity(self) -> Tensor:
        """Drift of the probability-flow ODE, alpha' x0 + sigma' eps, (B, *D)."""
        if self.primary == "velocity":
            return self._value
        d_alpha, d_sigma = self._rates()
        return self._combine(d_sigma, d_alpha, "velocity")

    def _combine(self, of_eps: Scale, of_x0: Scale, name: str) -> Tensor:
        # one of the two is eliminated by x = alpha x0 + sigma eps: the one that costs a division of the primary
        alpha, sigma = self.alpha, self.sigma
        if self.primary in ("eps", "score"):
            self._refuse_zero(alpha, name, "alpha")
            return (of_x0 / alpha) * self.x + (of_eps - of_x0 * sigma / alpha) * self.eps
        if self.primary == "x0":
            self._refuse_zero(sigma, name, "sigma")
            return (of_eps / sigma) * self.x + (of_x0 - of_eps * alpha / sigma) * self.x0
        return of_eps * self.eps + of_x0 * self.x0

    def _rates(self) -> tuple[Scale, Scale]:
        if self.rates is None:
            raise TypeError("A velocity needs the rates (alpha', sigma'); pass rates= to Prediction.")
        rates = self.rates()
        for rate in rates:
            if not bool(torch.isfinite(torch.as_tensor(rate)).all()):
                raise SingularError(
                    "The velocity is infinite here: sigma' does not exist at this time; keep t above t_min."
                )
        return rates

    def _power(self, name: str) -> Scale:
        power = self.alpha**2 + self.sigma**2
        self._refuse_zero(power, name, "alpha^2 + sigma^2")
        return power

    def _determinant(self, name: str) -> Scale:
        d_alpha, d_sigma = self._rates()
        determinant = self.alpha * d_sigma - self.sigma * d_alpha
        self._refuse_zero(determinant, name, "alpha sigma' - sigma alpha'")
        return determinant

    def _refuse_zero(self, scale: Scale, name: str, what: str) -> None:
        if scale == 0 if isinstance(scale, float) else bool((torch.as_tensor(scale) == 0).any()):
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
                return d_alpha * x0 + d_sigma * eps - self._value, sigma / self._determinant("x0")
