"""Weightings of the denoising loss, all as factors of the squared error of x0.

The errors of the usual quantities are multiples of each other, with SNR = alpha^2 / sigma^2:

    |eps error|^2 = SNR |x0 error|^2        sigma^2 |score error|^2 = |eps error|^2

so that a loss is known once its weight on the x0 error is (Kingma & Gao, 2023, section 3).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt
from torch import Tensor

from fokker.component import component
from fokker.perturbation import Perturbation

__all__ = ["P2", "EDMWeight", "Likelihood", "MinSNR", "ScoreError", "Sigma2", "Simple", "Weighting", "WeightingClaims"]


@dataclass(frozen=True)
class WeightingClaims:
    """What a weighting claims of itself and the tests measure.

    Args:
        log_snr_alone: Whether it is a function of the log-SNR alone, so that a loss that spreads the log-SNR evenly is
            the same on every perturbation.
    """

    log_snr_alone: bool = True


class Weighting(ABC):
    """A weight for every time; subclasses are components (`@component`)."""

    kind: ClassVar[str] = "weighting"

    @property
    def claims(self) -> WeightingClaims:
        """What it claims and the tests measure: a function of the log-SNR, unless a subclass says otherwise."""
        return WeightingClaims()

    @abstractmethod
    def __call__(self, perturbation: Perturbation, t: Tensor) -> Tensor:
        """The factor of |x0 error|^2 at times `t`, float64 of any shape, in the same shape."""


@component
class Simple(Weighting):
    """|eps error|^2, that is SNR on x0 (Ho et al., 2020, eq. 14)."""

    def __call__(self, perturbation: Perturbation, t: Tensor) -> Tensor:
        """SNR."""
        return perturbation.log_snr(t).exp()


@component
class Sigma2(Weighting):
    """sigma^2 |score error|^2 (Song & Ermon, 2019, section 4.2): the same number as `simple`, seen from the score."""

    def __call__(self, perturbation: Perturbation, t: Tensor) -> Tensor:
        """SNR."""
        return perturbation.log_snr(t).exp()


@component
class ScoreError(Weighting):
    """|score error|^2 itself, as score matching is first written (Hyvarinen, 2005, eq. 2; Vincent, 2011, eq. 9).

    On x0 this is alpha^2 / sigma^4: over a range of noise levels the smallest one outweighs all others.
    """

    @property
    def claims(self) -> WeightingClaims:
        """The score has the data's units, so that its error grows as the state is scaled down."""
        return WeightingClaims(log_snr_alone=False)

    def __call__(self, perturbation: Perturbation, t: Tensor) -> Tensor:
        """SNR / sigma^2."""
        return perturbation.log_snr(t).exp() / perturbation.sigma(t) ** 2


@component
class Likelihood(Weighting):
    """g^2 |score error|^2, whose integral bounds the likelihood (Song, Durkan et al., 2021, eq. 8).

    On x0 this is (g / sigma)^2 SNR = -d SNR / dt.
    """

    @property
    def claims(self) -> WeightingClaims:
        """A rate in time: its integral over t is what no clock changes."""
        return WeightingClaims(log_snr_alone=False)

    def __call__(self, perturbation: Perturbation, t: Tensor) -> Tensor:
        """-d SNR / dt."""
        return (perturbation.diffusion(t) / perturbation.sigma(t)) ** 2 * perturbation.log_snr(t).exp()


@component
class MinSNR(Weighting):
    """min(SNR, gamma) on x0 (Hang et al., 2023, section 3.4).

    Args:
        gamma: Largest weight.
    """

    gamma: Annotated[float, Gt(0)] = 5.0

    def __call__(self, perturbation: Perturbation, t: Tensor) -> Tensor:
        """The smaller of the two."""
        return perturbation.log_snr(t).exp().clamp(max=self.gamma)


@component
class EDMWeight(Weighting):
    """SNR + 1 / sigma_data^2 on x0 (Karras et al., 2022, table 1).

    With the EDM parameterization an untrained network has a loss of about 1/2 per dimension at every level.

    Args:
        sigma_data: Standard deviation of the model's data; give the EDM parameterization the same.
    """

    sigma_data: Annotated[float, Gt(0)] = 0.5

    def __call__(self, perturbation: Perturbation, t: Tensor) -> Tensor:
        """(sigma^2 + sigma_data^2) / (sigma sigma_data)^2 at sigma / alpha."""
        return perturbation.log_snr(t).exp() + 1 / self.sigma_data**2


@component
class P2(Weighting):
    """|eps error|^2 / (k + SNR)^gamma, which takes weight off small noise (Choi et al., 2022, eq. 8).

    Args:
        k: Keeps the weight finite at small SNR.
        gamma: Strength; 0 is `simple`.
    """

    k: Annotated[float, Gt(0)] = 1.0
    gamma: Annotated[float, Ge(0)] = 1.0

    def __call__(self, perturbation: Perturbation, t: Tensor) -> Tensor:
        """SNR / (k + SNR)^gamma."""
        snr = perturbation.log_snr(t).exp()
        return snr / (self.k + snr) ** self.gamma
