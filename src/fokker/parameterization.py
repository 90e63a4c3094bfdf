"""Parameterizations: how a network's input and output are read.

A parameterization is two maps, from the noisy data to what the network sees, and from what it answers to a
`Prediction`; the target of a perfect network follows from them. All are functions of (alpha, sigma) alone. What is read
is the output itself or, of an energy, the output's gradient in the noisy data.
"""

from abc import ABC, abstractmethod
from typing import Annotated, ClassVar

import torch
from annotated_types import Gt
from torch import Tensor

from fokker.component import component
from fokker.errors import SingularError
from fokker.perturbation import Scale
from fokker.prediction import Prediction, Rates

__all__ = ["EDM", "X0", "Energy", "Eps", "Parameterization", "Score", "SigmaScaled", "V", "Velocity"]


class Parameterization(ABC):
    """How a network is fed and read; subclasses are components (`@component`).

    Where sigma = 0 or alpha = 0 it gives finite numbers or raises `SingularError`, never inf or NaN.
    """

    kind: ClassVar[str] = "parameterization"
    without_noise: ClassVar[bool] = False
    """Whether an output means the same score however little noise there is, so that a vanishing level will do."""
    differentiates: ClassVar[bool] = False
    """Whether `output` is not what the network answers, but the gradient in the noisy data of the sum of an example's
    answers; the model takes it, see `fokker.model.NetworkModel`."""

    def inputs(self, x: Tensor, alpha: Scale, sigma: Scale) -> Tensor:
        """What the network is shown of the noisy data `x`, (B, *D); `x` itself unless a subclass scales it."""
        return x

    @abstractmethod
    def target(self, x0: Tensor, eps: Tensor, alpha: Scale, sigma: Scale, rates: Rates | None = None) -> Tensor:
        """The `output` of a perfect network for data `x0` and noise `eps`, each (B, *D)."""

    @abstractmethod
    def predict(self, output: Tensor, x: Tensor, alpha: Scale, sigma: Scale, rates: Rates | None = None) -> Prediction:
        """Read the network's output (B, *D) at the noisy data `x`."""


@component
class Score(Parameterization):
    """The network gives the score itself (Hyvarinen, 2005; Song & Ermon, 2019)."""

    without_noise: ClassVar[bool] = True

    def target(self, x0: Tensor, eps: Tensor, alpha: Scale, sigma: Scale, rates: Rates | None = None) -> Tensor:
        """-eps / sigma."""
        _refuse_zero_sigma(sigma)
        return eps / -sigma

    def predict(self, output: Tensor, x: Tensor, alpha: Scale, sigma: Scale, rates: Rates | None = None) -> Prediction:
        """Output = score."""
        return Prediction(x, alpha, sigma, score=output, rates=rates)


@component
class Energy(Parameterization):
    """The network gives an energy f, whose score is that of the density exp(-f) / Z (Hyvarinen, 2005, section 2).

        score = -grad_x f,    f the sum of the network's outputs for an example

    A network of one output is an energy as it is, and any other one by its sum. The score is a gradient field, as true
    ones are, and costs a backward pass per evaluation; training differentiates it once more.
    """

    without_noise: ClassVar[bool] = True
    differentiates: ClassVar[bool] = True

    def target(self, x0: Tensor, eps: Tensor, alpha: Scale, sigma: Scale, rates: Rates | None = None) -> Tensor:
        """The gradient of f, eps / sigma."""
        _refuse_zero_sigma(sigma)
        return eps / sigma

    def predict(self, output: Tensor, x: Tensor, alpha: Scale, sigma: Scale, rates: Rates | None = None) -> Prediction:
        """Score = -output, where the output is the gradient of f."""
        return Prediction(x, alpha, sigma, score=-output, rates=rates)


@component
class Eps(Parameterization):
    """The network gives the noise (Ho et al., 2020, eq. 12)."""

    def target(self, x0: Tensor, eps: Tensor, alpha: Scale, sigma: Scale, rates: Rates | None = None) -> Tensor:
        """The noise."""
        return eps

    def predict(self, output: Tensor, x: Tensor, alpha: Scale, sigma: Scale, rates: Rates | None = None) -> Prediction:
        """Output = eps."""
        return Prediction(x, alpha, sigma, eps=output, rates=rates)


@component
class X0(Parameterization):
    """The network gives the data (Ho et al., 2020, section 3.2; Salimans & Ho, 2022)."""

    def target(self, x0: Tensor, eps: Tensor, alpha: Scale, sigma: Scale, rates: Rates | None = None) -> Tensor:
        """The data."""
        return x0

    def predict(self, output: Tensor, x: Tensor, alpha: Scale, sigma: Scale, rates: Rates | None = None) -> Prediction:
        """Output = x0."""
        return Prediction(x, alpha, sigma, x0=output, rates=rates)


@component
class V(Parameterization):
    """The network gives v = alpha eps - sigma x0 (Salimans & Ho, 2022, appendix D)."""

    def target(self, x0: Tensor, eps: Tensor, alpha: Scale, sigma: Scale, rates: Rates | None = None) -> Tensor:
        """Alpha eps - sigma x0."""
        return alpha * eps - sigma * x0

    def predict(self, output: Tensor, x: Tensor, alpha: Scale, sigma: Scale, rates: Rates | None = None) -> Prediction:
        """Output = v."""
        return Prediction(x, alpha, sigma, v=output, rates=rates)


@component
class Velocity(Parameterization):
    """The network gives the probability-flow drift alpha' x0 + sigma' eps (Lipman et al., 2023, eq. 15)."""

    def target(self, x0: Tensor, eps: Tensor, alpha: Scale, sigma: Scale, rates: Rates | None = None) -> Tensor:
        """alpha' x0 + sigma' eps."""
        if rates is None:
            raise TypeError("A velocity needs the rates (alpha', sigma').")
        d_alpha, d_sigma = rates()
        return d_alpha * x0 + d_sigma * eps

    def predict(self, output: Tensor, x: Tensor, alpha: Scale, sigma: Scale, rates: Rates | None = None) -> Prediction:
        """Output = velocity."""
        return Prediction(x, alpha, sigma, velocity=output, rates=rates)


@component
class SigmaScaled(Parameterization):
    """The score is the output over sigma (Song & Ermon, 2020, technique 3).

    The network sees the noisy data as it is and need not be told the noise level.
    """

    def target(self, x0: Tensor, eps: Tensor, alpha: Scale, sigma: Scale, rates: Rates | None = None) -> Tensor:
        """-eps."""
        return -eps

    def predict(self, output: Tensor, x: Tensor, alpha: Scale, sigma: Scale, rates: Rates | None = None) -> Prediction:
        """Score = output / sigma, kept as eps = -output, which exists at sigma = 0 too."""
        return Prediction(x, alpha, sigma, eps=-output, rates=rates)


@component
class EDM(Parameterization):
    """Preconditioning that keeps the network's input and target at unit variance (Karras et al., 2022, eq. 7, table 1).

        x0 = c_skip x + c_out F(c_in x),    P = alpha^2 sigma_data^2 + sigma^2
        c_in = 1 / sqrt(P),  c_skip = alpha sigma_data^2 / P,  c_out = sigma sigma_data / sqrt(P)

    which is table 1 at alpha = 1 and, for any other perturbation, the same network in the scaled state x / alpha.

    Args:
        sigma_data: Standard deviation of the model's data, over all examples and dimensions.
    """

    sigma_data: Annotated[float, Gt(0)] = 0.5

    def _power(self, alpha: Scale, sigma: Scale) -> Scale:
        return (alpha * self.sigma_data) ** 2 + sigma**2

    def inputs(self, x: Tensor, alpha: Scale, sigma: Scale) -> Tensor:
        """c_in x."""
        return x / self._power(alpha, sigma) ** 0.5

    def target(self, x0: Tensor, eps: Tensor, alpha: Scale, sigma: Scale, rates: Rates | None = None) -> Tensor:
        """(x0 - c_skip x) / c_out, written without the division by sigma."""
        # x0 - c_skip (alpha x0 + sigma eps) = sigma (sigma x0 - alpha sigma_data^2 eps) / P
        scale = self._power(alpha, sigma) ** 0.5 * self.sigma_data
        return (sigma / scale) * x0 - (alpha * self.sigma_data**2 / scale) * eps

    def predict(self, output: Tensor, x: Tensor, alpha: Scale, sigma: Scale, rates: Rates | None = None) -> Prediction:
        """v, which exists at both ends: sigma_data = 1 and alpha^2 + sigma^2 = 1 give v = -F."""
        # with x0 as above, eps = (x - alpha x0) / sigma = sigma x / P - alpha sigma_data F / sqrt(P)
        power = self._power(alpha, sigma)
        of_output = (alpha**2 + sigma**2) * self.sigma_data / power**0.5
        of_x = alpha * sigma * (1 - self.sigma_data**2) / power
        v = of_x * x - of_output * output if self.sigma_data != 1 else -of_output * output
        return Prediction(x, alpha, sigma, v=v, rates=rates)


def _refuse_zero_sigma(sigma: Scale) -> None:
    if sigma == 0 if isinstance(sigma, float) else bool((torch.as_tensor(sigma) == 0).any()):
        raise SingularError("The target -eps / sigma of a score network does not exist at sigma = 0; raise t_min.")
