"""What every Parameterization should do."""

from fokker.parameterization import Parameterization
from fokker.testing.check import Suite

__all__ = ["suite"]

suite = Suite(Parameterization)
