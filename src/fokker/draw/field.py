"""The score of a model in the plane, as arrows over the data."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from fokker.draw.picture import Picture, from_figure, saved
from fokker.draw.points import MOST, Window, density, frame, shade, window
from fokker.draw.style import INK, axes, figure
from fokker.draw.values import on_host
from fokker.model import ScoreModel

__all__ = ["arrows_of", "score_field"]

_BINS = 64


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
    at, step = arrows_of(model, t, place, arrows, like=reference, cond=cond)
    fig = figure(width, width)
    ax = axes(fig.add_subplot(), title=f"score at t = {t:.4g}")
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
    return saved(from_figure(fig), path)


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
