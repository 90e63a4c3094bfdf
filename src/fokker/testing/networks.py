"""What every Network should do."""

from fokker.network import Network
from fokker.testing.check import Suite

__all__ = ["suite"]

suite = Suite(Network)
