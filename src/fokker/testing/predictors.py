"""What every OneStep should do."""

from fokker.sampler import OneStep
from fokker.testing.check import Suite

__all__ = ["suite"]

suite = Suite(OneStep)
