"""The parts of WaveGrad's network (Chen et al., 2020, figures 3 to 5), with the names of the published weights.

Names, orders and constants are those of lmnt-com's implementation, so that its weights can be loaded.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import log

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu

__all__ = ["Down", "FiLM", "Up", "noise_level_encoding"]

_SLOPE = 0.2
"""Of the leaky rectifiers."""


def noise_level_encoding(level: Tensor, size: int) -> Tensor:
    """Sines, then cosines, of the noise level at geometric frequencies from 1 towards 1e-4.

        sin(l 10^(-4 k / n)), cos(l 10^(-4 k / n)),    k = 0 to n - 1,    n = size / 2

    Args:
        level: What the network is told of the noise, (B,).
        size: Number of values, even.

    Returns:
        The encoding, (B, size).
    """
    count = size // 2
    rates = torch.exp(-log(1e4) / count * torch.arange(count, device=level.device, dtype=level.dtype))
    angles = level[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class _Conv(nn.Conv1d):
    """A convolution that keeps the length, with orthogonal initial weights (Chen et al., 2020, section 3)."""

    def __init__(self, inputs: int, outputs: int, width: int, dilation: int = 1) -> None:
        super().__init__(inputs, outputs, width, dilation=dilation, padding=dilation * (width // 2))

    def reset_parameters(self) -> None:
        nn.init.orthogonal_(self.weight)
        assert self.bias is not None
        nn.init.zeros_(self.bias)


class FiLM(nn.Module):
    """Feature-wise modulation of an upsampling block by the noisy waveform and the noise level (figure 5).

    Args:
        inputs: Channels of the waveform's features, even.
        outputs: Channels that are modulated.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.input_conv = nn.Conv1d(inputs, inputs, 3, padding=1)
        self.output_conv = nn.Conv1d(inputs, 2 * outputs, 3, padding=1)
        for conv in (self.input_conv, self.output_conv):
            nn.init.xavier_uniform_(conv.weight)
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)

    def forward(self, x: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        """Shift and scale, in this order, from features (B, inputs, L) and levels (B,)."""
        h = leaky_relu(self.input_conv(x), _SLOPE)
        h = h + noise_level_encoding(level, h.shape[1])[:, :, None]
        shift, scale = self.output_conv(h).chunk(2, dim=1)
        return shift, scale


class Down(nn.Module):
    """A downsampling block, "DBlock" (figure 4).

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        factor: By which it shortens.
    """

    def __init__(self, inputs: int, outputs: int, factor: int) -> None:
        super().__init__()
        self._factor = factor
        self.residual_dense = _Conv(inputs, outputs, 1)
        sizes = (inputs, outputs, outputs, outputs)
        self.conv = nn.ModuleList(_Conv(a, b, 3, d) for (a, b), d in zip(pairwise(sizes), (1, 2, 4), strict=True))

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, L) to (B, outputs, L / factor)."""
        size = x.shape[-1] // self._factor
        # every factor-th value is taken, so the 1 x 1 convolution may come after it, at a fraction of the cost
        h = interpolate(x, size=size)
        residual: Tensor = self.residual_dense(h)
        for conv in self.conv:
            h = conv(leaky_relu(h, _SLOPE))
        return h + residual


class Up(nn.Module):
    """An upsampling block, "UBlock" (figure 3).

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        factor: By which it lengthens.
        dilations: Of its four convolutions.
    """

    def __init__(self, inputs: int, outputs: int, factor: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self._factor = factor
        a, b, c, d = dilations
        self.block1 = _Conv(inputs, outputs, 1)
        self.block2 = nn.ModuleList([_Conv(inputs, outputs, 3, a), _Conv(outputs, outputs, 3, b)])
        self.block3 = nn.ModuleList([_Conv(outputs, outputs, 3, c), _Conv(outputs, outputs, 3, d)])

    def forward(self, x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        """(B, inputs, L) to (B, outputs, factor L), modulated by shift and scale, (B, outputs, factor L)."""
        size = x.shape[-1] * self._factor
        # a 1 x 1 convolution and a rectifier do the same to repeated values, and are cheaper before
        straight = interpolate(self.block1(x), size=size)
        h = interpolate(leaky_relu(x, _SLOPE), size=size)
        h = leaky_relu(torch.addcmul(shift, scale, self.block2[0](h)), _SLOPE)
        x = straight + self.block2[1](h)
        h = leaky_relu(torch.addcmul(shift, scale, x), _SLOPE)
        h = leaky_relu(torch.addcmul(shift, scale, self.block3[0](h)), _SLOPE)
        out: Tensor = x + self.block3[1](h)
        return out
