"""Perturbations: how data turns into noise.

    x_t = alpha(t) x_0 + sigma(t) z,    z ~ N(0, I),    t in [0, 1], data at 0, prior at 1

Two functions of time say everything. With lambda = 2 log(alpha / sigma), the log-SNR,

    dx = f x dt + g dw,      f = d log(alpha) / dt,      g^2 = -sigma^2 d lambda / dt
    x_t = a x_s + v z,       a = alpha_t / alpha_s,      v^2 = sigma_t^2 - a^2 sigma_s^2

(Kingma et al., 2021, eq. 1 and appendix A; Song et al., 2021, eq. 5). Formulas are written for float64 times on
the host; they keep the dtype and device of the time that they are given.
"""

from abc import ABC, abstractmethod
from math import atan, exp, log, pi, sqrt
from typing import Annotated, ClassVar

import torch
from annotated_types import Gt, Interval
from torch import Tensor

from fokker.component import component
from fokker.errors import ConfigError

__all__ = ["VE", "VP", "Cosine", "LinearBeta", "Perturbation", "Scale", "SubVP", "expand"]

Scale = float | Tensor
"""A coefficient of one time (a Python float) or of one time per example, shaped to broadcast, (B, 1, ..., 1)."""

_MEMO_SIZE = 8192


def expand(c: Tensor, x: Tensor) -> Tensor:
    """Give a coefficient per example, (B,), the trailing dimensions it needs to broadcast against `x`, (B, *D)."""
    return c.reshape(c.shape + (1,) * (x.ndim - c.ndim))


class Perturbation(ABC):
    """The law of `x_t` given `x_0`: N(alpha(t) x_0, sigma(t)^2 I); subclasses are components (`@component`).

    A subclass writes `alpha` and `sigma`. Everything else follows; what has a more accurate closed form may be
    overridden. `alpha / sigma` must be strictly decreasing.
    """

    kind: ClassVar[str] = "perturbation"
    t_min: float = 0.0
    """The earliest time that is trained on and integrated to."""
    vanishing: ClassVar[bool] = False
    """Whether its noise is a formality: `x_t` is the data, and what cannot work `without_noise` is refused."""

    @abstractmethod
    def alpha(self, t: Tensor) -> Tensor:
        """Scale of the data at times `t` in [0, 1] of any shape."""

    @abstractmethod
    def sigma(self, t: Tensor) -> Tensor:
        """Standard deviation of the noise at times `t` in [0, 1] of any shape."""

    @property
    def prior_std(self) -> float:
        """Standard deviation of the Gaussian that sampling starts from at t = 1."""
        return float(self.sigma(torch.ones((), dtype=torch.float64)))

    @property
    def prior_variance(self) -> float:
        """Variance v of the data that `prior_std` takes for granted: prior_std^2 = sigma(1)^2 + alpha(1)^2 v.

        0 where the prior is the noise alone, and 0 where alpha(1) = 0, which tells nothing of the data.
        """
        alpha, sigma = self.scales(1.0, torch.empty(0))
        assert isinstance(alpha, float) and isinstance(sigma, float)
        return max(0.0, (self.prior_std**2 - sigma**2) / alpha**2) if alpha else 0.0

    def prior_at(self, t: float) -> float:
        """Standard deviation of the Gaussian that sampling starts from at any time `t`.

            sigma(t)^2 + alpha(t)^2 v,    v the `prior_variance`

        which is what the prior of t = 1 has come from, or would turn into; `prior_std` at t = 1 itself.
        """
        if t == 1:
            return self.prior_std
        alpha, sigma = self.scales(t, torch.empty(0))
        assert isinstance(alpha, float) and isinstance(sigma, float)
        return sqrt(sigma**2 + alpha**2 * self.prior_variance)

    @property
    def knots(self) -> Tensor | None:
        """Times of the levels of a table, ascending, float64 (levels,); None for a continuous perturbation."""
        return None

    @property
    def tabulated(self) -> tuple[Tensor, Tensor] | None:
        """alpha and sigma of the levels as the table has them, float64 (levels,) each; None unless it claims any.

        `alpha` and `sigma` are exactly these on the knots.
        """
        return None

    def index(self, t: Tensor) -> Tensor:
        """Level at times `t`, int64, 1 for the smallest noise.

        Raises:
            ConfigError: Where there are no levels, or where `t` lies between two of them.
        """
        level = self.nearest_level(t)
        knots = self.knots
        assert knots is not None
        if bool(((knots.to(t.device)[level - 1] - t).abs() > 1e-6).any()):
            raise ConfigError(
                "The label 'index' exists on the levels of the table only, and a time lies between two of them; "
                "use the grid 'knots', or 'on-levels' around another grid, or say what the network is told there, by "
                "'fokker sample --between round' or 'index:between=round', or train with a label such as 't'."
            )
        return level

    def nearest_level(self, t: Tensor) -> Tensor:
        """Level whose time is nearest to times `t`, int64, 1 for the smallest noise.

        Raises:
            ConfigError: Where there are no levels.
        """
        knots = self.knots
        if knots is None:
            raise ConfigError(
                f"{type(self).__name__} is continuous and has no levels; use another label than 'index', such as 't'."
            )
        knots = knots.to(t.device)
        return torch.searchsorted((knots[1:] + knots[:-1]) / 2, t.double().contiguous()) + 1

    def log_alpha(self, t: Tensor) -> Tensor:
        """Logarithm of alpha."""
        return self.alpha(t).log()

    def log_snr(self, t: Tensor) -> Tensor:
        """lambda(t) = 2 log(alpha / sigma), strictly decreasing; infinite where sigma = 0."""
        return 2 * (self.log_alpha(t) - self.sigma(t).log())

    def time(self, log_snr: Tensor) -> Tensor:
        """Invert `log_snr` on [0, 1], by bisection to the last bit; values outside its range give the nearest end."""
        target = log_snr.double()
        low = torch.zeros_like(target)
        high = torch.where(target >= self.log_snr(low), low, torch.ones_like(low))
        for _ in range(1100):  # enough to reach the smallest float64, which lies far below 2**-60
            middle = (low + high) / 2
            if bool(((middle == low) | (middle == high)).all()):
                break
            above = self.log_snr(middle) > target
            low, high = torch.where(above, middle, low), torch.where(above, high, middle)
        return high.to(log_snr.dtype)

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Time derivatives (alpha', sigma'), by automatic differentiation unless a subclass knows better."""
        with torch.enable_grad():
            t = t.detach().requires_grad_()
            alpha, sigma = self.alpha(t), self.sigma(t)
            (d_alpha,) = torch.autograd.grad(alpha.sum(), t) if alpha.requires_grad else (torch.zeros_like(t),)
            (d_sigma,) = torch.autograd.grad(sigma.sum(), t) if sigma.requires_grad else (torch.zeros_like(t),)
        return d_alpha.detach(), d_sigma.detach()

    def drift(self, t: Tensor) -> Tensor:
        """f(t) = d log(alpha) / dt; the forward drift is f(t) x."""
        return self.rates(t)[0] / self.alpha(t)

    def diffusion(self, t: Tensor) -> Tensor:
        """g(t) = sigma sqrt(-d lambda / dt) = sqrt(2 sigma sigma' - 2 f sigma^2)."""
        d_alpha, d_sigma = self.rates(t)
        sigma = self.sigma(t)
        return (2 * sigma * (d_sigma - d_alpha / self.alpha(t) * sigma)).clamp(min=0).sqrt()

    def transition(self, s: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """The law of `x_t` given `x_s` for s <= t: x_t = a x_s + v z.

        Returns:
            a and the standard deviation v, broadcast from `s` and `t`; the composition of transitions is exact.
        """
        fade = self.log_alpha(t) - self.log_alpha(s)
        a = torch.where(fade.isnan(), 0.0, fade).exp()  # both are infinite where nothing is left of the data
        # v^2 = sigma_t^2 (1 - SNR_t / SNR_s): no cancellation when s is close to t, and right where sigma_s = 0
        fall = self.log_snr(t) - self.log_snr(s)
        fall = torch.where(fall.isnan(), 0.0, fall)  # the same, and where there is no noise yet
        v = self.sigma(t) * (-torch.expm1(fall)).clamp(min=0).sqrt()
        return a, v

    def perturb(self, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """alpha(t) x0 + sigma(t) eps for examples (B, *D) and times () or (B,)."""
        alpha, sigma = self.scales(t, x0)
        return alpha * x0 + sigma * eps

    def scales(self, t: Tensor | float, x: Tensor) -> tuple[Scale, Scale]:
        """alpha and sigma ready to multiply `x`, computed in float64 on the host.

        Args:
            t: One time, () or a float, or one per example, (B,).
            x: The state, (B, *D), whose dtype and device the result takes.

        Returns:
            Python floats for one time (remembered: a grid is evaluated once), tensors (B, 1, ..., 1) otherwise.
        """
        if isinstance(t, float):
            return self._at(t)
        if t.ndim == 0:
            return self._at(float(t))
        host = t.detach().to("cpu", torch.float64)
        return tuple(expand(c.to(x.device, x.dtype), x) for c in (self.alpha(host), self.sigma(host)))  # type: ignore[return-value]

    def rates_at(self, t: float) -> tuple[float, float]:
        """alpha' and sigma' at one time, as Python floats, remembered like `scales`."""
        memo: dict[float, tuple[float, float]] = self.__dict__.setdefault("_rates", {})
        found = memo.get(t)
        if found is None:
            d_alpha, d_sigma = self.rates(torch.tensor(t, dtype=torch.float64))
            found = float(d_alpha), float(d_sigma)
            _keep(memo, {t: found})
        return found

    def remember(self, grid: Tensor) -> None:
        """Evaluate alpha and sigma at all times of a grid at once, for `scales` to look up at its steps.

        Args:
            grid: Times, float64 on the host, (N + 1,).
        """
        pairs = zip(self.alpha(grid).tolist(), self.sigma(grid).tolist(), strict=True)
        _keep(self.__dict__.setdefault("_memo", {}), dict(zip(grid.tolist(), pairs, strict=True)))

    def _at(self, t: float) -> tuple[float, float]:
        memo: dict[float, tuple[float, float]] | None = self.__dict__.get("_memo")
        found = None if memo is None else memo.get(t)
        if found is None:
            time = torch.tensor(t, dtype=torch.float64)
            found = float(self.alpha(time)), float(self.sigma(time))
            _keep(self.__dict__.setdefault("_memo", {}), {t: found})
        return found


def _keep(memo: dict[float, tuple[float, float]], found: dict[float, tuple[float, float]]) -> None:
    if len(memo) + len(found) > _MEMO_SIZE:
        memo.clear()
    memo.update(found)


@component
class LinearBeta(Perturbation):
    """What VP and sub-VP share: data that fades at a rate beta(t) linear in time (Song et al., 2021, eq. 33).

        log alpha = -(beta_max - beta_min) t^2 / 4 - beta_min t / 2

    Args:
        beta_min: beta(0), the rate at which noise comes in at first.
        beta_max: beta(1).
        t_min: Earliest time used in training and sampling.
    """

    beta_min: Annotated[float, Gt(0)] = 0.1
    beta_max: Annotated[float, Gt(0)] = 20.0
    t_min: Annotated[float, Interval(ge=0, lt=1)] = 1e-3

    def __post_init__(self) -> None:
        if self.beta_max < self.beta_min:
            raise ConfigError(
                f"{type(self).__name__}.beta_max must be at least beta_min = {self.beta_min:g}, got {self.beta_max:g}."
            )

    @property
    def prior_std(self) -> float:
        """1: what is left of the data at t = 1 is taken for noise."""
        return 1.0

    @property
    def prior_variance(self) -> float:
        """1: data of unit variance stays of unit variance."""
        return 1.0

    def beta(self, t: Tensor) -> Tensor:
        """The rate beta(t) = -2 f(t)."""
        return self.beta_min + (self.beta_max - self.beta_min) * t

    def log_alpha(self, t: Tensor) -> Tensor:
        """In closed form."""
        return -t * ((self.beta_max - self.beta_min) * t / 4 + self.beta_min / 2)

    def alpha(self, t: Tensor) -> Tensor:
        """exp(log alpha)."""
        return self.log_alpha(t).exp()

    def drift(self, t: Tensor) -> Tensor:
        """-beta / 2."""
        return -self.beta(t) / 2

    def time_of(self, minus_log_alpha: Tensor) -> Tensor:
        """The time in [0, 1] at which -log alpha has a value: the positive root, without cancellation near 0."""
        slope = self.beta_max - self.beta_min
        b = minus_log_alpha.clamp(max=(self.beta_min + self.beta_max) / 4)  # its value at t = 1; infinity has no root
        return (4 * b / (self.beta_min + (self.beta_min**2 + 4 * slope * b).sqrt())).clamp(max=1)


@component
class VP(LinearBeta):
    """Variance-preserving SDE with linear beta, the limit of DDPM (Song et al., 2021, eq. 11 and 33).

        log alpha = -(beta_max - beta_min) t^2 / 4 - beta_min t / 2,    sigma^2 = 1 - alpha^2

    Args:
        beta_min: beta(0), the rate at which noise comes in at first.
        beta_max: beta(1).
        t_min: Earliest time used in training and sampling.
    """

    def sigma(self, t: Tensor) -> Tensor:
        """sqrt(1 - alpha^2), by expm1: the plain formula is 0.6 % off at t = 1e-5 in float32."""
        return (-torch.expm1(2 * self.log_alpha(t))).sqrt()

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """alpha' = -beta alpha / 2 and sigma' = beta alpha^2 / (2 sigma)."""
        half = self.beta(t) / 2
        alpha = self.alpha(t)
        return -half * alpha, half * alpha**2 / self.sigma(t)

    def diffusion(self, t: Tensor) -> Tensor:
        """sqrt(beta)."""
        return self.beta(t).sqrt()

    def time(self, log_snr: Tensor) -> Tensor:
        """-2 log alpha = softplus(-lambda)."""
        return self.time_of(torch.nn.functional.softplus(-log_snr, threshold=1000.0) / 2)


@component
class SubVP(LinearBeta):
    """Sub-variance-preserving SDE (Song et al., 2021, eq. 12 and 33).

        log alpha as for VP,    sigma = 1 - alpha^2

    Args:
        beta_min: beta(0), the rate at which noise comes in at first.
        beta_max: beta(1).
        t_min: Earliest time used in training and sampling.
    """

    def sigma(self, t: Tensor) -> Tensor:
        """1 - alpha^2, by expm1."""
        return -torch.expm1(2 * self.log_alpha(t))

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """alpha' = -beta alpha / 2 and sigma' = beta alpha^2."""
        beta, alpha = self.beta(t), self.alpha(t)
        return -beta * alpha / 2, beta * alpha**2

    def diffusion(self, t: Tensor) -> Tensor:
        """sqrt(beta (1 - alpha^4)), with 1 - alpha^4 by expm1."""
        return (self.beta(t) * -torch.expm1(4 * self.log_alpha(t))).sqrt()

    def time(self, log_snr: Tensor) -> Tensor:
        """alpha / (1 - alpha^2) = exp(lambda / 2) gives -log alpha = asinh(exp(-lambda / 2) / 2)."""
        return self.time_of(_asinh_half_exp(-log_snr / 2))


@component
class VE(Perturbation):
    """Variance-exploding SDE (Song et al., 2021, eq. 9 and 31).

        alpha = 1,    sigma = sigma_min (sigma_max / sigma_min)^t

    The marginal standard deviation is sigma(t) itself and starts from sigma_min; the integral of the SDE from t = 0
    alone would give sqrt(sigma(t)^2 - sigma_min^2).

    Args:
        sigma_min: Smallest noise, in the units of the model's data.
        sigma_max: Largest noise; about the largest distance between two examples (Song & Ermon, 2020).
    """

    sigma_min: Annotated[float, Gt(0)] = 0.01
    sigma_max: Annotated[float, Gt(0)] = 50.0

    def __post_init__(self) -> None:
        if self.sigma_max <= self.sigma_min:
            raise ConfigError(
                f"VE.sigma_max must be greater than sigma_min = {self.sigma_min:g}, got {self.sigma_max:g}."
            )

    @property
    def _log_ratio(self) -> float:
        return log(self.sigma_max / self.sigma_min)

    def log_alpha(self, t: Tensor) -> Tensor:
        """0."""
        return torch.zeros_like(t)

    def alpha(self, t: Tensor) -> Tensor:
        """1."""
        return torch.ones_like(t)

    def sigma(self, t: Tensor) -> Tensor:
        """Geometric from sigma_min to sigma_max."""
        # counted from the nearer end in the logarithm, so that t = 1 gives sigma_max itself
        return torch.where(
            t < 0.5,
            self.sigma_min * (self._log_ratio * t).exp(),
            self.sigma_max * (self._log_ratio * (t - 1)).exp(),
        )

    def log_snr(self, t: Tensor) -> Tensor:
        """-2 log sigma, linear in t."""
        return -2 * (log(self.sigma_min) + self._log_ratio * t)

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """0 and sigma log(sigma_max / sigma_min)."""
        return torch.zeros_like(t), self.sigma(t) * self._log_ratio

    def diffusion(self, t: Tensor) -> Tensor:
        """sigma sqrt(2 log(sigma_max / sigma_min))."""
        return self.sigma(t) * sqrt(2 * self._log_ratio)

    def time(self, log_snr: Tensor) -> Tensor:
        """Linear in lambda."""
        return ((-log_snr / 2 - log(self.sigma_min)) / self._log_ratio).clamp(0, 1)


@component
class Cosine(Perturbation):
    """Cosine schedule in continuous time (Nichol & Dhariwal, 2021, eq. 17; Hoogeboom et al., 2023).

        alpha = cos(u(t)),  sigma = sin(u(t)),    u from 0 at t = 0 to u(1),  tan(u(1)) = exp(-log_snr_min / 2)

    The angle is linear in t. Where Nichol & Dhariwal shift t by s and clip beta at 0.999, the angle here stops at the
    log-SNR that is asked for.

    Args:
        log_snr_min: Log-SNR at t = 1; it keeps alpha(1) away from 0.
        t_min: Earliest time used in training and sampling.
    """

    log_snr_min: Annotated[float, Interval(ge=-40, le=0)] = -12.0
    t_min: Annotated[float, Interval(ge=0, lt=1)] = 1e-3

    @property
    def prior_std(self) -> float:
        """1, as for VP."""
        return 1.0

    @property
    def prior_variance(self) -> float:
        """1, as for VP."""
        return 1.0

    @property
    def _rest(self) -> float:
        """What u(1) lacks of a right angle: as little as 2e-9, so it is not computed as a difference."""
        return atan(exp(self.log_snr_min / 2))

    @property
    def _angle(self) -> float:
        return pi / 2 - self._rest

    def alpha(self, t: Tensor) -> Tensor:
        """cos(u), as the sine of what is missing to a right angle, so that it is accurate near t = 1."""
        return torch.sin(self._rest + self._angle * (1 - t))

    def sigma(self, t: Tensor) -> Tensor:
        """sin(u)."""
        return torch.sin(self._angle * t)

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """-u' sigma and u' alpha."""
        return -self._angle * self.sigma(t), self._angle * self.alpha(t)

    def time(self, log_snr: Tensor) -> Tensor:
        """u = atan(exp(-lambda / 2))."""
        return ((-log_snr / 2).exp().atan() / self._angle).clamp(max=1)


def _asinh_half_exp(y: Tensor) -> Tensor:
    """asinh(exp(y) / 2) without overflow."""
    return torch.where(y > 20, y, (y.clamp(max=20).exp() / 2).asinh())  # asinh(exp(20) / 2) - 20 = 4e-18
