"""The score of a model in the plane, as arrows over the data."""

from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path

import torch
from matplotlib.axes import Axes
from torch import Tensor

from fokker.draw.picture import Picture, from_figure, saved
from fokker.draw.points import MOST, Window, density, frame, shade, window
from fokker.draw.style import INK, axes, figure
from fokker.draw.values import on_host
from fokker.model import ScoreModel
from fokker.noise import Noise, Zero
from fokker.perturbation import Perturbation

__all__ = ["arrows_of", "level_name", "score_field", "score_fields"]

_BINS = 64
_SAME_WINDOW = 2.0  # up to this ratio of sizes, all panels show the same part of the plane


def score_field(
    model: ScoreModel,
    t: float,
    path: Path | None = None,
    *,
    reference: Tensor,
    cond: Mapping[str, Tensor] | None = None,
    arrows: int = 50,
    width: int = 900,
) -> Picture:
    """Where the score of a model of points points: arrows of length log(1 + |score|) over the density of the data.

    The longest arrow is as long as the arrows are apart. Everything is in the model's units.

    Args:
        model: A model of points of the plane.
        t: Time in [0, 1].
        path: Where to save the picture too.
        reference: Points that are drawn below and give the picture its window, (N, 2), where the model is; the first
            100,000 are used.
        cond: Conditions of one example, passed to the model for every arrow; batch first, (1, ...).
        arrows: Arrows in a row and in a column.
        width: Of the picture in pixels.

    Returns:
        The picture.
    """
    points = on_host(reference, MOST)
    place = window(points)
    fig = figure(width, width)
    ax = axes(fig.add_subplot(), title=f"score at t = {t:.4g}")
    _panel(ax, model, t, points, place, arrows, like=reference, cond=cond)
    return saved(from_figure(fig), path)


def score_fields(
    model: ScoreModel,
    times: Sequence[float],
    path: Path | None = None,
    *,
    reference: Tensor,
    noise: Noise | None = None,
    cond: Mapping[str, Tensor] | None = None,
    arrows: int = 50,
    columns: int | None = None,
    width: int = 640,
) -> Picture:
    """The score at several noise levels, a panel for each: see `score_field`.

    Under the arrows of a level lies the density of the data at that level, alpha x0 + sigma z. All panels show the same
    part of the plane where one suits them all; else each shows where its own data is.

    Args:
        model: A model of points of the plane.
        times: Times in [0, 1], a panel for each, in this order; one at least.
        path: Where to save the picture too.
        reference: Clean points in the model's units, (N, 2), where the model is; the first 100,000 are used.
        noise: Source of z; the data is drawn without noise, alpha x0, unless given.
        cond: Conditions of one example, passed to the model for every arrow; batch first, (1, ...).
        arrows: Arrows in a row and in a column of a panel.
        columns: Panels in a row; up to three, or about as many as rows, unless given.
        width: Of a panel in pixels.

    Returns:
        The picture.
    """
    p, source = model.perturbation, noise or Zero()
    clean = reference[:MOST]
    clouds = [on_host(p.perturb(clean, torch.tensor(t, dtype=torch.float64), source(clean))) for t in times]
    places = [window(cloud) for cloud in clouds]
    sizes = [place.x[1] - place.x[0] for place in places]
    if max(sizes) <= _SAME_WINDOW * min(sizes):
        places = [window(torch.cat(clouds))] * len(times)
    columns = columns or (len(times) if len(times) <= 3 else ceil(len(times) ** 0.5))
    rows = ceil(len(times) / columns)
    fig = figure(width * columns, (width + 24) * rows)  # room for titles
    for k, (t, cloud, place) in enumerate(zip(times, clouds, places, strict=True)):
        ax = axes(fig.add_subplot(rows, columns, k + 1), title=level_name(p, t))
        _panel(ax, model, t, cloud, place, arrows, like=reference, cond=cond)
    return saved(from_figure(fig), path)


def level_name(p: Perturbation, t: float) -> str:
    """What a noise level is called in titles: sigma, alpha where it is not 1, and the time."""
    at = torch.tensor(t, dtype=torch.float64)
    alpha, sigma = float(p.alpha(at)), float(p.sigma(at))
    faded = "" if alpha == 1 else rf", $\alpha$ = {alpha:.3g}"
    return rf"$\sigma$ = {sigma:.3g}{faded}  (t = {t:.3g})"


def _panel(
    ax: Axes,
    model: ScoreModel,
    t: float,
    points: Tensor,
    place: Window,
    arrows: int,
    *,
    like: Tensor,
    cond: Mapping[str, Tensor] | None,
) -> None:
    """Draw arrows over a density into axes."""
    at, step = arrows_of(model, t, place, arrows, like=like, cond=cond)
    shares = density(points, place, _BINS)
    shade(ax, shares, place, 2.5 * float(shares.max()))  # lighter than the arrows
    ax.quiver(
        *at.T.numpy(),
        *step.T.numpy(),
        angles="xy",
        scale_units="xy",
        scale=1.0,
        pivot="mid",
        color=INK,
        width=0.0015,
        headwidth=4.5,
        headlength=5,
        headaxislength=4.5,
    )
    frame(ax, place)


def arrows_of(
    model: ScoreModel, t: float, place: Window, n: int, *, like: Tensor, cond: Mapping[str, Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """The middles of n by n arrows over a window, and the arrows, both float64, (n^2, 2).

    Args:
        model: A model of points of the plane.
        t: Time in [0, 1].
        place: The window.
        n: Arrows in a row and in a column.
        like: A tensor of the dtype and on the device of the model.
        cond: Conditions of one example.
    """
    gap = torch.tensor([place.x[1] - place.x[0], place.y[1] - place.y[0]], dtype=torch.float64) / n
    corner = torch.tensor([place.x[0], place.y[0]], dtype=torch.float64)
    at = corner + gap * (torch.cartesian_prod(torch.arange(n), torch.arange(n)) + 0.5)
    x = at.to(like.device, like.dtype)
    each = None if cond is None else {name: value.expand(len(x), *value.shape[1:]) for name, value in cond.items()}
    with torch.no_grad():
        score = model(x, t, each).score.cpu().double()
    length = score.norm(dim=1, keepdim=True).log1p()
    inner = score / gap  # in units of the gaps, of which the longest arrow fills one
    unit = inner / inner.norm(dim=1, keepdim=True).clamp(min=1e-300)
    return at, unit * gap * length / length.max().clamp(min=1e-300)
