"""Comparisons: samplers, grids and budgets side by side, quality against cost.

Every cell of a comparison, a sampler on a grid at a budget, starts from the same latents, which depend on the seed and
a sample's index alone. What it is measured against is data, draws of an exact law, or, for `convergence`, the end of
the same latents' probability flow. A value that independent data of the same size would have too is a tie.
"""

from fokker.compare.cell import Cell, cells
from fokker.compare.measure import Comparison, Row
from fokker.compare.solution import Ends, solve
from fokker.compare.table import Entry, summarise
from fokker.compare.target import Floor, Target, floor, of_data, of_law

__all__ = [
    "Cell",
    "Comparison",
    "Ends",
    "Entry",
    "Floor",
    "Row",
    "Target",
    "cells",
    "floor",
    "of_data",
    "of_law",
    "solve",
    "summarise",
]
