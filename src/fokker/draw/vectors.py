"""Vectors: one number as a histogram, up to eight as pairs, more as rows of colour."""

from math import ceil
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from torch import Tensor

from fokker.draw.cells import Cells
from fokker.draw.picture import Picture, from_figure, saved
from fokker.draw.style import CAPTION, DATA, INK, MUTED, SAMPLES, axes, figure
from fokker.draw.values import on_host, padded, quantiles, span

__all__ = ["MOST_NUMBERS", "MOST_PAIRS", "MOST_ROWS", "heat_rows", "histogram", "pair_plot"]

MOST_NUMBERS = 100_000
"""Numbers in one histogram, at most."""

MOST_PAIRS = 2_000
"""Points in the small plots of pairs, at most."""

MOST_ROWS = 256
"""Vectors in one picture of rows, at most."""


def histogram(
    x: Tensor,
    path: Path | None = None,
    *,
    reference: Tensor | None = None,
    like: Tensor | None = None,
    width: int = 720,
) -> Picture:
    """Numbers as a density, the first 100,000 of them; a reference as an outline over it.

    Args:
        x: Numbers, (N, 1) or (N,), N at least 1.
        path: Where to save the picture too.
        reference: Numbers to compare with, (M, 1) or (M,).
        like: Numbers whose range is drawn; those of the reference, or else of `x`, unless given.
        width: Of the picture in pixels.

    Returns:
        The picture.
    """
    values = on_host(x, MOST_NUMBERS).reshape(-1)
    around = like if like is not None else values if reference is None else reference
    ends = padded(*span(around), 0.05)
    fig = figure(width, round(0.6 * width))
    ax = axes(fig.add_subplot(), y="density")
    heights, edges = _density(values, ends)
    ax.stairs(heights, edges, fill=True, color=SAMPLES, alpha=0.75, label="samples")
    if reference is not None:
        heights, edges = _density(on_host(reference, MOST_NUMBERS).reshape(-1), ends)
        ax.stairs(heights, edges, color=DATA, linewidth=1.4, label="data")
        ax.legend(frameon=False, fontsize=CAPTION, labelcolor=INK)
    ax.set_xlim(*ends)
    return saved(from_figure(fig), path)


def pair_plot(x: Tensor, path: Path | None = None, *, like: Tensor | None = None, width: int = 720) -> Picture:
    """Every pair of coordinates as a small cloud, and each coordinate's histogram on the diagonal.

    Args:
        x: Vectors, (N, d), N at least 1; the first 2,000 are drawn.
        path: Where to save the picture too.
        like: Vectors whose ranges are drawn, (M, d); those of `x` unless given.
        width: Of the picture in pixels.

    Returns:
        The picture.
    """
    points = on_host(x, MOST_PAIRS)
    d = points.shape[1]
    around = points if like is None else like
    ranges = [span(around[:, i]) for i in range(d)]
    unit = np.stack([_unit(points[:, i].double().numpy(), *ranges[i]) for i in range(d)], axis=1)
    cells = Cells(d * d, d)
    fig = figure(width, width)
    ax = fig.add_subplot()
    clouds = [cells.place(i * d + j, unit[:, j], unit[:, i]) for i in range(d) for j in range(i)]
    if clouds:
        horizontal, vertical = (np.concatenate(side) for side in zip(*clouds, strict=True))
        size = max(0.6, min(4.0, 2500 / len(points) / d))
        ax.scatter(horizontal, vertical, s=size, c=SAMPLES, alpha=0.5, linewidths=0)
    for i in range(d):
        heights, edges = np.histogram(unit[:, i], bins=24, range=(0, 1))
        left, base = cells.place(i * d + i, edges, np.zeros(25))
        tops = cells.place(i * d + i, edges[:-1], heights / max(heights.max(), 1))[1]
        ax.stairs(tops, left, baseline=float(base[0]), fill=True, color=SAMPLES, alpha=0.75)
        ax.text(i + 0.5, -0.08, f"x{i}", ha="center", va="top", fontsize=CAPTION, color=INK)
        text = f"{ranges[i][0]:.3g} to {ranges[i][1]:.3g}"
        ax.text(i + 0.5, d - i + 0.04, text, ha="center", va="bottom", fontsize=CAPTION - 1, color=MUTED)
    cells.frame(ax, [i * d + j for i in range(d) for j in range(i + 1)])
    ax.set_ylim(-0.4, d + 0.35)
    return saved(from_figure(fig), path)


def heat_rows(x: Tensor, path: Path | None = None, *, like: Tensor | None = None, width: int = 720) -> Picture:
    """Vectors as rows of colour, the first 256 of them.

    Args:
        x: Vectors or arrays of any shape, (N, *D), N at least 1.
        path: Where to save the picture too.
        like: Vectors whose range the colours span; those of `x` unless given.
        width: Of the picture in pixels.

    Returns:
        The picture.
    """
    rows = on_host(x, MOST_ROWS).flatten(1)
    low, high = quantiles(rows if like is None else like, 0.01, 0.99)
    if low < 0 < high:  # the colour of zero is white where there are both signs
        high = max(-low, high)
        low, colours = -high, matplotlib.colormaps["PuOr_r"]
    else:
        colours = matplotlib.colormaps["cividis"]
    fig = figure(width, min(width, 130 + max(240, 6 * len(rows))))
    ax = axes(fig.add_subplot(), x="value number", y="sample number")
    shown = ax.imshow(rows.numpy(), aspect="auto", cmap=colours, vmin=low, vmax=high, interpolation="nearest")
    for side in ax.spines.values():
        side.set_visible(False)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    bar = fig.colorbar(shown, ax=ax, fraction=0.04, aspect=60, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=CAPTION, labelcolor=INK, color=MUTED)
    return saved(from_figure(fig), path)


def _density(x: Tensor, ends: tuple[float, float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    bins = max(10, min(120, ceil(3 * len(x) ** (1 / 3))))
    counts, edges = np.histogram(x.numpy(), bins=bins, range=ends)
    return counts / (max(len(x), 1) * np.diff(edges)), edges


def _unit(v: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Values between `low` and `high` as [0, 1]; others as NaN, which is not drawn."""
    scaled = (v - low) / (high - low) if high > low else np.where(v == low, 0.5, np.nan)
    return np.where((scaled >= 0) & (scaled <= 1), scaled, np.nan)
