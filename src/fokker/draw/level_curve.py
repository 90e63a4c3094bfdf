"""The loss at each noise level, with its error, beside the least that there can be."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from fokker.draw.picture import Picture, from_figure, saved
from fokker.draw.style import CAPTION, DATA, GRID, INK, SAMPLES, axes, figure

__all__ = ["LevelLoss", "level_losses"]

_LOGARITHMIC = 10.0  # ratio of largest to smallest from which on an axis is logarithmic
_LEVEL = r"noise level $\sigma / \alpha$"
_MARKS: dict[str, Any] = {"marker": "o", "markersize": 3.2, "linewidth": 1.4, "capsize": 2.5, "elinewidth": 1.0}


class LevelLoss(Protocol):
    """What is drawn of a level; see `fokker.levels.LevelLoss`."""

    @property
    def ratio(self) -> float:
        """sigma / alpha."""

    @property
    def loss(self) -> float:
        """Mean loss."""

    @property
    def stderr(self) -> float:
        """Its standard error."""

    @property
    def optimum(self) -> float | None:
        """The loss of the exact law on the same examples and noise, or None."""

    @property
    def excess(self) -> float | None:
        """How far above the optimum the loss is, or None."""

    @property
    def excess_stderr(self) -> float | None:
        """Its standard error, or None."""


def level_losses(levels: Sequence[LevelLoss], path: Path | None = None, *, width: int = 900) -> Picture:
    """The loss over the noise level sigma / alpha, with two standard errors either way, and the optimum where known.

    With an optimum, a second panel below shows how far above it the loss is. What is known to vanish or to be negative
    has a linear axis, all else a logarithmic one from a decade on.

    Args:
        levels: One at least, in any order.
        path: Where to save the picture too.
        width: Of the picture in pixels.

    Returns:
        The picture.
    """
    rows = sorted(levels, key=lambda level: level.ratio)
    at, loss, error = (np.array([getattr(r, name) for r in rows]) for name in ("ratio", "loss", "stderr"))
    error = np.nan_to_num(error)
    known = [r.optimum for r in rows if r.optimum is not None]
    best = np.array(known) if len(known) == len(rows) else None
    fig = figure(width, round((0.75 if best is not None else 0.5) * width))
    upper, lower = (
        fig.subplots(2, 1, sharex=True, height_ratios=[3, 2]) if best is not None else (fig.add_subplot(), None)
    )
    ax = axes(upper, title="loss at each noise level", x="" if lower is not None else _LEVEL, y="loss")
    ax.grid(axis="y", color=GRID, linewidth=0.8)
    ax.errorbar(at, loss, 2 * error, color=SAMPLES, label="model, with 2 standard errors", **_MARKS)
    if best is not None:
        ax.plot(at, best, color=DATA, linewidth=1.4, linestyle="--", label="optimum: the data's exact score")
    finite = np.concatenate([loss, [] if best is None else best])
    finite = finite[np.isfinite(finite)]
    if len(finite) and finite.min() > 0 and finite.max() >= _LOGARITHMIC * finite.min():
        ax.set_yscale("log")
    if bool((at > 0).all()) and at.max() > at.min():
        ax.set_xscale("log")
    fig.legend(loc="outside upper right", ncols=2, frameon=False, fontsize=CAPTION, labelcolor=INK)
    if lower is not None:
        ax = axes(lower, title="above the optimum", x=_LEVEL, y="loss - optimum")
        ax.grid(axis="y", color=GRID, linewidth=0.8)
        excess, wrong = (np.array([getattr(r, name) for r in rows]) for name in ("excess", "excess_stderr"))
        ax.axhline(0, color=DATA, linewidth=1.2, linestyle="--")
        ax.errorbar(at, excess, 2 * np.nan_to_num(wrong), color=SAMPLES, **_MARKS)
    return saved(from_figure(fig), path)
