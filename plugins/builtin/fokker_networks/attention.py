"""Self-attention over the positions of a spatial activation."""

from math import prod

from torch import Tensor, nn
from torch.nn import functional as F

from fokker_networks.spatial import NormName, normalisation, zero

__all__ = ["Attention"]


class Attention(nn.Module):
    """Residual self-attention: every position looks at all others (Ho et al., 2020, appendix B).

        x + W_o softmax(q k^T / sqrt(d)) v,     (q, k, v) = W norm(x),     d = channels / heads

    Args:
        space: Number of spatial dimensions, 1 to 3.
        channels: Channels, a multiple of `heads`.
        heads: Number of heads.
        norm: Normalisation of the input.
        groups: Number of groups of a group normalisation.
        scale: Factor of the sum, 1 or sqrt(1/2).
    """

    def __init__(self, space: int, channels: int, heads: int, norm: NormName, groups: int, scale: float) -> None:
        super().__init__()
        self.heads = heads
        self.scale = scale
        self.norm = normalisation(norm, space, channels, groups)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        zero(self.out)

    def forward(self, x: Tensor) -> Tensor:
        """Attend over the positions of activations (B, C, *space)."""
        space = x.shape[2:]
        # Positions are put before channels: in channels-last memory every reshape down to the sum is a view.
        tokens = self.norm(x).flatten(2).transpose(1, 2)
        qkv = self.qkv(tokens).view(len(x), prod(space), 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        out: Tensor = x + self.out(attended).transpose(1, 2).unflatten(2, space)
        return out if self.scale == 1 else self.scale * out
