"""What every Guidance should do."""

from fokker.guidance import Guidance
from fokker.testing.check import Suite

__all__ = ["suite"]

suite = Suite(Guidance)
