"""The RefineNet of NCSN and NCSNv2."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from fokker.errors import ConfigError
from fokker.network import DataSpec
from fokker_ncsn.norm import MakeNorm
from fokker_ncsn.refine import Pooling, RefineBlock
from fokker_ncsn.residual import ResidualBlock
from fokker_networks.spatial import convolution, halved, shuffle

__all__ = ["RefineNet", "refuse_unfit"]


class RefineNet(nn.Module):
    """Residual stages on the way down, of which the last two are dilated, and a refine block for each on the way up.

    Stage 1 works at full size (divided by `stem`), each further one at half the size before, rounded up, but the last
    two, which stay at their size with dilations 2 and 4. Activations are resized to exactly the size that they had on
    the way down, so that images of any size will do.

    Args:
        values: Channels of the image.
        widths: Channels of each stage, at least three.
        norm: Makes a normalisation of the stages.
        refine_norm: Makes a normalisation of the refine blocks.
        pooling: Of the refine blocks.
        stem: Side of the cells of pixels that stage 1 has one position for.
        recentre: Whether the input x is shown as 2 x - 1.
    """

    def __init__(
        self,
        values: int,
        widths: Sequence[int],
        norm: MakeNorm,
        refine_norm: MakeNorm,
        pooling: Pooling,
        *,
        stem: int,
        recentre: bool,
    ) -> None:
        super().__init__()
        self.stem, self.recentre = stem, recentre
        self.begin = convolution(2, values, widths[0], kernel=stem + 2, stride=stem)
        self.stages = nn.ModuleList([_stage(widths[0], widths[0], norm)])
        deepest = len(widths) - 1
        for k, (before, width) in enumerate(pairwise(widths), 1):
            dilation = {deepest: 4, deepest - 1: 2}.get(k, 1)
            self.stages.append(_stage(before, width, norm, halve=dilation == 1, dilation=dilation))
        self.refines = nn.ModuleList()
        below = widths[-1]
        for k in reversed(range(len(widths))):
            deep = k == deepest
            outputs = widths[-1] if deep else widths[max(k - 1, 0)]
            inputs = [widths[k]] if deep else [widths[k], below]
            self.refines.append(RefineBlock(inputs, outputs, pooling, refine_norm, last=k == 0))
            below = outputs
        self.norm = norm(below)
        self.end = convolution(2, below, values * stem**2)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        """Evaluate on images (B, C, H, W), with levels counted from 0, (B,)."""
        height, width = x.shape[2:]
        h = 2 * x - 1 if self.recentre else x
        if self.stem > 1:
            h = F.pad(h, (0, -width % self.stem, 0, -height % self.stem))
        h = self.begin(h)
        outputs = []
        for stage in self.stages:
            for block in stage.children():
                h = block(h, level)
            outputs.append(h)
        h = self.refines[0](outputs[-1:], level)
        for refine, fine in zip(self.refines[1:], reversed(outputs[:-1]), strict=True):
            h = refine([fine, h], level)
        h = shuffle(self.end(F.elu(self.norm(h, level))), self.stem)
        return h[:, :, :height, :width]


def _stage(inputs: int, outputs: int, norm: MakeNorm, *, halve: bool = False, dilation: int = 1) -> nn.ModuleList:
    begins = halve or dilation > 1
    return nn.ModuleList(
        [
            ResidualBlock(inputs, outputs, norm, halve=halve, dilation=dilation, begins=begins),
            ResidualBlock(outputs, outputs, norm, dilation=dilation),
        ]
    )


def refuse_unfit(name: str, spec: DataSpec, stages: int, stem: int) -> None:
    """Refuse data that no RefineNet can take.

    Args:
        name: The network's name, for the message.
        spec: The data.
        stages: Number of stages.
        stem: Side of the cells of stage 1.

    Raises:
        ConfigError: If examples are not images, carry conditions, or shrink to a single position.
    """
    shape = spec.event_shape
    if len(shape) != 3:
        raise ConfigError(
            f"The network {name} takes images (C, H, W), but the data's events are {shape}; use 'unet' or 'mlp'."
        )
    told = [*(["class labels"] if spec.classes is not None else []), *sorted(spec.condition)]
    if told:
        raise ConfigError(
            f"The network {name} is told the noise level at most, but the data carries {', '.join(told)}; use 'unet', "
            "or set train.labels = false."
        )
    size = tuple(-(-n // stem) for n in shape[1:])
    for _ in range(stages - 3):
        size = halved(size)
    if size == (1, 1):
        raise ConfigError(
            f"The network {name} brings images of {shape[1]}x{shape[2]} pixels down to a single position, which "
            "instance normalisation sets to zero; use fewer stages, a smaller stem, or larger images."
        )
