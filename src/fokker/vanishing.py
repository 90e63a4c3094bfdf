"""Data as it is: a perturbation whose noise is a formality."""

from math import log
from typing import Annotated, ClassVar

import torch
from annotated_types import Gt
from torch import Tensor

from fokker.component import component
from fokker.perturbation import Perturbation

__all__ = ["Vanishing"]

_LEVEL = 1e-6


@component
class Vanishing(Perturbation):
    """One vanishing level of noise, for score matching on the data itself (Hyvarinen, 2005).

        alpha = 1,    sigma = 1e-6 sigma_data 2^(t - 1)

    Score matching without noise is a case of the one equation: `x_t` is the data up to a millionth of its width, and
    eps = -sigma score and score = -eps / sigma hold to rounding, where sigma = 0 would make the latter 0 / 0. That
    sigma grows twofold from t = 0 to t = 1 keeps the log-SNR strictly decreasing, and nothing else: all times mean the
    same. Nothing leads from noise to data here, and the noise teaches nothing, so that it takes an objective, a
    parameterization and a sampler that need none: `explicit` or `sliced`, `score` or `energy`, and Langevin dynamics.

    Args:
        sigma_data: Standard deviation of the model's data; sampling starts from a Gaussian as wide.
    """

    sigma_data: Annotated[float, Gt(0)] = 1.0

    vanishing: ClassVar[bool] = True

    @property
    def prior_std(self) -> float:
        """Sigma_data: there is no law at t = 1 but the data's own."""
        return self.sigma_data

    @property
    def _log_level(self) -> float:
        return log(_LEVEL * self.sigma_data)

    def log_alpha(self, t: Tensor) -> Tensor:
        """0."""
        return torch.zeros_like(t)

    def alpha(self, t: Tensor) -> Tensor:
        """1."""
        return torch.ones_like(t)

    def sigma(self, t: Tensor) -> Tensor:
        """The level, up to a factor of 2."""
        return _LEVEL * self.sigma_data * torch.exp2(t - 1)

    def log_snr(self, t: Tensor) -> Tensor:
        """-2 log sigma, linear in t."""
        return -2 * (self._log_level + log(2) * (t - 1))

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """0 and sigma log 2."""
        return torch.zeros_like(t), self.sigma(t) * log(2)

    def time(self, log_snr: Tensor) -> Tensor:
        """Linear in lambda."""
        return (1 - (log_snr / 2 + self._log_level) / log(2)).clamp(0, 1)
