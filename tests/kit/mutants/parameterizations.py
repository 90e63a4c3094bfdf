"""Parameterizations that train, and sample something else."""

from typing import ClassVar

import torch

from fokker.component import component
from fokker.parameterization import EDM, X0, Eps, Parameterization, Score, SigmaScaled, V
from fokker.prediction import Prediction


@component
class WrongCOut(EDM):
    """c_out = sigma_data / sqrt(P), without sigma."""

    def predict(self, output, x, alpha, sigma, rates=None):
        power = self._power(alpha, sigma)
        x0 = alpha * self.sigma_data**2 / power * x + self.sigma_data / power**0.5 * output
        return Prediction(x, alpha, sigma, x0=x0, rates=rates)


@component
class WrongSign(V):
    """The target is sigma x0 - alpha eps, the output is read as v."""

    def target(self, x0, eps, alpha, sigma, rates=None):
        return sigma * x0 - alpha * eps


@component
class FirstTime(Eps):
    """x0 by the scales of the first example."""

    def predict(self, output, x, alpha, sigma, rates=None):
        a, s = (c.flatten()[0] if isinstance(c, torch.Tensor) else c for c in (alpha, sigma))
        return Prediction(x, alpha, sigma, x0=(x - s * output) / a, rates=rates)


@component
class Division(Score):
    """-eps / sigma, whatever sigma is."""

    def target(self, x0, eps, alpha, sigma, rates=None):
        return eps / -torch.as_tensor(sigma, dtype=eps.dtype)


@component
class Difference(Score):
    """The target as (alpha x0 - x) / sigma^2, from the noisy data itself."""

    def target(self, x0, eps, alpha, sigma, rates=None):
        super().target(x0, eps, alpha, sigma)
        return (alpha * x0 - (alpha * x0 + sigma * eps)) / sigma**2


@component
class InPlace(EDM):
    """Scales the noisy data where it lies."""

    def inputs(self, x, alpha, sigma):
        return x.div_(self._power(alpha, sigma) ** 0.5)


@component
class Clamped(X0):
    """x0, cut out of the graph to be clamped."""

    def predict(self, output, x, alpha, sigma, rates=None):
        return Prediction(x, alpha, sigma, x0=output.detach().clamp(-10, 10), rates=rates)


@component
class Normed(Parameterization):
    """Shows the network data of unit variance over the batch."""

    def inputs(self, x, alpha, sigma):
        return x / x.std()

    def target(self, x0, eps, alpha, sigma, rates=None):
        return -eps

    def predict(self, output, x, alpha, sigma, rates=None):
        return Prediction(x, alpha, sigma, eps=-output, rates=rates)


@component
class OnlyFloats(Eps):
    """Takes the variance of tensors for their standard deviation."""

    def inputs(self, x, alpha, sigma):
        power = alpha**2 + sigma**2
        return x / (power if isinstance(power, torch.Tensor) else power**0.5)


@component
class Noiseless(SigmaScaled):
    """Score = output / sigma, said to need no noise."""

    without_noise: ClassVar[bool] = True


MUTANTS = {
    "has a wrong c_out": (EDM(), WrongCOut(), "round-trip[ve]"),
    "has a target of the other sign": (V(), WrongSign(), "round-trip[vp]"),
    "reads all examples at the first one's time": (Eps(), FirstTime(), "round-trip[vp]"),
    "scales data with a time for each otherwise": (Eps(), OnlyFloats(), "scales[ve]"),
    "is infinite at sigma = 0": (Score(), Division(), "ends"),
    "divides by the noise that it says it does not need": (Score(), Noiseless(), "without-noise"),
    "subtracts two nearly equal numbers": (Score(), Difference(), "single-precision"),
    "writes into the noisy data": (EDM(), InPlace(), "untouched"),
    "cuts the gradient": (X0(), Clamped(), "gradients"),
    "couples the examples of a batch": (SigmaScaled(), Normed(), "each-on-its-own"),
}
