"""Perturbations whose noise grows in proportion to time.

edm     x_t = x_0 + sigma_max t z              (Karras et al., 2022)
flow    x_t = (1 - u) x_0 + u z,   u ~ t       (Lipman et al., 2023; Liu et al., 2023)
"""

from math import exp
from typing import Annotated

import torch
from annotated_types import Gt, Interval
from torch import Tensor

from fokker.component import component
from fokker.errors import ConfigError
from fokker.perturbation import Perturbation

__all__ = ["EDMNoise", "Flow"]


@component
class EDMNoise(Perturbation):
    """Noise as the clock (Karras et al., 2022, table 1, column "ours").

        alpha = 1,    sigma = sigma_max t,    t_min = sigma_min / sigma_max

    The source's time is sigma itself, from 0 to sigma_max; here it is divided by sigma_max. The tangent of the
    probability flow then points at the expected data, so that a step of Euler's method over all times is a denoising.

    Args:
        sigma_min: Smallest noise that is trained on and integrated to, in the units of the model's data.
        sigma_max: Largest noise.
    """

    sigma_min: Annotated[float, Gt(0)] = 0.002
    sigma_max: Annotated[float, Gt(0)] = 80.0

    def __post_init__(self) -> None:
        """Check the order of the two, and tell the earliest time that follows from them."""
        if self.sigma_max <= self.sigma_min:
            raise ConfigError(
                f"EDMNoise.sigma_max must be greater than sigma_min = {self.sigma_min:g}, got {self.sigma_max:g}."
            )
        object.__setattr__(self, "t_min", self.sigma_min / self.sigma_max)

    def log_alpha(self, t: Tensor) -> Tensor:
        """0."""
        return torch.zeros_like(t)

    def alpha(self, t: Tensor) -> Tensor:
        """1."""
        return torch.ones_like(t)

    def sigma(self, t: Tensor) -> Tensor:
        """Linear in t."""
        return self.sigma_max * t

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """0 and sigma_max."""
        return torch.zeros_like(t), torch.full_like(t, self.sigma_max)

    def diffusion(self, t: Tensor) -> Tensor:
        """sigma_max sqrt(2 t)."""
        return self.sigma_max * (2 * t).sqrt()

    def time(self, log_snr: Tensor) -> Tensor:
        """exp(-lambda / 2) / sigma_max."""
        return ((-log_snr / 2).exp() / self.sigma_max).clamp(max=1)


@component
class Flow(Perturbation):
    """Straight lines between data and noise, the path of rectified flow (Liu et al., 2023, eq. 1).

        alpha = 1 - u,    sigma = u,    u = t / (1 + exp(log_snr_min / 2))

    It is Lipman et al.'s (2023, eq. 20) with time reversed. On the whole line, u from 0 to 1, the velocity is finite
    everywhere, z - x_0 for a pair, but log-SNR, drift and diffusion are not at its end, where no data is left. Here it
    stops at the log-SNR that is asked for, so that every sampler and every grid can begin there: what is left of the
    data is alpha(1) = 0.0025 at -12, and less than rounding, which is the whole line, at -80.

    Args:
        log_snr_min: Log-SNR at t = 1.
        t_min: Earliest time used in training and sampling.
    """

    log_snr_min: Annotated[float, Interval(ge=-80, le=0)] = -12.0
    t_min: Annotated[float, Interval(ge=0, lt=1)] = 1e-3

    @property
    def _end(self) -> float:
        """u(1)."""
        return 1 / (1 + exp(self.log_snr_min / 2))

    def alpha(self, t: Tensor) -> Tensor:
        """1 - u, counted from the nearer end."""
        rest = 1 / (1 + exp(-self.log_snr_min / 2))  # 1 - u(1): as little as 4e-18, so it is not a difference
        return torch.where(t < 0.5, 1 - self._end * t, rest + self._end * (1 - t))

    def sigma(self, t: Tensor) -> Tensor:
        """u."""
        return self._end * t

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """-u' and u'."""
        return torch.full_like(t, -self._end), torch.full_like(t, self._end)

    def diffusion(self, t: Tensor) -> Tensor:
        """sqrt(2 u' u / (1 - u))."""
        return (2 * self._end * self.sigma(t) / self.alpha(t)).sqrt()

    def time(self, log_snr: Tensor) -> Tensor:
        """u = 1 / (1 + exp(lambda / 2))."""
        return (torch.sigmoid(-log_snr / 2) / self._end).clamp(max=1)
