"""Labels: what a network is told of the time.

Any strictly monotone function of time says the same; they differ in what a network's embedding resolves, and in
what published weights expect.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

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
    """The level of a table, 1 for the smallest noise, int64; a time between two levels is refused."""

    def __call__(self, perturbation: Perturbation, t: Tensor) -> Tensor:
        """The level."""
        return perturbation.index(t)


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
