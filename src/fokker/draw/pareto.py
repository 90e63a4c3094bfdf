"""Quality against cost: what a sampler reaches with so many evaluations of the network, and in so much time."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Literal, TypeAlias

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from fokker.draw.picture import Picture, from_figure, saved
from fokker.draw.style import CAPTION, GRID, INK, MUTED, SERIES, axes, figure

__all__ = ["Curve", "Panel", "pareto"]

_MARKS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h")
_Line: TypeAlias = Literal["-", "--", ":", "-."]
_LINES: tuple[_Line, ...] = ("-", "--", ":", "-.")
_Looks: TypeAlias = dict[str, tuple[str, str, _Line]]
_HEAD = 0.33  # height of a panel in widths of the picture
_LETTER, _HANDLE, _LINE = 9.5, 75, 27  # pixels of a letter of the legend, of a sign, of a line
_FAR, _DECADES = 30.0, 100.0  # a floor so far below is left out; a range so small has labels within a decade
_PLAIN = FuncFormatter(lambda value, _: f"{value:g}")


@dataclass(frozen=True)
class Curve:
    """A way down at several budgets.

    Args:
        label: What it is called.
        nfe: Evaluations of the network per sample, ascending.
        seconds: Per sample, for each of them.
        values: The metric.
        errors: Its standard errors; 0 where there is none.
        own: Whether it is the run's own way down, or one that chooses its evaluations: a single point.
    """

    label: str
    nfe: Sequence[float]
    seconds: Sequence[float]
    values: Sequence[float]
    errors: Sequence[float]
    own: bool = False


@dataclass(frozen=True)
class Panel:
    """A metric.

    Args:
        name: Its name.
        curves: Its curves.
        floor: What real data has: the mean, and the limit up to which a value is a tie; None if unknown.
        likeness: Whether more is better, on an axis that is not logarithmic.
    """

    name: str
    curves: Sequence[Curve]
    floor: tuple[float, float] | None = None
    likeness: bool = False


def pareto(panels: Sequence[Panel], path: Path | None = None, *, width: int = 1100) -> Picture:
    """Every metric over the evaluations of the network on the left, over the time a sample takes on the right.

    Axes are logarithmic, except that of a likeness; values of 0 and below lie on the lower edge. The band is what real
    data reaches.

    Args:
        panels: One at least.
        path: Where to save the picture too.
        width: Of the picture in pixels.

    Returns:
        The picture.
    """
    labels = list(dict.fromkeys(c.label for panel in panels for c in panel.curves))
    looks: _Looks = {
        label: (SERIES[k % len(SERIES)], _MARKS[k % len(_MARKS)], _LINES[k // len(SERIES) % len(_LINES)])
        for k, label in enumerate(labels)
    }
    columns = max(1, min(4, int(width / (_HANDLE + _LETTER * max(map(len, labels), default=1)))))
    rows = -(-(len(labels) + 1) // columns)
    fig = figure(width, round(_HEAD * width * len(panels)) + _LINE * (rows + 1))
    grid = fig.subplots(len(panels), 2, squeeze=False)
    for panel, (left, right) in zip(panels, grid, strict=True):
        last = panel is panels[-1]
        _panel(left, panel, looks, "evaluations of the network" if last else "", seconds=False)
        _panel(right, panel, looks, "milliseconds a sample" if last else "", seconds=True)
        right.sharey(left)
    handles = [
        Line2D([], [], color=colour, marker=mark, linestyle=line, markersize=4, linewidth=1.4, label=label)
        for label, (colour, mark, line) in looks.items()
    ]
    if any(panel.floor is not None for panel in panels):
        handles.append(Line2D([], [], color=GRID, linewidth=7, label="real data, 95 % of sets"))
    fig.legend(
        handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=CAPTION, labelcolor=INK
    )
    return saved(from_figure(fig), path)


def _panel(ax: Axes, panel: Panel, looks: _Looks, x: str, *, seconds: bool) -> None:
    axes(ax, title="" if seconds else panel.name, x=x)
    ax.grid(axis="both", color=GRID, linewidth=0.6)
    ax.set_xscale("log")
    costs = {x for c in panel.curves for x in (c.seconds if seconds else c.nfe)}
    if len(costs) == 1:  # an axis from a cost to itself has no length
        (only,) = costs
        only = 1000 * only if seconds else only
        ax.set_xlim(only / 2, only * 2)
    known = [v for c in panel.curves for v in c.values if isfinite(v)]
    positive = [v for v in known if v > 0]
    logarithmic = not panel.likeness and bool(positive)
    low = min(positive, default=1.0)
    if panel.floor is not None and panel.floor[1] > low / _FAR:  # a floor far below would flatten all that is above it
        low = min(low, panel.floor[1])
    edge = low / 1.5
    for curve in panel.curves:
        colour, mark, line = looks[curve.label]
        cost = [1000 * s for s in curve.seconds] if seconds else list(curve.nfe)
        values = [max(v, edge) if logarithmic else v for v in curve.values]
        order = sorted(range(len(cost)), key=cost.__getitem__)
        style: dict[str, Any] = {"color": colour, "marker": mark, "linestyle": "none" if curve.own else line}
        size = 6.0 if curve.own else 3.6
        ax.errorbar(
            [cost[i] for i in order],
            [values[i] for i in order],
            # an error as large as the value itself would reach down to the edge of a logarithmic axis
            [
                [min(curve.errors[i], values[i] - edge) if logarithmic else curve.errors[i] for i in order],
                [curve.errors[i] for i in order],
            ],
            markersize=size,
            linewidth=1.4,
            elinewidth=0.9,
            capsize=2,
            **style,
        )
    if logarithmic:
        ax.set_yscale("log")
        ax.set_ylim(edge, max(known) * 1.4)
        narrow = max(known) < _DECADES * edge
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if narrow else (1,)))
        ax.yaxis.set_major_formatter(_PLAIN)
        ax.yaxis.set_minor_formatter(NullFormatter())
    if panel.floor is not None:
        mean, limit = panel.floor
        bottom, top = ax.get_ylim()
        ax.axhspan(
            *((limit, 2.0) if panel.likeness else (min(bottom, limit), limit)), color=GRID, alpha=0.6, linewidth=0
        )
        ax.axhline(mean, color=MUTED, linewidth=0.8, linestyle="--")
        ax.set_ylim(bottom, max(top, 1.02 * mean) if panel.likeness else top)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(_PLAIN)
    ax.xaxis.set_minor_formatter(NullFormatter())
