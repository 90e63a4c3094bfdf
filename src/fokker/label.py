"""Labels: what a network is told of the time.

Any strictly monotone function of time says the same; they differ in what a network's embedding resolves, and in
what published weights expect.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor

from fokker.component import component
from fokker.errors import ConfigError
from fokker.perturbation import Perturbation

__all__ = ["Alpha", "CNoise", "Index", "Label", "LogSNR", "LogSigma", "Sigma", "ThousandTime", "Time"]


class Label(ABC):
    """A function of time for the network; subclasses are components (`@component`)."""

    kind: ClassVar[str] = "label"

    @abstractmethod
    def __call__(self, perturbation: Perturbation, t: Tensor) -> Tensor:
        """The label at times `t`, float64 of any shape, in the same shape; strictly monotone in time.

        Raises:
            ConfigError: Where the perturbation has no such label, or none at these times.
        """


@component
class Time(Label):
    """The time t itself, in [0, 1]."""

    def __call__(self, perturbation: Perturbation, t: Tensor) -> Tensor:
        """The time."""
        return t


@component
class ThousandTime(Label):
    """1000 t, the range that sinusoidal embeddings are made for (Ho et al., 2020; Song et al., 2021)."""

    def __call__(self, perturbation: Perturbation, t: Tensor) -> Tensor:
        """A thousand times the time."""
        return 1000 * t


@component
class Index(Label):
    """The level of a table, 1 for the smallest noise, a whole number on the levels.

    Published networks know their levels only. What such a network is told between two of them is a choice, which a
    sampling may make anew (`fokker sample --between`): the sampler goes by the time itself in any case. To have it go
    by the level that the network is told, take the grid `on-levels`.

    Args:
        between: `refuse` times between levels; `round` to the nearest level; or `interpolate`, a fraction that is
            linear in the log-SNR between two levels, for networks that embed any number (k-diffusion's rule).
    """

    between: Literal["refuse", "round", "interpolate"] = "refuse"

    def __call__(self, perturbation: Perturbation, t: Tensor) -> Tensor:
        """The level: int64, or float64 where it is interpolated."""
        if self.between == "refuse":
            return perturbation.index(t)
        if self.between == "round":
            return perturbation.nearest_level(t)
        knots = perturbation.knots
        if knots is None:
            return perturbation.index(t)  # which says why there is none
        knots = knots.to(t.device)
        i = torch.searchsorted(knots, t.double().contiguous(), right=True).clamp(1, len(knots) - 1) - 1
        at = t.double().clamp(knots[0], knots[-1])
        levels = perturbation.log_snr(knots)
        share = (perturbation.log_snr(at) - levels[i]) / (levels[i + 1] - levels[i])
        linear = (at - knots[i]) / (knots[i + 1] - knots[i])
        share = torch.where(levels[i].isfinite() & levels[i + 1].isfinite(), share, linear)  # alpha or sigma may be 0
        return i + 1 + torch.where(at == knots[i + 1], 1.0, share.clamp(0, 1))


@component
class Sigma(Label):
    """The standard deviation of the noise relative to the data's scale, sigma / alpha (NCSN; Song & Ermon, 2019)."""

    def __call__(self, perturbation: Perturbation, t: Tensor) -> Tensor:
        """Sigma / alpha."""
        return perturbation.sigma(t) / perturbation.alpha(t)


@component
class LogSigma(Label):
    """log(sigma / alpha) (NCSN++; Song et al., 2021)."""

    def __call__(self, perturbation: Perturbation, t: Tensor) -> Tensor:
        """-lambda / 2."""
        return -perturbation.log_snr(t) / 2


@component
class LogSNR(Label):
    """The log-SNR 2 log(alpha / sigma) (Kingma et al., 2021)."""

    def __call__(self, perturbation: Perturbation, t: Tensor) -> Tensor:
        """Lambda."""
        return perturbation.log_snr(t)


@component
class Alpha(Label):
    """The scale alpha of the data (WaveGrad; Chen et al., 2020, section 2.3)."""

    def __call__(self, perturbation: Perturbation, t: Tensor) -> Tensor:
        """Alpha.

        Raises:
            ConfigError: Where alpha is the same at all times, so that the network would be told nothing.
        """
        if bool(perturbation.alpha(torch.tensor([0.0, 1.0], dtype=torch.float64)).diff() == 0):
            raise ConfigError(
                f"The label 'alpha' says nothing on {type(perturbation).__name__}, whose alpha is the same at all "
                "times; use another one, such as 'log-snr'."
            )
        return perturbation.alpha(t)


@component
class CNoise(Label):
    """log(sigma / alpha) / 4 (Karras et al., 2022, table 1)."""

    def __call__(self, perturbation: Perturbation, t: Tensor) -> Tensor:
        """-lambda / 8."""
        return -perturbation.log_snr(t) / 8
