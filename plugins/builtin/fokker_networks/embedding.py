"""Embeddings of a scalar label: a vector that a small network can tell apart at every scale of the label.

    positional   (sin(w_1 l), ..., sin(w_h l), cos(w_1 l), ..., cos(w_h l)),   w_i = 10000^(-(i - 1)/(h - 1))
    fourier      the same with 2 pi w_i in place of w_i,                       w_i ~ N(0, scale^2), drawn once

with `h = width // 2`; an odd width gets a last column of zeros. The wavelengths of the positional embedding run from
2 pi to 20,000 pi, which suits labels in the hundreds (`1000t`); the Fourier embedding resolves differences of about
`1/(2 pi scale)` and suits labels of the order of one (`t`, `log-snr`, `c-noise`).
"""

import math
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["EmbeddingName", "FourierEmbedding", "PositionalEmbedding", "embedding", "positional_embedding"]

EmbeddingName: TypeAlias = Literal["positional", "fourier"]
"""How a network embeds its label."""


def positional_embedding(label: Tensor, width: int) -> Tensor:
    """Sinusoidal embedding (Vaswani et al., 2017, section 3.5, with the exponent of Ho et al., 2020).

    The transformer interleaves sines and cosines and divides the exponent by `h`; here, as in DDPM and Score SDE,
    all sines come first and the exponent is divided by `h - 1`, so that the last frequency is exactly 1/10000.

    Args:
        label: Labels, (B,), floating or integer.
        width: Number of columns, at least 1.

    Returns:
        Embedding, (B, width), in the label's precision but float32 at least.
    """
    half = width // 2
    label = _floating(label)
    # Made anew at each call: a buffer would follow the module to bfloat16, where 1000 and 1001 are one number.
    rate = -math.log(10_000.0) / max(half - 1, 1)
    frequencies = torch.exp(rate * torch.arange(half, dtype=label.dtype, device=label.device))
    return _sines(label[:, None] * frequencies, width)


class PositionalEmbedding(nn.Module):
    """Sinusoidal embedding with fixed frequencies, as `positional_embedding`.

    Args:
        width: Number of columns, at least 1.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, label: Tensor) -> Tensor:
        """Embed labels (B,) as (B, width)."""
        return positional_embedding(label, self.width)


class FourierEmbedding(nn.Module):
    """Random Fourier features (Tancik et al., 2020, eq. 5, in one dimension, sines first as in Song et al., 2021).

    The frequencies are drawn from torch's global generator and kept as a buffer: they are never trained and are
    saved with the weights.

    Args:
        width: Number of columns, at least 1.
        scale: Standard deviation of the frequencies, greater than 0.
    """

    frequencies: Tensor

    def __init__(self, width: int, scale: float) -> None:
        super().__init__()
        self.width = width
        self.register_buffer("frequencies", scale * torch.randn(width // 2))

    def forward(self, label: Tensor) -> Tensor:
        """Embed labels (B,) as (B, width)."""
        label = _floating(label)
        return _sines(label[:, None] * self.frequencies.to(label.dtype) * 2 * math.pi, self.width)


def embedding(name: EmbeddingName, width: int, fourier_scale: float) -> nn.Module:
    """The embedding of that name; `fourier_scale` matters to `fourier` alone."""
    return FourierEmbedding(width, fourier_scale) if name == "fourier" else PositionalEmbedding(width)


def _floating(label: Tensor) -> Tensor:
    return label if label.dtype == torch.float64 else label.to(torch.float32)


def _sines(angle: Tensor, width: int) -> Tensor:
    return F.pad(torch.cat([angle.sin(), angle.cos()], dim=1), (0, width % 2))
