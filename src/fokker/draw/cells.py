"""Many small plots in one: cells in rows and columns, each with its curve or cloud in coordinates of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from fokker.draw.style import GRID

__all__ = ["Cells"]

Floats = NDArray[np.float64]
_MARGIN = 0.06


@dataclass(frozen=True)
class Cells:
    """Places of `n` cells in a plane where each is one unit wide and high, the first at the top left.

    One axes with many cells is drawn far faster than many axes.

    Args:
        n: Number of cells.
        columns: Cells in a row.
    """

    n: int
    columns: int

    @property
    def rows(self) -> int:
        """Number of rows."""
        return ceil(self.n / self.columns)

    def place(self, k: int, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Move values within [0, 1] into cell `k`, with a margin."""
        inner = 1 - 2 * _MARGIN
        return k % self.columns + _MARGIN + inner * x, self.rows - 1 - k // self.columns + _MARGIN + inner * y

    def curves(self, ax: Axes, cells: Sequence[int], y: Sequence[Floats], colour: str) -> None:
        """Draw a curve through the values `y` of [0, 1], over the whole width, into each of some cells."""
        lines = [np.stack(self.place(k, np.linspace(0, 1, len(v)), v), axis=1) for k, v in zip(cells, y, strict=True)]
        ax.add_collection(LineCollection(lines, colors=colour, linewidths=0.9))

    def frame(self, ax: Axes, cells: Sequence[int] | None = None) -> None:
        """Draw the borders of some or all of the cells, and set the axes to them all."""
        for k in range(self.n) if cells is None else cells:
            left, bottom = k % self.columns, self.rows - 1 - k // self.columns
            ax.add_patch(Rectangle((left, bottom), 1, 1, facecolor="none", edgecolor=GRID, linewidth=0.8))
        ax.set_xlim(-0.01, self.columns + 0.01)
        ax.set_ylim(-0.01, self.rows + 0.01)
        ax.axis("off")
