"""Curves of a training's log."""

from collections.abc import Iterable, Mapping
from math import isfinite
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from fokker.draw.picture import Picture, from_figure, saved
from fokker.draw.style import CAPTION, GRID, INK, MUTED, SAMPLES, axes, figure
from fokker.draw.values import padded

__all__ = ["Thinned", "draw_loss", "loss_curve"]

_MOST = 2048
_SMOOTH = 40  # the mean runs over this part of the curve
_LOGARITHMIC = 10.0  # ratio of largest to smallest from which on an axis is logarithmic


class Thinned:
    """A series of any length in bounded memory: neighbours are merged, two by two, whenever there are too many.

    Args:
        most: Points that are kept, at most; even.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._rows = np.empty((5, most))  # step, count, sum, least, largest
        self._used = 0
        self._each = 1  # values in a full point
        self.length = 0

    def add(self, step: float, value: float) -> None:
        """Take the next value, finite."""
        if self.length % self._each == 0:
            if self._used == self._rows.shape[1]:
                self._merge()
            self._rows[:, self._used] = step, 0, 0.0, value, value
            self._used += 1
        point = self._rows[:, self._used - 1]
        point[0] += (step - point[0]) / (point[1] + 1)
        point[1] += 1
        point[2] += value
        point[3] = min(point[3], value)
        point[4] = max(point[4], value)
        self.length += 1

    def _merge(self) -> None:
        left, right = self._rows[:, 0::2], self._rows[:, 1::2]
        count = left[1] + right[1]
        merged = np.stack(
            [
                (left[0] * left[1] + right[0] * right[1]) / count,
                count,
                left[2] + right[2],
                np.minimum(left[3], right[3]),
                np.maximum(left[4], right[4]),
            ]
        )
        self._used = merged.shape[1]
        self._rows[:, : self._used] = merged
        self._each *= 2

    @property
    def steps(self) -> NDArray[np.float64]:
        """Mean step of each point."""
        return self._rows[0, : self._used]

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean value of each point."""
        return self._rows[2, : self._used] / self._rows[1, : self._used]

    @property
    def ends(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Least and largest value of each point."""
        return self._rows[3, : self._used], self._rows[4, : self._used]

    def smooth(self) -> NDArray[np.float64]:
        """A running mean over a fortieth of the curve, over less at its ends, of all values with equal weight."""
        half = self._used // _SMOOTH // 2
        sums, counts = (np.concatenate([[0.0], np.cumsum(self._rows[k, : self._used])]) for k in (2, 1))
        at = np.arange(self._used)
        high, low = np.minimum(at + half + 1, self._used), np.maximum(at - half, 0)
        return np.asarray((sums[high] - sums[low]) / (counts[high] - counts[low]))


def loss_curve(rows: Iterable[Mapping[str, object]], path: Path | None = None, *, width: int = 900) -> Picture:
    """The loss over the steps, as logged (faint) and as a running mean; below it the learning rate if it was logged.

    The axis is logarithmic where the mean is positive and spans a decade. Memory does not grow with the number of rows.

    Args:
        rows: Rows of a log with `step` and `loss`, and perhaps `lr`; rows without a finite loss are left out.
        path: Where to save the picture too.
        width: Of the picture in pixels.

    Returns:
        The picture.
    """
    loss, rate = Thinned(), Thinned()
    for entry in rows:
        step = _number(entry.get("step"))
        for name, series in (("loss", loss), ("lr", rate)):
            value = _number(entry.get(name))
            if step is not None and value is not None:
                series.add(step, value)
    fig = figure(width, max(260, round(0.5 * width)))
    if not rate.length:
        ax = axes(fig.add_subplot(), title="loss", x="step")
    else:
        upper, lower = fig.subplots(2, 1, sharex=True, height_ratios=[4, 1])
        ax = axes(upper, title="loss")
        axes(lower, title="learning rate", x="step")
        lower.plot(rate.steps, rate.mean, color=MUTED, linewidth=1.2)
        top = float(rate.mean.max())
        lower.set_ylim(0, 1.1 * top or 1.0)
        lower.set_yticks([0, top], ["0", f"{top:.3g}"])
    draw_loss(ax, loss)
    ax.xaxis.set_major_locator(MaxNLocator(10, integer=True, steps=[1, 2, 5, 10]))
    return saved(from_figure(fig), path)


def draw_loss(ax: Axes, loss: Thinned) -> None:
    """Draw a series into axes: values or their ranges, faint, and the running mean."""
    ax.grid(axis="y", color=GRID, linewidth=0.8)
    if not loss.length:
        ax.text(0.5, 0.5, "no loss was logged", transform=ax.transAxes, ha="center", color=MUTED, fontsize=CAPTION + 1)
        return
    smooth = loss.smooth()
    low, high = loss.ends
    if loss.length > len(low):
        ax.fill_between(loss.steps, low, high, color=SAMPLES, alpha=0.18, linewidth=0)
    ax.plot(loss.steps, loss.mean, color=SAMPLES, alpha=0.35, linewidth=0.8)
    ax.plot(loss.steps, smooth, color=SAMPLES, linewidth=1.8)
    # single values may jump far: the range is that of all but a few of them, and of the mean
    few = 0.005 if len(smooth) > 20 else 0.0
    bottom = float(min(np.quantile(low, few), smooth.min()))
    top = float(max(np.quantile(high, 1 - few), smooth.max()))
    if smooth.min() > 0 and smooth.max() >= _LOGARITHMIC * smooth.min():
        bottom = max(bottom, 0.1 * float(smooth.min()))
        ax.set_yscale("log", nonpositive="mask")
        ax.set_ylim(bottom / 1.2, top * 1.2)
    else:
        below, above = padded(bottom, top, 0.05)
        ax.set_ylim(below if bottom < 0 else max(0.0, below), above)
    text = f"{smooth[-1]:.4g} at the end"
    ax.text(1, 1.01, text, transform=ax.transAxes, ha="right", va="bottom", fontsize=CAPTION, color=INK)


def _number(value: object) -> float | None:
    """A finite number, or None."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value):
        return float(value)
    return None
