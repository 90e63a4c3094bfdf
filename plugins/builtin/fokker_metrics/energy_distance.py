"""Energy distance: how much farther the sets are from each other than from themselves.

E = 2 E|X - Y| - E|X - X'| - E|Y - Y'|
"""

from torch import Tensor

from fokker import component
from fokker.metric import Metric, MetricClaims, as_rows
from fokker_metrics.pairs import between, distances, within

__all__ = ["EnergyDistance"]


@component
class EnergyDistance(Metric):
    """Twice the mean distance between the sets less the mean distances within them (Szekely & Rizzo, 2013, section 2).

    In the data's own units: it is not the root that some libraries return, which would be in units of their root. On
    the line it is 2 int (F - G)^2. Distances are computed a block at a time.

    Args:
        unbiased: Leave out the distances of examples to themselves. The value is then zero on average where the laws
            are the same, and may be negative; with them it is never negative, zero on equal sets, and larger on average
            by E|X - X'|/N + E|Y - Y'|/M.
    """

    unbiased: bool = False

    @property
    def claims(self) -> MetricClaims:
        """A distance in the data's own units, biased or not."""
        return MetricClaims(
            symmetric=True, zero_on_equal_sets=not self.unbiased, nonnegative=not self.unbiased, degree=1
        )

    def __call__(self, samples: Tensor, reference: Tensor) -> float:
        """The distance; see `Metric`."""
        x, y = as_rows(samples, reference, least=2 if self.unbiased else 1)
        inner = within(distances, x, distinct=self.unbiased) + within(distances, y, distinct=self.unbiased)
        value = 2 * between(distances, x, y) - inner
        return value if self.unbiased else max(0.0, value)  # rounding can take it below 0
