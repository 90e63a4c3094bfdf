"""Instance normalisation that keeps what the means of the channels tell: InstanceNorm++."""

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["ConditionalInstanceNormPlus", "InstanceNormPlus", "Keep", "MakeNorm"]

_EPS = 1e-5


class MakeNorm(Protocol):
    """What makes the normalisations of a network, one for a number of channels."""

    def __call__(self, channels: int) -> nn.Module:
        """A module with `forward(x, level)`."""
        ...


class InstanceNormPlus(nn.Module):
    """InstanceNorm++ without conditions (Song & Ermon, 2019, appendix A; 2020, section 3.3).

        gamma_k (x_k - mu_k) / sqrt(v_k + 1e-5) + beta_k + gamma_k alpha_k (mu_k - m) / sqrt(s^2 + 1e-5)

    with mean mu_k and variance v_k of channel k over the pixels, and mean m and unbiased variance s^2 of the mu_k over
    the channels. Plain instance normalisation removes the means, and colours shift; the last term gives back how they
    differ.

    Args:
        channels: Channels, at least 2.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(1 + 0.02 * torch.randn(channels))
        self.alpha = nn.Parameter(1 + 0.02 * torch.randn(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        """Normalise (B, C, H, W); the level is not looked at."""
        shift = self.beta + self.gamma * self.alpha * _contrast(x)
        return F.group_norm(x, x.shape[1], self.gamma, eps=_EPS) + shift[..., None, None]


class ConditionalInstanceNormPlus(nn.Module):
    """InstanceNorm++ with its own gamma, alpha and beta for every noise level (Song & Ermon, 2019, eq. 7).

    Args:
        channels: Channels, at least 2.
        levels: Number of levels.
    """

    def __init__(self, channels: int, levels: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(levels, 3 * channels)
        with torch.no_grad():
            self.embed.weight[:, : 2 * channels].normal_(1, 0.02)
            self.embed.weight[:, 2 * channels :].zero_()

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        """Normalise (B, C, H, W) by the rows of the levels, counted from 0, (B,)."""
        gamma, alpha, beta = self.embed(level).chunk(3, dim=1)
        shift = beta + gamma * alpha * _contrast(x)
        out: Tensor = gamma[..., None, None] * F.group_norm(x, x.shape[1], eps=_EPS) + shift[..., None, None]
        return out


class Keep(nn.Module):
    """No normalisation, where NCSNv2 has none and NCSN has one."""

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        """The activations as they are."""
        return x


def _contrast(x: Tensor) -> Tensor:
    """How the means of the channels lie to each other, standardised over the channels, (B, C)."""
    means = x.mean((2, 3))
    contrast: Tensor = (means - means.mean(1, keepdim=True)) / (means.var(1, keepdim=True) + _EPS).sqrt()
    return contrast
