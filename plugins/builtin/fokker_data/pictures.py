"""A picture, from a file of any kind to float32 numbers in [0, 1], (channels, height, width).

It is turned as its EXIF orientation says; of an animation the first frame is taken; 16-bit greys keep their bits.
"""

from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from fokker.errors import DataError

__all__ = ["MODES", "Mode", "Resize", "picture_size", "read_picture", "unreadable"]

MODES = {"grey": ("L", 1), "rgb": ("RGB", 3), "rgba": ("RGBA", 4)}
"""What a picture may be converted to: Pillow's mode and the number of channels."""

Resize = Literal["none", "crop", "stretch"]
Mode = Literal["grey", "rgb", "rgba"]


def read_picture(
    file: BinaryIO, name: str, mode: Mode = "rgb", size: tuple[int, int] | None = None, resize: Resize = "none"
) -> NDArray[np.float32]:
    """Decode a picture.

    Args:
        file: The opened file, or its bytes as one.
        name: What it is called in messages.
        mode: What it is converted to; `rgb` and `grey` drop an alpha channel.
        size: Height and width to bring it to.
        resize: How: `crop` scales it to cover the frame and cuts what stands over at the longer sides, `stretch`
            changes its proportions, `none` leaves it as it is.

    Returns:
        Values in [0, 1], (channels, height, width).

    Raises:
        DataError: If it cannot be decoded, or has values of no known range; `name` comes first.
    """
    try:
        with Image.open(file) as opened:
            picture = ImageOps.exif_transpose(opened) if _orientation(opened) != 1 else opened
            return _values(picture, mode, size, resize)
    except DataError as error:
        raise DataError(f"{name} {error}") from None
    except Exception as error:  # decoders raise anything on a damaged file, struct.error and SyntaxError too
        raise unreadable(name, error) from error


def picture_size(file: BinaryIO, name: str) -> tuple[int, int]:
    """Height and width of a picture as its EXIF orientation turns it, from its header alone.

    Raises:
        DataError: If it is none; `name` comes first.
    """
    try:
        with Image.open(file) as picture:
            width, height = picture.size
            turned = _orientation(picture) >= 5
    except Exception as error:  # as above
        raise unreadable(name, error) from error
    return (width, height) if turned else (height, width)


def unreadable(name: str, error: Exception) -> DataError:
    """What to say of a picture that cannot be read."""
    cause = "it is no picture of a known format" if isinstance(error, UnidentifiedImageError) else str(error)
    return DataError(f"{name} cannot be read as a picture ({cause or type(error).__name__}): replace or remove it.")


def _values(picture: Image.Image, mode: Mode, size: tuple[int, int] | None, resize: Resize) -> NDArray[np.float32]:
    converted, channels = MODES[mode]
    if picture.mode.startswith("I;16"):  # Pillow's own conversion to 8 bits does not scale
        full = Image.fromarray(np.asarray(picture, np.float32) / np.float32(65535))
        grey = np.asarray(_resized(full, size, resize)).clip(0, 1)
        return np.stack([grey] * min(channels, 3) + [np.ones_like(grey)] * (channels == 4))
    if picture.mode in ("I", "F"):
        raise DataError(f"has values of no known range (mode {picture.mode}): save it with 8 or 16 bits a channel.")
    x = np.asarray(_resized(picture.convert(converted), size, resize), np.float32) / np.float32(255)
    return x[None] if x.ndim == 2 else x.transpose(2, 0, 1)


def _resized(picture: Image.Image, size: tuple[int, int] | None, resize: Resize) -> Image.Image:
    if size is None or resize == "none":
        return picture
    height, width = size
    if resize == "crop":
        return ImageOps.fit(picture, (width, height), Image.Resampling.BICUBIC)
    return picture.resize((width, height), Image.Resampling.BICUBIC)


def _orientation(picture: Image.Image) -> int:
    """The EXIF orientation that is left to apply, 1 (upright) to 8; from 5 on, height and width change places."""
    if picture.format == "TIFF":
        return 1  # Pillow applies it by itself
    if picture.format == "PNG" and "exif" not in picture.info:
        return 1  # asking would decode the pixels, in search of a chunk behind them
    return int(picture.getexif().get(ExifTags.Base.Orientation, 1))
