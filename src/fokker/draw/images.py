"""Grids of images, and of slices through volumes. Pixels are pixels: magnified by whole numbers, never smoothed."""

from collections.abc import Sequence
from math import ceil, sqrt
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from fokker.draw.picture import Picture, from_image, saved
from fokker.draw.values import on_host, value_range

__all__ = ["MOST", "image_grid", "to_bytes", "volume_grid"]

MOST = 256
"""Examples in one grid, at most."""

_GAP = 2
_BETWEEN = 217  # a grey that parts dark from dark and white from white
_CHANNELS = 16

Pixels = NDArray[np.uint8]


def image_grid(
    x: Tensor,
    path: Path | None = None,
    *,
    limits: tuple[float, float] | None = None,
    columns: int | None = None,
    width: int = 720,
) -> Picture:
    """Images in rows and columns, the first 256 of them.

    One channel is grey, three are red, green and blue; any other number is drawn as so many grey images side by side,
    16 at most.

    Args:
        x: Images, (B, C, H, W) or (B, H, W), B at least 1.
        path: Where to save the picture too.
        limits: Values drawn as black and as white, those beyond them likewise; see `value_range` unless given.
        columns: Images in a row; about as many as rows unless given.
        width: Small images are magnified towards this number of pixels for a row.

    Returns:
        The picture.
    """
    x = on_host(x, MOST)
    if x.ndim == 3:
        x = x[:, None]
    pixels = to_bytes(x, limits or value_range(x))
    return saved(_grid([_planes(image) for image in pixels], columns, width), path)


def volume_grid(
    x: Tensor,
    path: Path | None = None,
    *,
    limits: tuple[float, float] | None = None,
    columns: int | None = None,
    width: int = 720,
) -> Picture:
    """Volumes by their middle slices, across the first, the second and the third axis, side by side.

    Args:
        x: Volumes, (B, C, D, H, W), B at least 1; the first 64 are drawn.
        path: Where to save the picture too.
        limits: As for `image_grid`.
        columns: Volumes in a row; as many as make the picture about square unless given.
        width: As for `image_grid`.

    Returns:
        The picture.
    """
    x = on_host(x, MOST // 4)
    pixels = to_bytes(x, limits or value_range(x))
    d, h, w = pixels.shape[2:]
    cells = [[*_planes(v[:, d // 2]), *_planes(v[:, :, h // 2]), *_planes(v[:, :, :, w // 2])] for v in pixels]
    return saved(_grid(cells, columns, width), path)


def to_bytes(x: Tensor, limits: tuple[float, float]) -> Pixels:
    """Values as bytes: `limits` become 0 and 255, rounded, clamped; what is not a number is 0.

    Args:
        x: Values on the host, of any shape.
        limits: The values of black and of white.
    """
    low, high = limits
    scaled = (x.double() - low) * (255 / (high - low))
    pixels: Pixels = scaled.nan_to_num(nan=0.0).clamp(0, 255).round().to(torch.uint8).numpy()
    return pixels


def _planes(image: Pixels) -> list[Pixels]:
    """An image (C, H, W) as pictures (H, W, 3): one of colours, or one for each channel."""
    if len(image) == 3:
        return [np.moveaxis(image, 0, -1)]
    return [np.repeat(channel[..., None], 3, axis=-1) for channel in image[:_CHANNELS]]


def _strip(planes: Sequence[Pixels], zoom: int) -> Pixels:
    """Pictures side by side, as one, magnified; lower ones are set in the middle."""
    planes = [plane.repeat(zoom, axis=0).repeat(zoom, axis=1) for plane in planes]
    height, width = max(len(p) for p in planes), sum(p.shape[1] + _GAP for p in planes) - _GAP
    cell = np.full((height, width, 3), _BETWEEN, np.uint8)
    left = 0
    for plane in planes:
        top = (height - len(plane)) // 2
        cell[top : top + len(plane), left : left + plane.shape[1]] = plane
        left += plane.shape[1] + _GAP
    return cell


def _grid(cells: Sequence[Sequence[Pixels]], columns: int | None, width: int) -> Picture:
    """Cells in rows; a cell is one picture, or several side by side."""
    h, w = max(len(p) for p in cells[0]), sum(p.shape[1] for p in cells[0])
    columns = columns or _columns(len(cells), h, w)
    rows = ceil(len(cells) / columns)
    zoom = max(1, round(width / (columns * w)))
    strips = [_strip(planes, zoom) for planes in cells]
    h, w, _ = strips[0].shape
    # what belongs together stands closer, and so do the parts of one small, magnified image
    gap = max(_GAP, zoom) if len(cells[0]) == 1 else max(4 * _GAP, zoom)
    canvas = np.full((rows * (h + gap) - gap, columns * (w + gap) - gap, 3), _BETWEEN, np.uint8)
    for k, strip in enumerate(strips):
        top, left = k // columns * (h + gap), k % columns * (w + gap)
        canvas[top : top + h, left : left + w] = strip
    return from_image(Image.fromarray(canvas))


def _columns(n: int, height: int, width: int) -> int:
    """Columns for a picture that is about square, a little wider where that leaves fewer places empty."""
    square = min(n, max(1, ceil(sqrt(n * height / width))))
    return min(range(square, min(n, 2 * square - 1) + 1), key=lambda c: (-n % c, c))
