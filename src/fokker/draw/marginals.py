"""The law p_t along time: of one coordinate as an image over (t, x), of points of the plane as histograms at some t."""

from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import NonUniformImage
from numpy.typing import NDArray
from torch import Tensor

from fokker.draw.picture import Picture, from_figure, saved
from fokker.draw.points import density, frame, shade, window
from fokker.draw.style import CAPTION, DENSITY, INK, MUTED, SERIES, axes, figure
from fokker.draw.values import on_host, padded, span

__all__ = ["coordinate_marginals", "plane_marginals"]

States = Sequence[tuple[float, Tensor]]

_MOST = 20_000  # points in the histogram at one time
_BINS = 96
_SAME_WINDOW = 2.0  # up to this ratio of sizes, the panels of all times show the same part of the plane


def coordinate_marginals(
    ways: Mapping[str, States], path: Path | None = None, *, coordinate: int = 0, paths: int = 6, width: int = 620
) -> Picture:
    """The law of one coordinate along time, an image over (t, x) for each way, with the paths of some samples over it.

    A column is the histogram of all samples at one time, in shades of that column's own largest value, so that a wide
    law is seen as well as a narrow one. The horizontal axis is t where it is different in all states, and counts the
    steps where it is not, as in Langevin dynamics at one level.

    Args:
        ways: States by the name of the way, such as the data being noised and a sampler's: times and (B, *D), one
            after another; the same samples in all states of a way.
        path: Where to save the picture too.
        coordinate: Position of the coordinate in a flattened example.
        paths: Samples whose paths are drawn, at most.
        width: Of the panel of a way, in pixels.

    Returns:
        The picture.
    """
    ways = {name: _once(states) for name, states in ways.items()}
    values = {
        name: np.stack([on_host(x, _MOST).flatten(1)[:, coordinate].double().numpy() for _, x in states])
        for name, states in ways.items()
    }
    ends = padded(*span(torch.cat([torch.from_numpy(each).flatten() for each in values.values()])), 0.04)
    fig = figure(width * len(ways) + 80, round(0.68 * width))
    panels = fig.subplots(1, len(ways), sharey=True, squeeze=False)[0]
    for ax, (name, states) in zip(panels, ways.items(), strict=True):
        times = np.array([t for t, _ in states])
        going = np.diff(times)
        in_time = bool((going < 0).all() or (going > 0).all())
        at = times if in_time else np.arange(len(times), dtype=float)
        axes(ax, title=name, x="t" if in_time else "step", y=f"x{coordinate}" if ax is panels[0] else "")
        _columns(ax, at, values[name], ends)
        for i in range(min(paths, values[name].shape[1])):
            ax.plot(at, values[name][:, i], color=SERIES[1], linewidth=0.9)
        ax.set_xlim(*_ends(at))
        ax.set_ylim(*ends)
    _bar(fig, panels[-1], "density / its largest at each t")
    return saved(from_figure(fig), path)


def plane_marginals(ways: Mapping[str, States], path: Path | None = None, *, n: int = 5, width: int = 300) -> Picture:
    """The law of points of the plane at several times: histograms from left to right, a row for each way.

    Times grow from left to right where a way passes through different ones, whichever way it goes, so that rows can be
    compared; the shades of a panel are those of its own largest density. All panels show the same part of the plane
    where one suits them all; else those of one column do.

    Args:
        ways: States by the name of the way, as for `coordinate_marginals`, (B, 2).
        path: Where to save the picture too.
        n: Panels of a row, spread evenly over its states, the first and the last among them.
        width: Of a panel in pixels.

    Returns:
        The picture.
    """
    chosen = {name: _spread(states, n) for name, states in ways.items()}
    columns = max(len(states) for states in chosen.values())
    clouds = {name: [(t, on_host(x, _MOST)) for t, x in states] for name, states in chosen.items()}
    places = [window(torch.cat([each[k][1] for each in clouds.values() if k < len(each)])) for k in range(columns)]
    sizes = [place.x[1] - place.x[0] for place in places]
    if max(sizes) <= _SAME_WINDOW * min(sizes):
        places = [window(torch.cat([x for each in clouds.values() for _, x in each]))] * columns
    fig = figure(width * columns, round(1.08 * width) * len(ways))
    for r, (name, states) in enumerate(clouds.items()):
        for k, (t, x) in enumerate(states):
            ax = axes(fig.add_subplot(len(ways), columns, r * columns + k + 1), title=f"t = {t:.3g}")
            if k == 0:
                ax.set_ylabel(name, fontsize=CAPTION + 1, color=INK)
            shares = density(x, places[k], max(24, min(64, ceil(len(x) ** 0.5 / 1.4))))
            shade(ax, shares, places[k], float(shares.max()))
            frame(ax, places[k])
            ax.tick_params(labelsize=CAPTION - 1.5)
    return saved(from_figure(fig), path)


def _once(states: States) -> States:
    """The last state at each time, where most times have one: a corrector's end, and a last denoising, share theirs."""
    last = [state for k, state in enumerate(states) if k + 1 == len(states) or states[k + 1][0] != state[0]]
    return last if len(last) > len(states) / 2 else states


def _spread(states: States, n: int) -> list[tuple[float, Tensor]]:
    """Some of the states, in the order of time where they differ in it."""
    ordered = states[::-1] if states[0][0] > states[-1][0] else states
    last = len(ordered) - 1
    chosen = sorted({round(i * last / (n - 1)) for i in range(n)}) if n > 1 else [0]
    return [ordered[k] for k in chosen]


def _columns(ax: Axes, at: NDArray[np.float64], values: NDArray[np.float64], ends: tuple[float, float]) -> None:
    """Shade a histogram of each row of `values` (K, N) at the places `at`, which rise or fall."""
    bins = max(24, min(_BINS, ceil(values.shape[1] ** 0.5)))
    heights = np.stack([np.histogram(row[np.isfinite(row)], bins=bins, range=ends)[0] for row in values])
    shares = heights / np.maximum(heights.max(axis=1, keepdims=True), 1)
    order = np.argsort(at)
    edges = np.linspace(*ends, bins + 1)
    image = NonUniformImage(ax, cmap=DENSITY, norm=PowerNorm(0.6, vmin=0, vmax=1.6), interpolation="nearest")
    image.set_data(at[order], (edges[:-1] + edges[1:]) / 2, shares[order].T)
    image.set_extent((*_ends(at), *ends))
    ax.add_image(image)


def _ends(at: NDArray[np.float64]) -> tuple[float, float]:
    """The first and the last of some places, apart where there is one place only."""
    low, high = float(at.min()), float(at.max())
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _bar(fig: Figure, ax: Axes, text: str) -> None:
    """A colour bar for the columns."""
    bar = fig.colorbar(ax.images[0], ax=fig.axes, fraction=0.03, aspect=40, pad=0.02, boundaries=np.linspace(0, 1, 128))
    bar.set_ticks([0, 0.25, 0.5, 0.75, 1])
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=CAPTION, labelcolor=INK, color=MUTED)
    bar.set_label(text, fontsize=CAPTION, color=INK)
