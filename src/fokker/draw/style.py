"""The look of all pictures: quiet axes, and colours that the colour-blind tell apart.

The colours are those of Okabe & Ito (2008), "Color universal design".
"""

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

__all__ = ["CAPTION", "DATA", "DENSITY", "DPI", "GRID", "INK", "MUTED", "PAPER", "SAMPLES", "SERIES", "axes", "figure"]

DPI = 150

PAPER = "#ffffff"
INK = "#262626"
MUTED = "#767676"
GRID = "#e2e2e2"

SAMPLES = "#0072b2"
DATA = "#565656"
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Colours of several lines in one picture, in their order."""

DENSITY = LinearSegmentedColormap.from_list("density", [PAPER, "#9fcbe6", SAMPLES, "#00344f"])
"""Nothing to much, from the colour of the paper on."""

CAPTION = 8.0
"""Size of letters, in points."""


def figure(width: float, height: float) -> Figure:
    """An empty figure, `width` by `height` pixels, not smaller than letters need: 240 by 120."""
    return Figure(
        figsize=(max(width, 240) / DPI, max(height, 120) / DPI), dpi=DPI, facecolor=PAPER, layout="constrained"
    )


def axes(ax: Axes, *, title: str = "", x: str = "", y: str = "") -> Axes:
    """Give axes the house's look.

    Args:
        ax: The axes.
        title: Set above, from the left.
        x: Name of the horizontal axis.
        y: Name of the vertical axis.
    """
    ax.set_facecolor(PAPER)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("bottom", "left"):
        ax.spines[side].set_color(MUTED)
        ax.spines[side].set_linewidth(0.8)
    ax.tick_params(which="both", colors=MUTED, labelcolor=INK, labelsize=CAPTION, width=0.8, length=3)
    ax.tick_params(which="minor", length=2, labelsize=CAPTION - 1)
    ax.set_axisbelow(True)
    if title:
        ax.set_title(title, loc="left", fontsize=CAPTION + 1, color=INK)
    ax.set_xlabel(x, fontsize=CAPTION, color=INK)
    ax.set_ylabel(y, fontsize=CAPTION, color=INK)
    return ax
