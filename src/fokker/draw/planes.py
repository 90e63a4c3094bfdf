"""Histograms of the plane: how many points there are where, on one scale for samples and data."""

from pathlib import Path

from torch import Tensor

from fokker.draw.picture import Picture, from_figure, saved
from fokker.draw.points import MOST, density, frame, outside, shade, window
from fokker.draw.style import CAPTION, INK, MUTED, axes, figure
from fokker.draw.values import on_host

__all__ = ["plane_histogram"]


def plane_histogram(
    x: Tensor,
    path: Path | None = None,
    *,
    reference: Tensor | None = None,
    like: Tensor | None = None,
    bins: int = 64,
    width: int = 640,
) -> Picture:
    """Points as a histogram of the plane, beside that of the data: the same cells, the same colours, one colour bar.

    The colour of a cell is the density there, the share of the points in it over its area, so that sets of different
    sizes can be compared. How many points lie outside the window is written below.

    Args:
        x: Points, (N, 2), N at least 1; the first 100,000 are counted.
        path: Where to save the picture too.
        reference: Points to compare with, (M, 2), drawn on the left.
        like: Points that the window is laid around, (K, 2); the reference, or else the points, unless given.
        bins: Cells in a row and in a column.
        width: Of each of the two, in pixels.

    Returns:
        The picture.
    """
    around = like if like is not None else x if reference is None else reference
    place = window(on_host(around, MOST))
    panels = [] if reference is None else [("data", on_host(reference, MOST))]
    panels.append(("samples", on_host(x, MOST)))
    cell = (place.x[1] - place.x[0]) * (place.y[1] - place.y[0]) / bins**2
    heights = [density(points, place, bins) / cell for _, points in panels]
    top = max(float(each.max()) for each in heights)
    fig = figure(width * len(panels) + 90, width)
    for k, ((title, points), height) in enumerate(zip(panels, heights, strict=True)):
        ax = axes(fig.add_subplot(1, len(panels), k + 1), title=f"{title}, {len(points):,} points")
        shown = shade(ax, height, place, top)
        frame(ax, place)
        outside(ax, points, place)
    bar = fig.colorbar(shown, ax=fig.axes, fraction=0.03, aspect=40, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=CAPTION, labelcolor=INK, color=MUTED)
    bar.set_label("density", fontsize=CAPTION, color=INK)
    return saved(from_figure(fig), path)
