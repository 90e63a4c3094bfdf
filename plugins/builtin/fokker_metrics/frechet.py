"""Frechet distance of the Gaussians with the means and covariances of two sets.

    F = |m_x - m_y|^2 + Tr(S_x + S_y - 2 (S_x^1/2 S_y S_x^1/2)^1/2)

With any roots A^T A = S_x and B^T B = S_y the last trace is the sum of the singular values of A B^T, so no root of a
product is taken, which would cost half the digits where a covariance is singular.
"""

import math

import torch
from torch import Tensor

from fokker import component
from fokker.metric import Metric, MetricClaims, as_rows

__all__ = ["Frechet"]


@component
class Frechet(Metric):
    """Squared Wasserstein distance of the Gaussians with the moments of the two sets (Dowson and Landau, 1982, eq. 4).

    In the square of the data's units, on the values as they are; FID is the same on features of a network (Heusel et
    al., 2017, section 3). Covariances divide by N - 1, as those of published values of FID do. Two sets of N examples
    of one law are apart by d (d + 5) / (2 N) on average in d dimensions of unit variance, so values are compared at
    equal N. Fewer examples than dimensions are no obstacle; the cost grows with the cube of the smaller of the two.
    """

    @property
    def claims(self) -> MetricClaims:
        """The square of a distance."""
        return MetricClaims(symmetric=True, zero_on_equal_sets=True, nonnegative=True, degree=2)

    def __call__(self, samples: Tensor, reference: Tensor) -> float:
        """The squared distance; see `Metric`."""
        x, y = as_rows(samples, reference, least=2)
        shift = x.double().mean(0) - y.double().mean(0)
        a, b = _root(x.double()), _root(y.double())
        spread = a.square().sum() + b.square().sum() - 2 * torch.linalg.svdvals(a @ b.T).sum()
        return max(0.0, float(shift.square().sum() + spread))  # rounding can take it below 0


def _root(x: Tensor) -> Tensor:
    """A matrix A, (at most d, d), with A^T A the covariance of the rows of `x`, (N, d)."""
    centred: Tensor = (x - x.mean(0)) / math.sqrt(len(x) - 1)
    if len(x) <= x.shape[1]:
        return centred
    variances, axes = torch.linalg.eigh(centred.T @ centred)
    root: Tensor = variances.clamp(min=0).sqrt()[:, None] * axes.T
    return root
