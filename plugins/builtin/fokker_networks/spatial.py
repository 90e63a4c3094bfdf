"""Layers of one, two or three spatial dimensions under one name, for activations (B, C, *space)."""

from collections.abc import Callable
from math import gcd
from typing import Literal, TypeAlias

from torch import Tensor, nn
from torch.nn import functional as F

__all__ = [
    "DownName",
    "NormName",
    "Pool",
    "UpName",
    "convolution",
    "halved",
    "interpolate",
    "normalisation",
    "shuffle",
    "zero",
]

NormName: TypeAlias = Literal["group", "batch"]
DownName: TypeAlias = Literal["conv", "max-pool", "average-pool"]
UpName: TypeAlias = Literal["nearest", "bilinear"]

_CONVOLUTION = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_BATCH_NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_POOL: dict[tuple[str, int], Callable[..., Tensor]] = {
    ("max-pool", 1): F.max_pool1d,
    ("max-pool", 2): F.max_pool2d,
    ("max-pool", 3): F.max_pool3d,
    ("average-pool", 1): F.avg_pool1d,
    ("average-pool", 2): F.avg_pool2d,
    ("average-pool", 3): F.avg_pool3d,
}
_LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


def convolution(space: int, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Module:
    """Convolution padded by one value on each side (by none for a kernel of 1).

    Args:
        space: Number of spatial dimensions, 1 to 3.
        inputs: Channels in.
        outputs: Channels out.
        kernel: Side of the kernel; `stride + 2` divides every size by the stride exactly.
        stride: Step of the kernel.
    """
    layer: nn.Module = _CONVOLUTION[space](inputs, outputs, kernel, stride=stride, padding=0 if kernel == 1 else 1)
    return layer


def normalisation(name: NormName, space: int, channels: int, groups: int) -> nn.Module:
    """Group or batch normalisation.

    Args:
        name: Which of the two.
        space: Number of spatial dimensions, 1 to 3.
        channels: Channels.
        groups: Number of groups wished for; the greatest common divisor with `channels` is taken.
    """
    return _BATCH_NORM[space](channels) if name == "batch" else nn.GroupNorm(gcd(groups, channels), channels)


class Pool(nn.Module):
    """Pooling over windows of 2; at an odd end the last window holds what is left.

    Args:
        name: Maxima or averages.
    """

    def __init__(self, name: Literal["max-pool", "average-pool"]) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        """Halve the sizes of (B, C, *space), rounded up."""
        size = x.shape[2:]
        # A window wider than its axis is refused by some of these functions, so an axis of 1 gets a window of 1.
        window = tuple(min(2, n) for n in size)
        return _POOL[self.name, len(size)](x, window, stride=2, ceil_mode=True)


def halved(size: tuple[int, ...]) -> tuple[int, ...]:
    """Sizes after one downsampling by 2, rounded up."""
    return tuple((n + 1) // 2 for n in size)


def interpolate(x: Tensor, size: tuple[int, ...], name: UpName) -> Tensor:
    """Resample (B, C, *space) to `size`; `bilinear` means linear in 1-D and trilinear in 3-D."""
    if name == "nearest":
        return F.interpolate(x, size=size, mode="nearest")
    return F.interpolate(x, size=size, mode=_LINEAR[x.ndim - 2], align_corners=False)


def shuffle(x: Tensor, factor: int) -> Tensor:
    """Move blocks of channels into space: (B, C factor^n, *space) to (B, C, *(factor space)) (Shi et al., 2016).

    Channel `c factor^n + k` holds the values at offset `k` of each cell, offsets counted with the last axis fastest.
    """
    if factor == 1:
        return x
    space = x.ndim - 2
    x = x.unflatten(1, (-1, *([factor] * space)))
    order = [0, 1]
    for axis in range(space):
        order += [2 + space + axis, 2 + axis]
    x = x.permute(order)
    sizes = [x.shape[2 + 2 * axis] * factor for axis in range(space)]
    return x.reshape(*x.shape[:2], *sizes)


def zero(layer: nn.Module) -> None:
    """Set the weight and bias of the last layer of a residual branch, or of a network, to zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
