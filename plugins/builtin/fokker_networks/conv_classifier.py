"""The convolutional network that tells classes of noisy images, sequences and volumes apart."""

import dataclasses
from math import gcd, prod
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt, Lt, MinLen
from torch import Tensor, nn
from torch.nn import functional as F

from fokker.component import component
from fokker.errors import ConfigError
from fokker.network import Answer, Condition, DataSpec, Network
from fokker_networks.block import Block
from fokker_networks.conditioning import Conditioning
from fokker_networks.embedding import EmbeddingName
from fokker_networks.mlp_classifier import number_of_classes
from fokker_networks.spatial import DownName, NormName, Pool, convolution, halved, normalisation, zero

__all__ = ["ConvClassifier", "ConvClassifierBackbone"]


@component
class ConvClassifier(Network):
    """The way down of a U-Net with an output for each class (after Dhariwal & Nichol, 2021, section 4.1).

        logits = W mean_space silu norm h + b,    h the activations of the coarsest level

    Events are `(C, *space)` with one, two or three spatial dimensions of any size; `(n,)` is one channel of one
    dimension. Blocks are those of the network `unet`. The source pools by attention; here positions are averaged.

    Args:
        channels: Channels of the first convolution; the unit of `multipliers`.
        multipliers: Channels of each level, from the finest to the coarsest, in units of `channels`.
        blocks: Residual blocks per level.
        dropout: Probability of dropping a value inside a block, in [0, 1).
        norm: `group` or `batch`; batch statistics couple the examples of a training batch and are frozen in `eval()`.
        groups: Wished number of groups of the group normalisation; each layer takes the greatest common divisor
            with its channels.
        down: How a level is halved: a strided convolution, maxima or averages of neighbours.
        time_dim: Width of the embedding of the label and of the vector made from it.
        embedding: `positional` suits labels in the hundreds (`1000t`), `fourier` labels of the order of 1.
        fourier_scale: Standard deviation of the Fourier embedding's frequencies.
    """

    answers: ClassVar[Answer] = "classes"

    channels: Annotated[int, Gt(0)] = 32
    multipliers: Annotated[tuple[Annotated[int, Gt(0)], ...], MinLen(1)] = (1, 2)
    blocks: Annotated[int, Gt(0)] = 1
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0
    norm: NormName = "group"
    groups: Annotated[int, Gt(0)] = 8
    down: DownName = "average-pool"
    time_dim: Annotated[int, Gt(0)] = 128
    embedding: EmbeddingName = "positional"
    fourier_scale: Annotated[float, Gt(0)] = 1.0

    def build(self, spec: DataSpec) -> "ConvClassifierBackbone":
        """Build the backbone; see `Network.build`.

        Raises:
            ConfigError: If the data has no classes, carries other conditions, or has more than three spatial
                dimensions, or if a normalisation would see a single value.
        """
        if len(spec.event_shape) > 4:
            raise ConfigError(
                f"conv-classifier takes events (C, *space) with at most 3 spatial dimensions, but the data's are "
                f"{spec.event_shape}; join some dimensions, or choose the network mlp-classifier."
            )
        return ConvClassifierBackbone(self, spec, number_of_classes(spec, "conv-classifier"))


class ConvClassifierBackbone(nn.Module):
    """The module that `ConvClassifier` builds.

    Args:
        config: The configuration.
        spec: The data, with at most four event dimensions.
        classes: Its number of classes.
    """

    def __init__(self, config: ConvClassifier, spec: DataSpec, classes: int) -> None:
        super().__init__()
        self.flat = len(spec.event_shape) == 1
        values, *sizes = (1, *spec.event_shape) if self.flat else spec.event_shape
        space, size = len(sizes), tuple(sizes)
        self.conditioning = Conditioning(
            dataclasses.replace(spec, classes=None),
            config.embedding,
            config.time_dim,
            config.time_dim,
            config.fourier_scale,
        )
        self.stem = convolution(space, values, config.channels)
        self.stages = nn.ModuleList()
        self.downsamplings = nn.ModuleList()
        before = config.channels
        for level, multiplier in enumerate(config.multipliers):
            if level:
                conv = config.down == "conv"
                self.downsamplings.append(
                    convolution(space, before, before, stride=2) if conv else Pool(config.down)  # type: ignore[arg-type]
                )
                size = halved(size)
            width = config.channels * multiplier
            _refuse_single_values(config, size, level, {before, width})
            self.stages.append(
                nn.ModuleList(
                    [
                        Block(
                            space,
                            before if k == 0 else width,
                            width,
                            config.time_dim,
                            time_to="hidden",
                            norm=config.norm,
                            groups=config.groups,
                            dropout=config.dropout,
                            scale=1.0,
                        )
                        for k in range(config.blocks)
                    ]
                )
            )
            before = width
        self.norm = normalisation(config.norm, space, before, config.groups)
        self.head = nn.Linear(before, classes)
        zero(self.head)

    def forward(self, x: Tensor, label: Tensor, cond: Condition = None) -> Tensor:
        """Evaluate the network.

        Args:
            x: The network's input, (B, *D).
            label: What it is told of the time, (B,), floating or int64.
            cond: Not looked at.

        Returns:
            Logits, (B, classes).
        """
        c = self.conditioning(label)
        h = self.stem(x.unsqueeze(1) if self.flat else x)
        for level, stage in enumerate(self.stages):
            if level:
                h = self.downsamplings[level - 1](h)
            for block in stage:  # type: ignore[attr-defined]
                h = block(h, c)
        logits: Tensor = self.head(F.silu(self.norm(h)).flatten(2).mean(2))
        return logits


def _refuse_single_values(config: ConvClassifier, size: tuple[int, ...], level: int, widths: set[int]) -> None:
    if config.norm == "group" and prod(size) == 1:
        for width in widths:
            if gcd(config.groups, width) == width:
                raise ConfigError(
                    f"conv-classifier: level {level} is a single position, and {width} groups of {width} channels "
                    "would normalise each value to zero; choose fewer groups, or fewer levels."
                )
