"""What every Objective should do."""

from fokker.objective import Objective
from fokker.testing.check import Suite

__all__ = ["suite"]

suite = Suite(Objective)
