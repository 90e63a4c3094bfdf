"""The picture that suits samples of a shape."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from fokker.draw import images, points, signals, vectors
from fokker.draw.picture import Picture, row, saved
from fokker.draw.values import value_range

if TYPE_CHECKING:
    from fokker.data import DataSource

__all__ = ["samples", "shown"]

_PAIRED = 8


def shown(event_shape: Sequence[int]) -> int:
    """How many samples of a shape `samples` draws, at most."""
    match tuple(event_shape):
        case () | (1,):
            return vectors.MOST_NUMBERS
        case (2,):
            return points.MOST
        case (d,) if d <= _PAIRED:
            return vectors.MOST_PAIRS
        case (_, _):
            return signals.MOST
        case (_, _, _):
            return images.MOST
        case (_, _, _, _):
            return images.MOST // 4
        case _:
            return vectors.MOST_ROWS


def samples(
    x: Tensor,
    path: Path | None = None,
    *,
    reference: Tensor | None = None,
    like: Tensor | None = None,
    width: int = 720,
    source: "DataSource | None" = None,
) -> Picture:
    """Draw samples as what their shape says they are, as many as `shown` says, or as their source draws them.

    | shape | is drawn as |
    | --- | --- |
    | (1,) | a histogram |
    | (2,) | points of the plane: dots, or a density where they are many |
    | (3,) to (8,) | clouds of all pairs of coordinates |
    | (C, L) | curves |
    | (C, H, W) | images |
    | (C, D, H, W) | the middle slices of volumes |
    | any other | rows of colour |

    Args:
        x: Samples, (N, *D), N at least 1.
        path: Where to save the picture too.
        reference: Examples of the data to compare with, (M, *D), drawn beside the samples (over them in a histogram).
        like: Examples whose range of values is drawn; the reference, or else the samples, unless given. Pictures that
            are looked at one after another are comparable with the same `like`.
        width: Of one panel, about, in pixels.
        source: Where such data comes from; its own picture is taken if it has one (`DataSource.picture`).

    Returns:
        The picture.
    """
    own = None if source is None else source.picture(x, reference=reference, like=like, width=width)
    if own is not None:
        return saved(own, path)
    return saved(_drawn(x, reference, like if like is not None else reference, width), path)


def _drawn(x: Tensor, reference: Tensor | None, like: Tensor | None, width: int) -> Picture:
    around = x if like is None else like
    draw: Callable[[Tensor], Picture]
    match x.shape[1:]:
        case () | (1,):
            return vectors.histogram(x, reference=reference, like=like, width=width)
        case (2,):
            return points.scatter(x, reference=reference, like=like, width=width)
        case (d,) if d <= _PAIRED:
            draw = partial(vectors.pair_plot, like=around, width=width)
        case (_, _):
            draw = partial(signals.signal_plot, like=around, width=width)
        case (_, _, _):
            draw = partial(images.image_grid, limits=value_range(around), width=width)
        case (_, _, _, _):
            draw = partial(images.volume_grid, limits=value_range(around), width=width)
        case _:
            draw = partial(vectors.heat_rows, like=around, width=width)
    if reference is None:
        return draw(x)
    return row([("samples", draw(x)), ("data", draw(reference[: len(x)]))])
