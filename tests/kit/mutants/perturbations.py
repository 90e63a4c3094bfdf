"""Schedules with the mistakes that schedules really have."""

import torch

from fokker.component import component
from fokker.perturbation import VE, VP, Perturbation, SubVP, expand
from fokker.table import Betas, MonotoneCubic, Sigmas


@component
class RoundedAboveOne(Perturbation):
    """alpha^2 is normalised by what it is at t = 0, and the division gives a little more than 1 there."""

    def alpha(self, t):
        return (0.9999 - 0.9998 * t).sqrt() / (0.9999 * (1 - 2**-52)) ** 0.5

    def sigma(self, t):
        return (1 - self.alpha(t) ** 2).sqrt()


@component
class Normalised(Perturbation):
    """The same, clamped."""

    def alpha(self, t):
        return ((0.9999 - 0.9998 * t) / 0.9999).sqrt()

    def sigma(self, t):
        return (1 - self.alpha(t) ** 2).clamp(min=0).sqrt()


@component
class DescendingTable(Sigmas):
    """Levels of NCSN, which descend, put on knots that ascend."""

    @property
    def _interpolant(self):
        return MonotoneCubic(self.knots, self.table.flip(0).log())


@component
class Levels(Perturbation):
    """Ten levels as steps with a slight slope, at the level nearest to t."""

    first: int = 1

    @property
    def alpha_bar(self):
        return torch.cumprod(1 - torch.linspace(1e-3, 0.6, 10, dtype=torch.float64), 0)

    def alpha(self, t):
        level = (10 * t).ceil().clamp(min=self.first).long()
        return (self.alpha_bar[level - 1] * (1 - 1e-3 * t)).sqrt().to(t.dtype)

    def sigma(self, t):
        return (1 - self.alpha(t) ** 2).sqrt()


@component
class HalfLogSNR(VP):
    """log(alpha / sigma) without the 2."""

    def log_snr(self, t):
        return self.log_alpha(t) - self.sigma(t).log()


@component
class TimeOfTheLogarithm(VE):
    """Inverts log sigma where the log-SNR, twice as much, is given."""

    def time(self, log_snr):
        return super().time(2 * log_snr)


@component
class NoNearestEnd(VE):
    """Goes on beyond [0, 1]."""

    def time(self, log_snr):
        return (-log_snr / 2 - torch.log(torch.tensor(self.sigma_min))) / self._log_ratio


@component
class SigmaRateTwice(VP):
    """sigma' = beta alpha^2 / sigma: the 2 of the square root is missing."""

    def rates(self, t):
        d_alpha, d_sigma = super().rates(t)
        return d_alpha, 2 * d_sigma


@component
class DriftOfBeta(VP):
    """f = -beta where it is -beta / 2."""

    def drift(self, t):
        return -self.beta(t)


@component
class SubVPDiffusion(SubVP):
    """g^2 = beta, as for VP, without the discount 1 - exp(-2 B)."""

    def diffusion(self, t):
        return self.beta(t).sqrt()


@component
class TransitionOfAlpha(VP):
    """v^2 = 1 - a where it is 1 - a^2."""

    def transition(self, s, t):
        a, _ = super().transition(s, t)
        return a, (1 - a).clamp(min=0).sqrt()


@component
class TransitionForgetsScale(VP):
    """v^2 = sigma_t^2 - sigma_s^2: the noise at s does not fade with the data."""

    def transition(self, s, t):
        a, _ = super().transition(s, t)
        return a, (self.sigma(t) ** 2 - self.sigma(s) ** 2).clamp(min=0).sqrt()


@component
class TransitionOfVP(SubVP):
    """v^2 = 1 - a^2, which composes, but is another process's."""

    def transition(self, s, t):
        a, _ = super().transition(s, t)
        return a, (1 - a**2).clamp(min=0).sqrt()


@component
class IndexFromZero(Betas):
    """Counts levels from 0."""

    def index(self, t):
        return super().index(t) - 1


@component
class IndexOfTheNearest(Sigmas):
    """Rounds to a level where it should refuse."""

    def index(self, t):
        return (t.double() * (len(self.table) - 1)).round().long() + 1


@component
class IndexSwapped(Sigmas):
    """Counts from the largest noise, as published NCSN weights do."""

    def index(self, t):
        return len(self.table) + 1 - super().index(t)


@component
class OneLevelTooMany(Betas):
    """Begins the products with that of no beta at all, so every level has the alpha of the one before."""

    @property
    def _interpolant(self):
        alpha_bar = torch.cat([torch.zeros(1, dtype=torch.float64), self.log_alpha_bar])[: self.steps]
        alpha_bar[0] = -1e-6
        return MonotoneCubic(self.knots, alpha_bar - torch.log(-torch.expm1(alpha_bar)))


@component
class AlphaInDefaultPrecision(VE):
    """alpha = 1, made without the dtype of the times."""

    def alpha(self, t):
        return torch.ones(t.shape)


@component
class AlphaForAList(VE):
    """alpha = 1, for times (B,) alone."""

    def alpha(self, t):
        return torch.ones(len(t), dtype=t.dtype)


@component
class AlphaOnTheHost(VE):
    """alpha = 1, made on the host."""

    def alpha(self, t):
        return torch.ones(t.shape, dtype=t.dtype)


@component
class NaiveSigma(VP):
    """sqrt(1 - exp(-B)), without expm1."""

    def sigma(self, t):
        return (1 - (2 * self.log_alpha(t)).exp()).sqrt()


@component
class PerturbPictures(VP):
    """Broadcasts scales as if all data were pictures."""

    def scales(self, t, x):
        if isinstance(t, float) or t.ndim == 0:
            return super().scales(t, x)
        return tuple(f(t).view(-1, 1, 1, 1).to(x.dtype) for f in (self.alpha, self.sigma))


@component
class PerturbByVariance(VP):
    """alpha x0 + sigma^2 eps."""

    def perturb(self, x0, t, eps):
        alpha, sigma = (expand(f(torch.as_tensor(t)), x0) for f in (self.alpha, self.sigma))
        return alpha * x0 + sigma**2 * eps


@component
class PriorOfVP(VE):
    """A standard normal, wherever the noise ends."""

    @property
    def prior_std(self):
        return 1.0


@component
class IgnoresEnd(VP):
    """beta_max is accepted, and 20 is used."""

    def beta(self, t):
        return self.beta_min + (20 - self.beta_min) * t

    def log_alpha(self, t):
        return -t * ((20 - self.beta_min) * t / 4 + self.beta_min / 2)


@component
class Laplace(Perturbation):
    """A Laplace law of log-SNRs, a formula for each half."""

    def lam(self, t):
        u = 0.02 + 0.96 * t
        return 1.5 * torch.where(u < 0.5, -(2 * u).log(), (2 * (1 - u)).log())

    def alpha(self, t):
        return self.lam(t).sigmoid().sqrt()

    def sigma(self, t):
        return (-self.lam(t)).sigmoid().sqrt()


@component
class LaplaceBySign(Laplace):
    """The same in one formula, which torch differentiates to 0 in the middle."""

    def lam(self, t):
        u = 0.02 + 0.96 * t
        return -1.5 * (0.5 - u).sign() * (1 - 2 * (0.5 - u).abs()).log()


MUTANTS = {
    "is differentiated to 0 at a kink": (Laplace(), LaplaceBySign(), "rates-at-round-times"),
    "alpha rounds to more than 1 and sigma to NaN": (Normalised(), RoundedAboveOne(), "finite"),
    "reads a descending table as ascending": (Sigmas(levels=10), DescendingTable(levels=10), "decreasing"),
    "wraps around at abar[-1]": (Levels(), Levels(first=0), "decreasing"),
    "has half the log-SNR": (VP(), HalfLogSNR(), "logarithms"),
    "inverts half the log-SNR": (VE(), TimeOfTheLogarithm(), "time"),
    "has times beyond its range": (VE(), NoNearestEnd(), "time"),
    "misses a factor 2 in sigma'": (VP(), SigmaRateTwice(), "rates"),
    "takes the drift from beta for beta / 2": (VP(), DriftOfBeta(), "drift-and-diffusion"),
    "has the diffusion of another process": (SubVP(), SubVPDiffusion(), "moments"),
    "does not compose": (VP(), TransitionOfAlpha(), "transition-composes"),
    "forgets the data's scale between two times": (
        VP(),
        TransitionForgetsScale(),
        "transition-agrees-with-the-marginals",
    ),
    "has the transitions of another process": (SubVP(), TransitionOfVP(), "transition-agrees-with-the-marginals"),
    "counts levels from 0": (Betas(steps=10), IndexFromZero(steps=10), "levels"),
    "has a level between two levels": (Sigmas(levels=10), IndexOfTheNearest(levels=10), "levels"),
    "counts levels from the other end": (Sigmas(levels=10), IndexSwapped(levels=10), "levels"),
    "has K + 1 levels": (Betas(steps=10), OneLevelTooMany(steps=10), "table"),
    "forgets the dtype": (VE(), AlphaInDefaultPrecision(), "shapes"),
    "takes a list of times only": (VE(), AlphaForAList(), "shapes"),
    "forgets the device": (VE(), AlphaOnTheHost(), "device"),
    "loses the digits of sigma near the data": (VP(), NaiveSigma(), "single-precision"),
    "broadcasts as if all data were pictures": (VP(), PerturbPictures(), "perturb"),
    "adds the variance for the standard deviation": (VP(), PerturbByVariance(), "perturb"),
    "starts from a standard normal whatever sigma is": (VE(), PriorOfVP(), "prior"),
    "accepts beta_max and ignores it": (VP(), IgnoresEnd(), "field[beta_max]"),
}
