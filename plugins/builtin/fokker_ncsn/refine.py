"""The blocks of a RefineNet, which join coarse activations with fine ones (Lin et al., 2017)."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from torch import Tensor, nn
from torch.nn import functional as F

from fokker_ncsn.norm import MakeNorm

__all__ = ["ChainedPooling", "Fusion", "Pooling", "RefineBlock", "ResidualUnits"]

Pooling: TypeAlias = Literal["max", "average"]


class ResidualUnits(nn.Module):
    """Residual convolution units, one after another.

        x <- x + conv elu norm conv elu norm x

    Args:
        channels: Channels.
        units: Number of units.
        norm: Makes a normalisation.
    """

    def __init__(self, channels: int, units: int, norm: MakeNorm) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.ModuleList([norm(channels), norm(channels)]) for _ in range(units)])
        self.convs = nn.ModuleList([nn.ModuleList([_convolution(channels) for _ in range(2)]) for _ in range(units)])

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        """Refine (B, C, H, W)."""
        for norms, convs in zip(self.norms, self.convs, strict=True):
            h = x
            for norm, conv in zip(norms.children(), convs.children(), strict=True):
                h = conv(F.elu(norm(h, level)))
            x = x + h
        return x


class Fusion(nn.Module):
    """Activations of several sizes brought to one size and added.

        sum_i resize(conv_i norm_i x_i),    resize bilinear with the corner pixels on each other

    Args:
        inputs: Channels of each input.
        outputs: Channels out.
        norm: Makes a normalisation.
    """

    def __init__(self, inputs: Sequence[int], outputs: int, norm: MakeNorm) -> None:
        super().__init__()
        self.norms = nn.ModuleList([norm(n) for n in inputs])
        self.convs = nn.ModuleList([nn.Conv2d(n, outputs, 3, padding=1) for n in inputs])

    def forward(self, xs: Sequence[Tensor], level: Tensor) -> Tensor:
        """Join activations (B, C_i, H_i, W_i) at the size of the first."""
        size = xs[0].shape[2:]
        out, *others = (conv(norm(x, level)) for x, norm, conv in zip(xs, self.norms, self.convs, strict=True))
        for h in others:
            same = h.shape[2:] == size
            out = out + (h if same else F.interpolate(h, size, mode="bilinear", align_corners=True))
        result: Tensor = out
        return result


class ChainedPooling(nn.Module):
    """Chained residual pooling: what is around a pixel, further with each link.

        x <- elu x,    path = x,    twice:  path <- conv pool norm path,  x <- x + path

    with windows of 5x5 pixels, stride 1. An average counts pixels outside as zeros, as published.

    Args:
        channels: Channels.
        pooling: `max` (NCSNv2) or `average` (NCSN).
        norm: Makes a normalisation.
    """

    def __init__(self, channels: int, pooling: Pooling, norm: MakeNorm) -> None:
        super().__init__()
        self.norms = nn.ModuleList([norm(channels) for _ in range(2)])
        self.convs = nn.ModuleList([_convolution(channels) for _ in range(2)])
        self.pool = (nn.MaxPool2d if pooling == "max" else nn.AvgPool2d)(5, stride=1, padding=2)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        """Refine (B, C, H, W)."""
        x = path = F.elu(x)
        for norm, conv in zip(self.norms, self.convs, strict=True):
            path = conv(self.pool(norm(path, level)))
            x = x + path
        return x


class RefineBlock(nn.Module):
    """Adapt each input, fuse them, pool in a chain, refine (Lin et al., 2017, figure 3).

    Args:
        inputs: Channels of each input, the finest first.
        outputs: Channels out; those of the input if there is one alone, which nothing is fused with.
        pooling: Of the chain.
        norm: Makes a normalisation.
        last: Whether it is the last block, which has three units at its end instead of one.
    """

    def __init__(
        self, inputs: Sequence[int], outputs: int, pooling: Pooling, norm: MakeNorm, *, last: bool = False
    ) -> None:
        super().__init__()
        self.adapt = nn.ModuleList([ResidualUnits(n, 2, norm) for n in inputs])
        self.fuse = Fusion(inputs, outputs, norm) if len(inputs) > 1 else None
        self.chain = ChainedPooling(outputs, pooling, norm)
        self.output = ResidualUnits(outputs, 3 if last else 1, norm)

    def forward(self, xs: Sequence[Tensor], level: Tensor) -> Tensor:
        """From activations (B, C_i, H_i, W_i) to (B, outputs, H_1, W_1)."""
        adapted = [adapt(x, level) for x, adapt in zip(xs, self.adapt, strict=True)]
        h = adapted[0] if self.fuse is None else self.fuse(adapted, level)
        out: Tensor = self.output(self.chain(h, level), level)
        return out


def _convolution(channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, padding=1, bias=False)
