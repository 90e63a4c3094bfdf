"""Pictures from opened files: values, size, frames, and what is said of those that cannot be read.

What files in folders hold, and how they are turned, is test_images.py's.
"""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from fokker.errors import DataError
from fokker_data.pictures import picture_size, read_picture

VALUES = np.arange(3 * 5, dtype=np.uint8).reshape(3, 5) * 17


def written(picture, kind="PNG", **options):
    file = BytesIO()
    picture.save(file, kind, **options)
    return BytesIO(file.getvalue())


@pytest.mark.parametrize(("mode", "channels"), [("grey", 1), ("rgb", 3), ("rgba", 4)])
def test_values_of_an_opened_file(mode, channels):
    found = read_picture(written(Image.fromarray(VALUES)), "a", mode)
    assert found.shape == (channels, 3, 5) and found.dtype == np.float32
    np.testing.assert_array_equal(found[:3], np.broadcast_to(VALUES / np.float32(255), (min(channels, 3), 3, 5)))
    assert mode != "rgba" or (found[3] == 1).all()


def test_sixteen_bits_are_kept():
    deep = (VALUES.astype(np.uint16) << 8) + 3
    found = read_picture(written(Image.fromarray(deep)), "a", "grey")
    np.testing.assert_allclose(found[0] * 65535, deep, rtol=0, atol=0.01)


def test_the_size_is_that_of_what_is_read():
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    file = written(Image.fromarray(VALUES), "JPEG", exif=exif)
    assert picture_size(file, "a") == (5, 3) == read_picture(file, "a", "grey").shape[1:]


def test_both_ways_to_another_size():
    file = written(Image.fromarray(VALUES))
    for resize in ("crop", "stretch"):
        assert read_picture(file, "a", "grey", (2, 2), resize).shape == (1, 2, 2)
    # the middle of a wide picture against all of it
    crop, stretch = (read_picture(file, "a", "grey", (3, 3), resize) for resize in ("crop", "stretch"))
    assert float(np.ptp(crop[0, 1])) < float(np.ptp(stretch[0, 1]))


@pytest.mark.parametrize("reader", [read_picture, picture_size])
def test_what_is_no_picture_is_named(reader):
    with pytest.raises(DataError, match=r"^row 7 of x.parquet cannot be read as a picture \(it is no picture"):
        reader(BytesIO(b"nothing"), "row 7 of x.parquet")


def test_values_of_no_known_range_are_named():
    file = written(Image.fromarray(VALUES.astype(np.float32)), "TIFF")
    with pytest.raises(DataError, match=r"^a\.tif has values of no known range \(mode F\)"):
        read_picture(file, "a.tif")
