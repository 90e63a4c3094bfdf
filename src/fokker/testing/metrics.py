"""What every Metric should do."""

from fokker.metric import Metric
from fokker.testing.check import Suite

__all__ = ["suite"]

suite = Suite(Metric)
