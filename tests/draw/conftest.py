"""What tests ask of pictures: where there is how much of a colour."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.colors import to_rgb


def pixels(picture):
    """The picture as an array (height, width, 3) of bytes."""
    return np.asarray(picture.image().convert("RGB"))


def coloured(picture, colour, tolerance=70):
    """Rows and columns of the pixels that are nearly of a colour, as shares of the height and the width."""
    wanted = np.round(255 * np.array(to_rgb(colour)))
    found = (np.abs(pixels(picture).astype(int) - wanted) <= tolerance).all(axis=-1)
    return tuple(at / size for at, size in zip(np.nonzero(found), found.shape, strict=True))


def ink(picture):
    """Whether each pixel is anything but paper, (height, width)."""
    return (pixels(picture) < 250).any(axis=-1)


@pytest.fixture
def look():
    return SimpleNamespace(pixels=pixels, coloured=coloured, ink=ink)
