"""Pictures: PNG files in memory."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from fokker.draw.style import DPI, INK, PAPER
from fokker.partial import Partial

__all__ = ["Picture", "from_figure", "from_image", "row", "saved"]

_GAP = 12
_CAPTION = 15


@dataclass(frozen=True)
class Picture:
    """A picture, as the bytes of its PNG file; notebooks show it.

    Args:
        png: The file.
    """

    png: bytes

    def save(self, path: Path | str) -> None:
        """Write the file, whole or not at all.

        Raises:
            RunError: If it cannot be written.
        """
        with Partial(Path(path)) as file:
            file.write(self.png)

    def image(self) -> Image.Image:
        """The picture for pillow."""
        return Image.open(io.BytesIO(self.png))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.image().size

    def _repr_png_(self) -> bytes:
        return self.png


def from_image(image: Image.Image) -> Picture:
    """The picture of a pillow image."""
    buffer = io.BytesIO()
    image.save(buffer, format="png")
    return Picture(buffer.getvalue())


def from_figure(figure: Figure) -> Picture:
    """The picture of a matplotlib figure that was made without pyplot."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())
    return from_image(Image.fromarray(pixels).convert("RGB"))


def saved(picture: Picture, path: Path | None) -> Picture:
    """The same picture, saved if there is a path."""
    if path is not None:
        picture.save(path)
    return picture


def row(pictures: Sequence[tuple[str, Picture]]) -> Picture:
    """Pictures side by side, each under its caption.

    Args:
        pictures: Caption and picture, from left to right.
    """
    images = [picture.image() for _, picture in pictures]
    font = _font(round(_CAPTION * DPI / 100))
    head = round(1.6 * _CAPTION * DPI / 100)
    widths = [
        max(image.width, round(font.getlength(caption))) for (caption, _), image in zip(pictures, images, strict=True)
    ]
    whole = Image.new("RGB", (sum(widths) + _GAP * (len(images) - 1), head + max(i.height for i in images)), PAPER)
    pen = ImageDraw.Draw(whole)
    left = 0
    for (caption, _), image, width in zip(pictures, images, widths, strict=True):
        pen.text((left + width / 2, head / 2), caption, fill=INK, font=font, anchor="mm")
        whole.paste(image.convert("RGB"), (left + (width - image.width) // 2, head))
        left += width + _GAP
    return from_image(whole)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """The font that matplotlib brings along, so that all pictures are lettered alike."""
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)
