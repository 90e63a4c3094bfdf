"""Weightings with the mistakes that weightings really have."""

import torch

from fokker.component import component
from fokker.weighting import MinSNR, Simple, Weighting


@component
class Sigmoid(Weighting):
    """SNR / (1 + exp(SNR)), which overflows where SNR / (1 + SNR) was meant."""

    def __call__(self, perturbation, t):
        snr = perturbation.log_snr(t).exp()
        return snr.exp() / (1 + snr.exp())


@component
class Truncated(Weighting):
    """SNR - 1, negative where there is more noise than data."""

    def __call__(self, perturbation, t):
        return perturbation.log_snr(t).exp() - 1


@component
class SinglePrecision(Weighting):
    """SNR, cast to the dtype of the network."""

    def __call__(self, perturbation, t):
        return perturbation.log_snr(t).exp().float()


@component
class MeanOne(Weighting):
    """SNR with a mean of 1 over the batch."""

    def __call__(self, perturbation, t):
        snr = perturbation.log_snr(t).exp()
        return snr / snr.mean()


@component
class ForgetsAlpha(Weighting):
    """min(1 / sigma^2, 5): right where alpha = 1."""

    def __call__(self, perturbation, t):
        return torch.clamp(perturbation.sigma(t) ** -2, max=5.0)


MUTANTS = {
    "overflows at small noise": (Simple(), Sigmoid(), "finite[vp]"),
    "is negative at large noise": (Simple(), Truncated(), "finite[ve]"),
    "is in single precision": (Simple(), SinglePrecision(), "shape[vp]"),
    "is normalised over the batch": (Simple(), MeanOne(), "each-on-its-own[vp]"),
    "forgets the data's scale": (MinSNR(), ForgetsAlpha(), "log-snr-alone[ve]"),
}
