"""What every Transform should do."""

from fokker.data import Transform
from fokker.testing.check import Suite

__all__ = ["suite"]

suite = Suite(Transform)
