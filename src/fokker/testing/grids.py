"""What every Grid should do."""

from fokker.grid import Grid
from fokker.testing.check import Suite

__all__ = ["suite"]

suite = Suite(Grid)
