"""The residual block of the U-Net."""

from typing import Literal, TypeAlias

from torch import Tensor, nn
from torch.nn import functional as F

from fokker_networks.spatial import NormName, convolution, normalisation, zero

__all__ = ["Block", "TimeTo"]

TimeTo: TypeAlias = Literal["hidden", "input"]


class Block(nn.Module):
    """Two convolutions around which the input passes unchanged (He et al., 2016, identity mappings).

        time_to = hidden:   F(x, c) = conv_2 silu norm_2 (conv_1 silu norm_1 x + W c),   out = skip(x) + F(x, c)
        time_to = input:    y = x + W c,   out = skip(y) + conv_2 silu norm_2 conv_1 silu norm_1 y

    `hidden` is the block of DDPM (Ho et al., 2020, appendix B). `conv_2` starts at zero; `skip` is a 1-wide
    convolution where the number of channels changes.

    Args:
        space: Number of spatial dimensions, 1 to 3.
        inputs: Channels in.
        outputs: Channels out.
        vector: Width of the conditioning vector `c`.
        time_to: Where the vector is added.
        norm: Normalisation.
        groups: Number of groups of a group normalisation.
        dropout: Probability of dropping a value before the second convolution.
        scale: Factor of the sum, 1 or sqrt(1/2).
    """

    def __init__(
        self,
        space: int,
        inputs: int,
        outputs: int,
        vector: int,
        *,
        time_to: TimeTo,
        norm: NormName,
        groups: int,
        dropout: float,
        scale: float,
    ) -> None:
        super().__init__()
        self.time_to = time_to
        self.scale = scale
        self.norm_1 = normalisation(norm, space, inputs, groups)
        self.conv_1 = convolution(space, inputs, outputs)
        self.time = nn.Linear(vector, inputs if time_to == "input" else outputs)
        self.norm_2 = normalisation(norm, space, outputs, groups)
        self.dropout = nn.Dropout(dropout)
        self.conv_2 = convolution(space, outputs, outputs)
        self.skip = convolution(space, inputs, outputs, kernel=1) if inputs != outputs else nn.Identity()
        zero(self.conv_2)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """Activations (B, inputs, *space) and vectors (B, vector) to activations (B, outputs, *space)."""
        shift: Tensor = self.time(c)
        shift = shift.view(*shift.shape, *([1] * (x.ndim - 2)))
        if self.time_to == "input":
            x = x + shift
        h = self.conv_1(F.silu(self.norm_1(x)))
        if self.time_to == "hidden":
            h = h + shift
        h = self.conv_2(self.dropout(F.silu(self.norm_2(h))))
        out: Tensor = self.skip(x) + h
        return out if self.scale == 1 else self.scale * out
