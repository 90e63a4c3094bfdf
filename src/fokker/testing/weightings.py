"""What every Weighting should do."""

from fokker.weighting import Weighting
from fokker.testing.check import Suite

__all__ = ["suite"]

suite = Suite(Weighting)
