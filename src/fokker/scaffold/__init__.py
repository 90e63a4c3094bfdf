"""A package for a component of one's own, complete from the start: it installs, is listed, and passes its tests.

    Package     its names, and its files as texts
    KINDS       what is written for each kind of component

Nothing here imports torch.
"""

from fokker.scaffold.kinds import KINDS, Kind
from fokker.scaffold.package import Package, write

__all__ = ["KINDS", "Kind", "Package", "write"]
