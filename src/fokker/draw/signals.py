"""Signals: series, waveforms and whatever else has one axis of time."""

from math import ceil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fokker.draw.cells import Cells
from fokker.draw.picture import Picture, from_figure, saved
from fokker.draw.style import CAPTION, MUTED, SERIES, figure
from fokker.draw.values import on_host, padded, span

__all__ = ["MOST", "signal_plot"]

MOST = 36
"""Signals in one picture, at most."""


def signal_plot(x: Tensor, path: Path | None = None, *, like: Tensor | None = None, width: int = 720) -> Picture:
    """Signals as small curves, the first 36 of them, all over the same range of values.

    Args:
        x: Signals, (B, C, L), B at least 1; the first six channels are drawn, each in its colour.
        path: Where to save the picture too.
        like: Signals whose range is drawn; those of `x` unless given.
        width: Of the picture in pixels.

    Returns:
        The picture.
    """
    signals = on_host(x, MOST)
    low, high = span(signals if like is None else like)
    bottom, top = padded(low, high, 0.02)
    n = len(signals)
    columns = 1 if n <= 3 else 3 if n <= 12 else 4
    cells = Cells(n, min(columns, n))
    values = ((signals.double() - bottom) / (top - bottom)).nan_to_num(nan=0.0).clamp(0, 1).numpy()
    fig = figure(width, 30 + round(0.4 * width * cells.rows / cells.columns))
    ax = fig.add_subplot()
    for c in range(min(values.shape[1], len(SERIES))):
        curves = [_thinned(v[c], 2 * width // cells.columns) for v in values]
        cells.curves(ax, range(n), curves, SERIES[c])
    cells.frame(ax)
    text = f"each from {low:.3g} to {high:.3g}"
    ax.text(1, -0.01, text, transform=ax.transAxes, ha="right", va="top", fontsize=CAPTION, color=MUTED)
    return saved(from_figure(fig), path)


def _thinned(y: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """At most about `most` values that look like `y`: the least and the largest of every stretch, in turn."""
    stretch = ceil(2 * len(y) / most)
    if stretch <= 2:
        return y
    padded = np.concatenate([y, np.full(-len(y) % stretch, y[-1])]).reshape(-1, stretch)
    return np.stack([padded.min(axis=1), padded.max(axis=1)], axis=1).reshape(-1)
