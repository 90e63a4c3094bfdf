"""What every Sampler should do."""

from fokker.sampler import Sampler
from fokker.testing.check import Suite

__all__ = ["suite"]

suite = Suite(Sampler)
