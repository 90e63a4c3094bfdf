"""What every Perturbation should do."""

from fokker.perturbation import Perturbation
from fokker.testing.check import Suite

__all__ = ["suite"]

suite = Suite(Perturbation)
