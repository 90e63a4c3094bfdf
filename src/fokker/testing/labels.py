"""What every Label should do."""

from fokker.label import Label
from fokker.testing.check import Suite

__all__ = ["suite"]

suite = Suite(Label)
