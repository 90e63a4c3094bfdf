"""What every Corrector should do."""

from fokker.sampler import Corrector
from fokker.testing.check import Suite

__all__ = ["suite"]

suite = Suite(Corrector)
