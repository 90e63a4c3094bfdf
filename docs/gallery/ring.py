"""A likelihood of one's own: the distance to the origin was measured, 2 with an error of 0.3."""

from torch import Tensor


def ring(x: Tensor) -> Tensor:
    """log p(y = 2 | x) of points (B, 2), up to a constant, (B,)."""
    return -((x.norm(dim=1) - 2) ** 2) / (2 * 0.3**2)
