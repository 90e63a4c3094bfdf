"""Maximum mean discrepancy of a Gaussian kernel.

MMD^2 = E k(X, X') + E k(Y, Y') - 2 E k(X, Y)        k(x, y) = exp(-|x - y|^2 / (2 h^2))
"""

from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor

from fokker import component
from fokker.errors import DataError
from fokker.metric import Metric, as_rows
from fokker_metrics.pairs import between, distances, within

__all__ = ["MMD"]

_MEDIAN_ROWS = 1000


@component
class MMD(Metric):
    """Squared maximum mean discrepancy of a Gaussian kernel (Gretton et al., 2012, lemma 6).

    A pure number of at most 2. It is the square, since the square alone has an unbiased estimate. Distances are
    computed a block at a time.

    Args:
        bandwidth: Standard deviation h of the kernel, in the data's own units. Unless given, it is the median distance
            between different examples of the reference (of 1000 of them at most, spread evenly): all samplers that are
            held against one reference are then judged by one kernel, and the two sets must not be exchanged.
        unbiased: Leave out the pairs of an example with itself. The value is then zero on average where the laws are
            the same, and may be negative; with them it is never negative, and zero on equal sets.
    """

    bandwidth: Annotated[float, Gt(0)] | None = None
    unbiased: bool = False

    def __call__(self, samples: Tensor, reference: Tensor) -> float:
        """The squared discrepancy; see `Metric`.

        Raises:
            DataError: Also if no bandwidth is given and half the pairs of the reference coincide.
        """
        least = 2 if self.unbiased else 1
        x, y = as_rows(samples, reference, least=least)
        h = _median_distance(y) if self.bandwidth is None else self.bandwidth

        def kernel(r: Tensor) -> Tensor:
            return (-0.5 * (r / h) ** 2).exp()

        inner = within(kernel, x, distinct=self.unbiased) + within(kernel, y, distinct=self.unbiased)
        value = inner - 2 * between(kernel, x, y)
        return value if self.unbiased else max(0.0, value)  # rounding can take it below 0


def _median_distance(y: Tensor) -> float:
    y = y[:: -(-len(y) // _MEDIAN_ROWS)]
    i, j = torch.triu_indices(len(y), len(y), offset=1)
    found = distances(y, y)[i, j]
    median = float(found.median()) if len(found) else 0.0
    if median == 0:
        raise DataError("Half the pairs of the reference coincide, so their median is no bandwidth: give mmd one.")
    return median
