"""Means over pairs of examples, a block at a time.

1/(n m) sum_ij f(|x_i - y_j|)        within one set: 1/n^2 sum_ij, or 1/(n (n - 1)) sum_{i != j}
"""

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["between", "distances", "within"]

_ROWS = 2048  # a block of distances is then 32 MB
_NUMEL = 1 << 22


def between(f: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> float:
    """Mean of f(|x_i - y_j|) over all pairs of a row of `x`, (N, d), and a row of `y`, (M, d)."""
    size = _block(x.shape[1])
    total = sum(float(f(distances(a, b)).sum()) for a in x.split(size) for b in y.split(size))
    return total / (len(x) * len(y))


def within(f: Callable[[Tensor], Tensor], x: Tensor, *, distinct: bool) -> float:
    """Mean of f(|x_i - x_j|) over the pairs of rows of `x`, (N, d).

    Args:
        f: Applied to distances, float64, of any shape.
        x: Examples.
        distinct: Leave out the pairs i = j: the mean is then an unbiased estimate of that of two independent examples.
    """
    n, blocks = len(x), x.split(_block(x.shape[1]))
    total = 0.0  # over i != j
    for i, a in enumerate(blocks):
        total += float(f(distances(a, a)).fill_diagonal_(0).sum())
        total += sum(2 * float(f(distances(a, b)).sum()) for b in blocks[i + 1 :])
    if distinct:
        return total / (n * (n - 1))
    return (total + n * float(f(x.new_zeros((), dtype=torch.float64)))) / n**2


def distances(x: Tensor, y: Tensor) -> Tensor:
    """Euclidean distances of rows, float64, (N, M)."""
    x, y = x.double(), y.double()
    # Products of matrices are far faster in many dimensions; they lose half the digits of a distance that is small
    # beside the distance to the origin, hence the shift.
    mode = "use_mm_for_euclid_dist" if x.shape[1] > 16 else "donot_use_mm_for_euclid_dist"
    return torch.cdist(x - y[0], y - y[0], compute_mode=mode)


def _block(d: int) -> int:
    return max(1, min(_ROWS, _NUMEL // d))
