"""What every ScoreModel should do."""

from fokker.model import ScoreModel
from fokker.testing.check import Suite

__all__ = ["suite"]

suite = Suite(ScoreModel)
