"""The residual block on the way down."""

from torch import Tensor, nn
from torch.nn import functional as F

from fokker_ncsn.norm import MakeNorm
from fokker_networks.spatial import Pool

__all__ = ["ResidualBlock"]


class ResidualBlock(nn.Module):
    """Two convolutions around which the input passes (Song & Ermon, 2019, appendix A).

        shortcut(x) + conv_2 elu norm_2 conv_1 elu norm_1 x

    A block that halves averages cells of 2x2 pixels after its second convolution and its shortcut. A dilated one stays
    at its size and sees further instead. The shortcut is x itself unless the block halves or begins a dilated stage.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        norm: Makes a normalisation.
        halve: Whether it halves the size.
        dilation: Distance of the pixels under the kernel.
        begins: Whether it is the first of a stage that is halved or dilated, so that its shortcut has weights.
    """

    def __init__(
        self, inputs: int, outputs: int, norm: MakeNorm, *, halve: bool = False, dilation: int = 1, begins: bool = False
    ) -> None:
        super().__init__()
        middle = inputs if begins else outputs
        self.norm_1 = norm(inputs)
        self.conv_1 = _convolution(inputs, middle, dilation)
        self.norm_2 = norm(middle)
        self.conv_2 = _convolution(middle, outputs, dilation)
        self.pool: nn.Module = Pool("average-pool") if halve else nn.Identity()
        self.shortcut: nn.Module = nn.Identity()
        if begins:
            self.shortcut = nn.Conv2d(inputs, outputs, 1) if halve else _convolution(inputs, outputs, dilation)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        """From (B, inputs, H, W) to (B, outputs, H', W')."""
        h = self.conv_1(F.elu(self.norm_1(x, level)))
        h = self.conv_2(F.elu(self.norm_2(h, level)))
        out: Tensor = self.pool(h + self.shortcut(x))
        return out


def _convolution(inputs: int, outputs: int, dilation: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation)
