"""Precision, recall, density and coverage: what balls about the examples of one set hold of the other.

B(y_j) = points nearer to y_j than its k-th neighbour in the reference,    B(x_i) likewise among the samples

precision   share of samples x_i in some B(y_j)            density    mean number of B(y_j) that hold x_i, over k
recall      share of references y_j in some B(x_i)         coverage   share of B(y_j) that hold some x_i
"""

from typing import Annotated, Literal

import torch
from annotated_types import Ge
from torch import Tensor

from fokker import component
from fokker.metric import Metric, MetricClaims, as_rows

__all__ = ["PRDC"]

_NUMEL = 1 << 22


@component
class PRDC(Metric):
    """Precision, recall (Kynkaanniemi et al., 2019, eq. 2), density or coverage (Naeem et al., 2020, section 3).

    On the values as they are. Precision and density tell whether samples look like data, recall and coverage whether
    all of the data is there; the first of each pair is the older one, and one outlier with its wide ball upsets it.
    Shares of 1, but for density, whose mean over sets of one law is 1 and which may be above. For sets of one law of N
    samples and M references, coverage is 1 - prod_{i=1..k} (M - i) / (M + N - i) on average, whatever the law and the
    number of dimensions. As in the code of both sources a ball is open, and the k-th neighbour lies outside. Distances
    are not made of products of matrices, so that ties stay ties; the cost is N (N + M) + M^2 distances.

    Args:
        part: Which of the four.
        k: Which neighbour gives the radius of a ball; the sources take 3 for the older two and 5 for the newer two.
    """

    part: Literal["precision", "recall", "density", "coverage"] = "coverage"
    k: Annotated[int, Ge(1)] = 5

    @property
    def claims(self) -> MetricClaims:
        """A pure number, the larger the closer."""
        return MetricClaims(nonnegative=True, degree=0, larger_is_closer=True)

    def __call__(self, samples: Tensor, reference: Tensor) -> float:
        """The share, or the density; see `Metric`.

        Raises:
            DataError: Also unless both sets have more than k examples.
        """
        x, y = (rows.double() for rows in as_rows(samples, reference, least=self.k + 1))
        if self.part == "recall":  # precision with the sets exchanged
            x, y = y, x
        radii = _radii(y, self.k)
        held, found = 0, torch.zeros(len(y), dtype=torch.bool, device=y.device)
        for block in x.split(_rows(y)):
            inside = _distances(block, y) < radii
            held += int(inside.sum() if self.part == "density" else inside.any(1).sum())
            found |= inside.any(0)
        if self.part == "coverage":
            return float(found.double().mean())
        return held / (self.k * len(x) if self.part == "density" else len(x))


def _radii(y: Tensor, k: int) -> Tensor:
    """Distance of each row to its k-th neighbour, itself not counted, (M,)."""
    found = []
    for first in range(0, len(y), size := _rows(y)):
        apart = _distances(y[first : first + size], y)
        own = torch.arange(len(apart), device=y.device)
        apart[own, first + own] = torch.inf
        found.append(apart.kthvalue(k, dim=1).values)
    return torch.cat(found)


def _distances(x: Tensor, y: Tensor) -> Tensor:
    """Euclidean distances, (N, M), the same to the last bit from x to y and from y to x."""
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def _rows(y: Tensor) -> int:
    return max(1, _NUMEL // len(y))
