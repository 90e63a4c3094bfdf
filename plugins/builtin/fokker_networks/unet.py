"""The U-Net: a network for images, sequences and volumes of any size."""

from contextlib import AbstractContextManager, nullcontext
from math import prod, sqrt
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Lt, MinLen
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from fokker.component import component
from fokker.errors import ConfigError
from fokker.network import Condition, DataSpec, Network
from fokker_networks.attention import Attention
from fokker_networks.block import Block, TimeTo
from fokker_networks.conditioning import Conditioning
from fokker_networks.embedding import EmbeddingName
from fokker_networks.spatial import (
    DownName,
    NormName,
    Pool,
    UpName,
    convolution,
    halved,
    interpolate,
    normalisation,
    shuffle,
    zero,
)

__all__ = ["UNet", "UNetBackbone"]


@component
class UNet(Network):
    """Convolutional U-Net with residual blocks, after DDPM (Ho et al., 2020, appendix B).

    Events are `(C, *space)` with one, two or three spatial dimensions of any size; `(n,)` is one channel of one
    dimension. Level 0 works at full size (divided by `stem`), each further level at half the size before, rounded up;
    on the way up activations are resampled to exactly the size that they had on the way down. Smaller than DDPM's:
    `blocks` blocks a level on the way up too (there one more), and the convolution of an upsampling comes
    before the resampling, where it costs a fraction.

    Args:
        channels: Channels of the first convolution; the unit of `multipliers`.
        multipliers: Channels of each level, from the finest to the coarsest, in units of `channels`.
        blocks: Residual blocks per level, on the way down and again on the way up.
        attention: Levels with self-attention, counted from 0 at full size; negative ones count from the coarsest,
            -1, as Python indexes. The middle has attention if the coarsest level has it.
        heads: Heads of each attention; must divide the channels of its level.
        dropout: Probability of dropping a value inside a block, in [0, 1).
        norm: `group` or `batch`; batch statistics couple the examples of a training batch and are frozen in `eval()`.
        groups: Wished number of groups of the group normalisation; each layer takes the greatest common divisor
            with its channels.
        down: How a level is halved: a strided convolution, maxima or averages of neighbours.
        up: How a level is doubled; `bilinear` means linear in 1-D and trilinear in 3-D.
        time_to: Where a block takes in the time: `hidden` adds it between its convolutions (DDPM), `input` to what
            the block is given.
        time_dim: Width of the embedding of the label and of the vector made from it.
        embedding: `positional` suits labels in the hundreds (`1000t`), `fourier` labels of the order of 1.
        fourier_scale: Standard deviation of the Fourier embedding's frequencies; Score SDE takes 16 for log sigma.
        stem: Side of the cells that the first convolution makes one position of (patches); the last one makes `stem`
            values in each direction from a position again. At 2, an image costs a quarter; detail inside a cell is
            then carried by the channels alone.
        skip_scale: Divide each sum of a residual branch and its input by sqrt 2, as Score SDE does, so that the
            variance does not grow with depth.
    """

    channels: Annotated[int, Gt(0)] = 64
    multipliers: Annotated[tuple[Annotated[int, Gt(0)], ...], MinLen(1)] = (1, 2, 2)
    blocks: Annotated[int, Gt(0)] = 2
    attention: tuple[int, ...] = (-1,)
    heads: Annotated[int, Gt(0)] = 4
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0
    norm: NormName = "group"
    groups: Annotated[int, Gt(0)] = 8
    down: DownName = "conv"
    up: UpName = "nearest"
    time_to: TimeTo = "hidden"
    time_dim: Annotated[int, Gt(0)] = 256
    embedding: EmbeddingName = "positional"
    fourier_scale: Annotated[float, Gt(0)] = 1.0
    stem: Annotated[int, Gt(0)] = 1
    skip_scale: bool = False

    def __post_init__(self) -> None:
        """Check that the levels of attention exist and that the heads fit them."""
        levels = len(self.multipliers)
        for level in self.attention:
            if not -levels <= level < levels:
                raise ConfigError(
                    f"UNet.attention names level {level}, but multipliers = {list(self.multipliers)} makes {levels} "
                    f"level{'s' if levels > 1 else ''}; choose from {-levels} to {levels - 1}."
                )
        for level in self.attention_levels:
            width = self.channels * self.multipliers[level]
            if width % self.heads:
                raise ConfigError(
                    f"UNet.heads = {self.heads} does not divide the {width} channels of level {level}, which has "
                    "attention; choose a divisor, or other channels."
                )

    @property
    def attention_levels(self) -> tuple[int, ...]:
        """Levels with attention, counted from 0, in rising order."""
        return tuple(sorted({level % len(self.multipliers) for level in self.attention}))

    def build(self, spec: DataSpec) -> "UNetBackbone":
        """Build the backbone; see `Network.build`.

        Raises:
            ConfigError: If the event has more than three spatial dimensions, the data carries conditions other than
                class labels, or a normalisation would see a single value.
        """
        if len(spec.event_shape) > 4:
            raise ConfigError(
                f"UNet takes events (C, *space) with at most 3 spatial dimensions, but the data's are "
                f"{spec.event_shape}; join some dimensions, or choose the network mlp."
            )
        return UNetBackbone(self, spec)


class UNetBackbone(nn.Module):
    """The module that `UNet` builds.

    Args:
        config: The configuration.
        spec: The data, with at most four event dimensions.
    """

    def __init__(self, config: UNet, spec: DataSpec) -> None:
        super().__init__()
        self.flat = len(spec.event_shape) == 1
        values, *sizes = (1, *spec.event_shape) if self.flat else spec.event_shape
        space = len(sizes)
        self.stem_factor = config.stem
        self.up = config.up
        scale = sqrt(0.5) if config.skip_scale else 1.0

        def stage(level: int, inputs: list[int], *, attention: list[bool] | None = None) -> Stage:
            width = config.channels * config.multipliers[level]
            attended = attention or [level in config.attention_levels] * len(inputs)
            return Stage(
                [
                    Block(
                        space,
                        n,
                        width,
                        config.time_dim,
                        time_to=config.time_to,
                        norm=config.norm,
                        groups=config.groups,
                        dropout=config.dropout,
                        scale=scale,
                    )
                    for n in inputs
                ],
                [
                    Attention(space, width, config.heads, config.norm, config.groups, scale) if a else None
                    for a in attended
                ],
            )

        widths = [config.channels * m for m in config.multipliers]
        last = len(widths) - 1
        self.conditioning = Conditioning(spec, config.embedding, config.time_dim, config.time_dim, config.fourier_scale)
        self.stem = convolution(space, values, config.channels, kernel=config.stem + 2, stride=config.stem)
        self.down_stages = nn.ModuleList()
        self.downsamplings = nn.ModuleList()
        self.up_stages = nn.ModuleList()
        self.upsamplings = nn.ModuleList()
        for level, (before, width) in enumerate(zip([config.channels, *widths], widths, strict=False)):
            self.down_stages.append(stage(level, [before] + [width] * (config.blocks - 1)))
            self.up_stages.append(stage(level, [2 * width] * config.blocks))
            if level < last:
                self.downsamplings.append(
                    convolution(space, width, width, stride=2) if config.down == "conv" else Pool(config.down)
                )
                self.upsamplings.append(convolution(space, widths[level + 1], width))
        self.middle = stage(last, [widths[last]] * 2, attention=[last in config.attention_levels, False])
        self.norm = normalisation(config.norm, space, widths[0], config.groups)
        self.head = convolution(space, widths[0], values * config.stem**space)
        zero(self.head)

        size = tuple(-(-n // config.stem) for n in sizes)
        for level in range(last + 1):
            if prod(size) == 1:
                _refuse_single_values(level, self.down_stages[level], self.up_stages[level])
            size = halved(size)

    def forward(self, x: Tensor, label: Tensor, cond: Condition = None) -> Tensor:
        """Evaluate the network.

        Args:
            x: The network's input, (B, *D).
            label: What it is told of the time, (B,), floating or int64.
            cond: Class labels under `label`, int64, (B,), where the data has classes.

        Returns:
            The network's output, (B, *D).
        """
        c = self.conditioning(label, cond)
        h = x.unsqueeze(1) if self.flat else x
        sizes = h.shape[2:]
        with _attention_kernels(x):
            h = self._trunk(self.stem(_padded(h, self.stem_factor)), c)
        h = shuffle(self.head(F.silu(self.norm(h))), self.stem_factor)
        for axis, n in enumerate(sizes, start=2):
            h = h.narrow(axis, 0, n)
        return h.squeeze(1) if self.flat else h

    def _trunk(self, h: Tensor, c: Tensor) -> Tensor:
        skips: list[list[Tensor]] = []
        for level, stage in enumerate(self.down_stages):
            if level:
                h = self.downsamplings[level - 1](h)
            outputs = stage(h, c)
            skips.append(outputs)
            h = outputs[-1]
        h = self.middle(h, c)[-1]
        for level in reversed(range(len(skips))):
            h = self.up_stages[level](h, c, skips[level])[-1]
            if level:
                # The convolution comes first: at the coarse size it costs a fraction.
                h = interpolate(self.upsamplings[level - 1](h), skips[level - 1][0].shape[2:], self.up)
        return h


class Stage(nn.Module):
    """The blocks of one level, each followed by attention where there is one.

    Args:
        blocks: The blocks, in their order.
        attentions: What follows each block, None for nothing.
    """

    def __init__(self, blocks: list[Block], attentions: list[Attention | None]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.attentions = nn.ModuleList([a or nn.Identity() for a in attentions])

    def forward(self, h: Tensor, c: Tensor, skips: list[Tensor] | None = None) -> list[Tensor]:
        """Run the blocks one after another.

        Args:
            h: Activations, (B, C, *space).
            c: Conditioning vectors, (B, width).
            skips: Activations joined to the input of each block along the channels, the last one to the first block.

        Returns:
            The activations after each block and its attention.
        """
        outputs = []
        for i, (block, attention) in enumerate(zip(self.blocks, self.attentions, strict=True)):
            h = attention(block(h if skips is None else torch.cat([h, skips[-1 - i]], dim=1), c))
            outputs.append(h)
        return outputs


def _padded(x: Tensor, factor: int) -> Tensor:
    """Pad the end of every spatial axis with zeros to a multiple of `factor`."""
    padding = [p for n in reversed(x.shape[2:]) for p in (0, -n % factor)]
    return F.pad(x, padding) if any(padding) else x


def _attention_kernels(x: Tensor) -> AbstractContextManager[None]:
    """Plain attention where derivatives with respect to `x` may be wanted, the fastest otherwise.

    The fused kernels have neither second derivatives, which an energy or sliced score matching differentiates in
    training, nor forward-mode ones.
    """
    if x.requires_grad or forward_ad.unpack_dual(x).tangent is not None:
        return sdpa_kernel(SDPBackend.MATH)
    return nullcontext()


def _refuse_single_values(level: int, *stages: nn.Module) -> None:
    for stage in stages:
        for layer in stage.modules():
            if isinstance(layer, nn.GroupNorm) and layer.num_groups == layer.num_channels:
                raise ConfigError(
                    f"UNet: level {level} is a single position, and {layer.num_groups} groups of {layer.num_channels} "
                    "channels would normalise each value to zero; choose fewer groups, or fewer levels."
                )
