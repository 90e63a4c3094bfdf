"""Animations: GIF files in memory, of the states of a trajectory one after another."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from pathlib import Path

from PIL import Image
from torch import Tensor

from fokker.draw.paths import trajectory_frames
from fokker.draw.picture import Picture, row
from fokker.draw.style import PAPER
from fokker.partial import Partial

__all__ = ["Animation", "animation", "film"]

_COLOURS = 64
_HOLD = 1200  # milliseconds for which the last frame stays


@dataclass(frozen=True)
class Animation:
    """An animation, as the bytes of its GIF file; notebooks show it.

    Args:
        gif: The file.
    """

    gif: bytes

    def save(self, path: Path | str) -> None:
        """Write the file, whole or not at all.

        Raises:
            RunError: If it cannot be written.
        """
        with Partial(Path(path)) as file:
            file.write(self.gif)

    def image(self) -> Image.Image:
        """The animation for pillow; `seek` goes from frame to frame."""
        return Image.open(io.BytesIO(self.gif))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.image().size

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, bytes]:
        return {"image/gif": self.gif}


def animation(
    states: Sequence[tuple[float, Tensor]],
    path: Path | None = None,
    *,
    n: int = 40,
    seconds: float = 4.0,
    width: int = 360,
) -> Animation:
    """The states of a trajectory one after another, each under its time, drawn as their shape says; over and over.

    Args:
        states: Times and states (B, *D), one at least: a sampler's, or those of data that is noised.
        path: Where to save it too.
        n: Frames, spread evenly over the states, the first and the last among them.
        seconds: Until the last frame, which stays for 1.2 seconds more.
        width: About, in pixels.

    Returns:
        The animation.
    """
    frames = [row([frame]) for frame in trajectory_frames(states, n=n, width=width)]
    return film(frames, path, seconds=seconds)


def film(frames: Sequence[Picture], path: Path | None = None, *, seconds: float = 4.0) -> Animation:
    """Pictures one after another, over and over.

    All frames have the same 64 colours, chosen from all of them, so that nothing flickers and the file stays small.

    Args:
        frames: One at least; smaller ones are set in the middle of the largest.
        path: Where to save it too.
        seconds: Until the last frame, which stays for 1.2 seconds more.

    Returns:
        The animation.
    """
    images = [frame.image().convert("RGB") for frame in frames]
    width, height = max(i.width for i in images), max(i.height for i in images)
    placed = [_centred(image, width, height) for image in images]
    palette = _sheet(placed).quantize(_COLOURS, method=Image.Quantize.MEDIANCUT)
    drawn = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in placed]
    each = max(20, round(1000 * seconds / max(len(drawn) - 1, 1) / 10) * 10)  # the format counts hundredths
    buffer = io.BytesIO()
    drawn[0].save(
        buffer,
        format="gif",
        save_all=True,
        append_images=drawn[1:],
        duration=[*[each] * (len(drawn) - 1), _HOLD],
        loop=0,
        optimize=True,
    )
    made = Animation(buffer.getvalue())
    if path is not None:
        made.save(path)
    return made


def _centred(image: Image.Image, width: int, height: int) -> Image.Image:
    """An image in the middle of a sheet of paper."""
    if image.size == (width, height):
        return image
    whole = Image.new("RGB", (width, height), PAPER)
    whole.paste(image, ((width - image.width) // 2, (height - image.height) // 2))
    return whole


def _sheet(images: Sequence[Image.Image]) -> Image.Image:
    """Some of the images, the first and the last among them, side by side: what their colours are chosen from."""
    last = len(images) - 1
    some = [images[k] for k in sorted({round(i * last / 8) for i in range(9)})]
    columns = ceil(sqrt(len(some)))
    w, h = some[0].size
    whole = Image.new("RGB", (w * columns, h * ceil(len(some) / columns)), PAPER)
    for k, image in enumerate(some):
        whole.paste(image, (k % columns * w, k // columns * h))
    return whole
