"""What every DataSource should do."""

from fokker.data import DataSource
from fokker.testing.check import Suite

__all__ = ["suite"]

suite = Suite(DataSource)
