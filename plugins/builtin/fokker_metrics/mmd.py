"""Maximum mean discrepancy: how far apart two laws are for the functions of a kernel's space.

MMD^2 = E k(X, X') + E k(Y, Y') - 2 E k(X, Y)

    gaussian      k(x, y) = exp(-|x - y|^2 / (2 h^2))
    polynomial    k(x, y) = (x.y / d + 1)^3
"""

from typing import Annotated, Literal

import torch
from annotated_types import Gt
from torch import Tensor

from fokker import ConfigError, component
from fokker.errors import DataError
from fokker.metric import Metric, MetricClaims, as_rows
from fokker_metrics.pairs import Kernel, between, distances, within

__all__ = ["MMD"]

_MEDIAN_ROWS = 1000


@component
class MMD(Metric):
    """Squared maximum mean discrepancy of a kernel (Gretton et al., 2012, lemma 6).

    A pure number, with the Gaussian kernel at most 2. It is the square, since the square alone has an unbiased
    estimate. With the polynomial kernel, on features of a network, it is KID (Binkowski et al., 2018, section 3). A
    block of pairs is computed at a time.

    Args:
        kernel: `gaussian` sees every difference of two laws, at the scale of its bandwidth; `polynomial`, of degree 3,
            sees that of their first three moments, and has no scale to choose.
        bandwidth: Standard deviation h of the Gaussian kernel, in the data's own units. Unless given, it is the median
            distance between different examples of the reference (of 1000 of them at most, spread evenly): all samplers
            that are held against one reference are then judged by one kernel, and the two sets must not be exchanged.
        unbiased: Leave out the pairs of an example with itself. The value is then zero on average where the laws are
            the same, and may be negative; with them it is never negative, and zero on equal sets.
    """

    kernel: Literal["gaussian", "polynomial"] = "gaussian"
    bandwidth: Annotated[float, Gt(0)] | None = None
    unbiased: bool = False

    def __post_init__(self) -> None:
        if self.kernel == "polynomial" and self.bandwidth is not None:
            raise ConfigError(
                "MMD.bandwidth is that of the Gaussian kernel, the polynomial one has none: leave it out."
            )

    @property
    def claims(self) -> MetricClaims:
        """Symmetric unless the bandwidth comes from the reference, a pure number if it does."""
        own = self.kernel == "gaussian" and self.bandwidth is None
        return MetricClaims(
            symmetric=not own,
            zero_on_equal_sets=not self.unbiased,
            nonnegative=not self.unbiased,
            degree=0 if own else None,
        )

    def __call__(self, samples: Tensor, reference: Tensor) -> float:
        """The squared discrepancy; see `Metric`.

        Raises:
            DataError: Also if a Gaussian kernel has no bandwidth and half the pairs of the reference coincide.
        """
        x, y = as_rows(samples, reference, least=2 if self.unbiased else 1)
        k = _polynomial if self.kernel == "polynomial" else _gaussian(self.bandwidth or _median_distance(y))
        inner = within(k, x, distinct=self.unbiased) + within(k, y, distinct=self.unbiased)
        value = inner - 2 * between(k, x, y)
        return value if self.unbiased else max(0.0, value)  # rounding can take it below 0


def _gaussian(h: float) -> Kernel:
    return lambda x, y: (-0.5 * (distances(x, y) / h) ** 2).exp()


def _polynomial(x: Tensor, y: Tensor) -> Tensor:
    return (x.double() @ y.double().T / x.shape[1] + 1) ** 3


def _median_distance(y: Tensor) -> float:
    y = y[:: -(-len(y) // _MEDIAN_ROWS)]
    i, j = torch.triu_indices(len(y), len(y), offset=1)
    found = distances(y, y)[i, j]
    median = float(found.median()) if len(found) else 0.0
    if median == 0:
        raise DataError("Half the pairs of the reference coincide, so their median is no bandwidth: give mmd one.")
    return median
