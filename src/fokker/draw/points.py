"""Points of the plane, as dots or as a density."""

from dataclasses import dataclass
from math import sqrt
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.image import AxesImage
from numpy.typing import NDArray
from torch import Tensor

from fokker.draw.picture import Picture, from_figure, saved
from fokker.draw.style import CAPTION, DATA, DENSITY, MUTED, PAPER, SAMPLES, axes, figure
from fokker.draw.values import on_host, padded, span

__all__ = ["MOST", "Window", "density", "frame", "outside", "scatter", "shade", "window"]

MOST = 100_000
"""Points in one picture, at most."""

_DOTS = 5_000
_BINS = 128


@dataclass(frozen=True)
class Window:
    """The part of the plane that is drawn.

    Args:
        x: Its horizontal ends.
        y: Its vertical ends.
    """

    x: tuple[float, float]
    y: tuple[float, float]

    @property
    def equal(self) -> bool:
        """Whether a unit can be as long horizontally as vertically."""
        width, height = self.x[1] - self.x[0], self.y[1] - self.y[0]
        return 0.25 < width / height < 4

    def squared(self) -> "Window":
        """The smallest square window around it, where a unit is as long both ways; else itself."""
        if not self.equal:
            return self
        half = max(self.x[1] - self.x[0], self.y[1] - self.y[0]) / 2
        cx, cy = sum(self.x) / 2, sum(self.y) / 2
        return Window((cx - half, cx + half), (cy - half, cy + half))


def window(x: Tensor) -> Window:
    """The window around points (N, 2) with a margin; see `fokker.draw.values.span` for what it leaves out."""
    return Window(*(padded(*span(column), 0.06) for column in (x[:, 0], x[:, 1]))).squared()


def scatter(
    x: Tensor,
    path: Path | None = None,
    *,
    reference: Tensor | None = None,
    like: Tensor | None = None,
    width: int = 720,
) -> Picture:
    """Points of the plane: up to 5,000 as dots, more as a density; how many lie outside the picture is written below.

    With a reference the smaller of the two sets decides.

    Args:
        x: Points, (N, 2), N at least 1; the first 100,000 are drawn.
        path: Where to save the picture too.
        reference: Points to compare with, (M, 2), drawn beside them in the same window.
        like: Points that the window is laid around, (K, 2); the reference, or else the points, unless given.
        width: Of each of the two, in pixels.

    Returns:
        The picture.
    """
    points = on_host(x, MOST)
    data = None if reference is None else on_host(reference, MOST)
    around = on_host(like, MOST) if like is not None else points if data is None else data
    place = window(around)
    panels = [("", points, SAMPLES)] if data is None else [("samples", points, SAMPLES), ("data", data, DATA)]
    least = min(len(p) for _, p, _ in panels)
    bins = min(_BINS, round(0.7 * sqrt(least)))
    # shades mean the same in both: the darkest is the most crowded place of the data
    top = float(density(panels[-1][1], place, bins).max()) if least > _DOTS else 0.0
    fig = figure(width * len(panels), width)
    for k, (title, p, colour) in enumerate(panels):
        ax = axes(fig.add_subplot(1, len(panels), k + 1), title=title)
        if least <= _DOTS:
            p = p[:_DOTS]
            ax.scatter(p[:, 0].numpy(), p[:, 1].numpy(), s=min(9.0, max(2.0, 6000 / len(p))), c=colour, alpha=0.6, lw=0)
        else:
            shade(ax, density(p, place, bins), place, top)
        frame(ax, place)
        outside(ax, p, place)
    return saved(from_figure(fig), path)


def density(x: Tensor, place: Window, bins: int) -> NDArray[np.float64]:
    """Share of the points (N, 2) in each of `bins` by `bins` cells of a window, first index horizontal."""
    p = x.numpy()
    counts, _, _ = np.histogram2d(p[:, 0], p[:, 1], bins=bins, range=[place.x, place.y])
    return np.asarray(counts / max(len(p), 1))


def shade(ax: Axes, shares: NDArray[np.float64], place: Window, top: float) -> AxesImage:
    """Shade a window by the share of the points in its cells; `top` and more is darkest.

    What is returned is what a colour bar is made of.
    """
    shades = PowerNorm(0.6, vmin=0, vmax=top or 1.0, clip=True)
    extent = (*place.x, *place.y)
    return ax.imshow(shares.T, origin="lower", extent=extent, cmap=DENSITY, norm=shades, interpolation="nearest")


def frame(ax: Axes, place: Window) -> None:
    """Set axes to a window."""
    ax.set_xlim(*place.x)
    ax.set_ylim(*place.y)
    ax.set_aspect("equal" if place.equal else "auto")


def outside(ax: Axes, p: Tensor, place: Window) -> None:
    """Write into axes how many of the points (N, 2) lie outside their window, if any does."""
    inside = (p[:, 0] >= place.x[0]) & (p[:, 0] <= place.x[1]) & (p[:, 1] >= place.y[0]) & (p[:, 1] <= place.y[1])
    beyond = len(p) - int(inside.sum())
    if beyond:
        text = f"{beyond} of {len(p)} outside"
        label = ax.text(1, 0, text, transform=ax.transAxes, ha="right", va="bottom", fontsize=CAPTION, color=MUTED)
        label.set_bbox({"facecolor": PAPER, "alpha": 0.85, "linewidth": 0, "pad": 2})
