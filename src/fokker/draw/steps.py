"""The steps of a few samples as arrows, over the data that they walk towards."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fokker.draw.picture import Picture, from_figure, saved
from fokker.draw.points import MOST, Window, density, frame, shade, window
from fokker.draw.style import CAPTION, INK, MUTED, PAPER, SERIES, axes, figure
from fokker.draw.values import on_host, padded

__all__ = ["step_arrows"]

_BINS = 96


def step_arrows(
    states: Sequence[tuple[float, Tensor]],
    path: Path | None = None,
    *,
    reference: Tensor | None = None,
    n: int = 6,
    width: int = 900,
) -> Picture:
    """Every step of the first samples as an arrow from state to state, each sample in its colour.

    An open circle is where a sample starts, a full one where it ends. The window holds all that is drawn: the whole
    paths, and the data.

    Args:
        states: Times and states (B, 2), as a trajectory passes through them, one at least.
        path: Where to save the picture too.
        reference: Points whose density is drawn below, (M, 2), in the units of the states; the first 100,000 are used.
        n: Samples, at most.
        width: Of the picture in pixels.

    Returns:
        The picture.
    """
    paths = torch.stack([on_host(x, n) for _, x in states])
    around = paths.flatten(0, 1)
    around = around[around.isfinite().all(1)]
    data = None if reference is None else on_host(reference, MOST)
    place = _window(around, data)
    fig = figure(width, width)
    count = len(states) - 1
    ax = axes(fig.add_subplot(), title=f"{count} step{'' if count == 1 else 's'} of {paths.shape[1]} samples")
    if data is not None:
        shares = density(data, place, _BINS)
        shade(ax, shares, place, 2.5 * float(shares.max()))  # lighter than the arrows
    walked = paths.double().numpy()
    for i in range(paths.shape[1]):
        colour = SERIES[i % len(SERIES)]
        at = walked[:, i]
        step = np.diff(at, axis=0)
        ax.quiver(
            *at[:-1].T,
            *step.T,
            angles="xy",
            scale_units="xy",
            scale=1.0,
            color=colour,
            width=0.0028,
            headwidth=3.6,
            headlength=4.5,
            headaxislength=4,
            minlength=0.1,
            zorder=3,
        )
        ax.scatter(at[0, 0], at[0, 1], s=34, facecolor=PAPER, edgecolor=colour, linewidth=1.4, zorder=4)
        ax.scatter(at[-1, 0], at[-1, 1], s=34, facecolor=colour, edgecolor=PAPER, linewidth=0.8, zorder=5)
    start = ax.scatter([], [], s=34, facecolor=PAPER, edgecolor=INK, linewidth=1.4)
    end = ax.scatter([], [], s=34, facecolor=INK, edgecolor=PAPER, linewidth=0.8)
    legend = fig.legend(
        [start, end], ["start", "end"], loc="outside lower right", ncols=2, fontsize=CAPTION, labelcolor=INK
    )
    legend.get_frame().set_linewidth(0)
    if data is not None:
        fig.text(0.01, 0.012, "shaded: the data", fontsize=CAPTION, color=MUTED)
    frame(ax, place)
    return saved(from_figure(fig), path)


def _window(walked: Tensor, data: Tensor | None) -> Window:
    """The window around all states (N, 2), however far they went, and around the data."""
    parts = [] if data is None else [window(data)]
    if len(walked):
        low, high = walked.amin(0).tolist(), walked.amax(0).tolist()
        parts.append(Window(*(padded(low[k], high[k], 0.06) for k in range(2))))
    if not parts:
        return Window((-1.0, 1.0), (-1.0, 1.0))
    x, y = (
        (min(side[0] for side in sides), max(side[1] for side in sides))
        for sides in ([part.x for part in parts], [part.y for part in parts])
    )
    return Window(x, y).squared()
