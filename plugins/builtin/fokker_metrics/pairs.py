"""Means over pairs of examples, a block at a time.

1/(n m) sum_ij k(x_i, y_j)        within one set: 1/n^2 sum_ij, or 1/(n (n - 1)) sum_{i != j}
"""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

__all__ = ["Kernel", "between", "distances", "within"]

Kernel: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Takes rows (n, d) and (m, d), and gives k(x_i, y_j), float64, (n, m); symmetric."""

_ROWS = 2048  # a block of a kernel is then 32 MB
_NUMEL = 1 << 22


def between(k: Kernel, x: Tensor, y: Tensor) -> float:
    """Mean of k(x_i, y_j) over all pairs of a row of `x`, (N, d), and a row of `y`, (M, d)."""
    size = _block(x.shape[1])
    total = sum(float(k(a, b).sum()) for a in x.split(size) for b in y.split(size))
    return total / (len(x) * len(y))


def within(k: Kernel, x: Tensor, *, distinct: bool) -> float:
    """Mean of k(x_i, x_j) over the pairs of rows of `x`, (N, d).

    Args:
        k: The kernel.
        x: Examples.
        distinct: Leave out the pairs i = j: the mean is then an unbiased estimate of that of two independent examples.
    """
    n, blocks = len(x), x.split(_block(x.shape[1]))
    total = 0.0
    for i, a in enumerate(blocks):
        own = k(a, a)
        total += float((own.clone().fill_diagonal_(0) if distinct else own).sum())
        total += sum(2 * float(k(a, b).sum()) for b in blocks[i + 1 :])
    return total / (n * (n - 1) if distinct else n**2)


def distances(x: Tensor, y: Tensor) -> Tensor:
    """Euclidean distances of rows, float64, (N, M); exactly zero from a row to itself where `y` is `x`."""
    a, b = x.double(), y.double()
    # Products of matrices are far faster in many dimensions; they lose half the digits of a distance that is small
    # beside the distance to the origin, hence the shift.
    mode = "use_mm_for_euclid_dist" if a.shape[1] > 16 else "donot_use_mm_for_euclid_dist"
    found = torch.cdist(a - b[0], b - b[0], compute_mode=mode)
    return found.fill_diagonal_(0) if x is y else found


def _block(d: int) -> int:
    return max(1, min(_ROWS, _NUMEL // d))
