"""Sliced Wasserstein distance: optimal transport along random lines.

SW_p^p = 1/K sum_k W_p^p(<theta_k, x>, <theta_k, y>)        W_p^p(a, b) = int_0^1 |F_a^-1(u) - F_b^-1(u)|^p du
"""

import math
from collections.abc import Iterator
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from torch import Tensor

from fokker import component
from fokker.metric import Metric, MetricClaims, as_rows

__all__ = ["SlicedWasserstein"]

_NUMEL = 1 << 22  # float64 numbers that are held at a time: 32 MB


@component
class SlicedWasserstein(Metric):
    """Wasserstein distance of one-dimensional projections, averaged over directions (Bonneel et al., 2015, section 3).

    In the data's own units. A shift by a vector d of a set of dimension
    n gives |d| / sqrt(n) at p = 2, in expectation over the directions. Sets of different sizes are compared exactly:
    the quantile functions are steps, and the integral of their difference is a finite sum.

    Args:
        projections: Number of directions, uniform on the sphere; the same for every pair of sets of one dimension.
        p: Power of the distances; 2 weighs the far outlier more.
        seed: Seed of the directions.
    """

    projections: Annotated[int, Ge(1)] = 200
    p: Literal[1, 2] = 2
    seed: Annotated[int, Ge(0)] = 0

    @property
    def claims(self) -> MetricClaims:
        """A distance in the data's own units, for any p."""
        return MetricClaims(symmetric=True, zero_on_equal_sets=True, nonnegative=True, degree=1)

    def __call__(self, samples: Tensor, reference: Tensor) -> float:
        """The distance; see `Metric`."""
        x, y = as_rows(samples, reference)
        i, j, width = (v.to(x.device) for v in _steps(len(x), len(y)))
        total = 0.0
        for theta in self._directions(x.shape[1], at_once=max(1, _NUMEL // max(len(x) + len(y), x.shape[1]))):
            theta = theta.to(x.device)
            gap = (_project(x, theta).sort(dim=1).values[:, i] - _project(y, theta).sort(dim=1).values[:, j]).abs()
            total += float((gap**self.p @ width).sum())
        mean = total / self.projections
        return mean if self.p == 1 else math.sqrt(mean)

    def _directions(self, n: int, at_once: int) -> Iterator[Tensor]:
        """Unit vectors, float64, (at most `at_once`, n), drawn one by one: they do not depend on `at_once`."""
        generator = torch.Generator().manual_seed(self.seed)
        for first in range(0, self.projections, at_once):
            count = min(at_once, self.projections - first)
            drawn = [torch.randn(n, generator=generator, dtype=torch.float64) for _ in range(count)]
            yield torch.stack([v / v.norm() for v in drawn])


def _project(x: Tensor, theta: Tensor) -> Tensor:
    """Coordinates of the rows of `x` along the directions, float64, (K, N), without a float64 copy of all of `x`."""
    return torch.cat([theta @ part.double().T for part in x.split(max(1, _NUMEL // x.shape[1]))], dim=1)


def _steps(n: int, m: int) -> tuple[Tensor, Tensor, Tensor]:
    """The intervals of [0, 1] on which both quantile functions are constant.

    Their ends are multiples of 1/n and of 1/m; counted in units of 1/(n m) they are whole numbers, free of rounding.

    Args:
        n: Number of samples.
        m: Number of examples of the reference.

    Returns:
        Which of the n sorted samples, which of the m sorted examples, and the width, for each interval.
    """
    end = torch.cat([torch.arange(1, n + 1) * m, torch.arange(1, m + 1) * n]).unique()
    width = end.diff(prepend=torch.zeros(1, dtype=torch.int64)).double() / (n * m)
    return (end - 1) // m, (end - 1) // n, width
