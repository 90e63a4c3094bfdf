import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from fokker.draw.picture import Picture, from_figure, from_image, row
from fokker.draw.style import figure
from fokker.errors import RunError


def plain(colour, size=(30, 20)):
    return from_image(Image.new("RGB", size, colour))


def test_picture_is_its_png_file(tmp_path):
    picture = plain("#102030")
    picture.save(tmp_path / "deep" / "picture.png")
    assert (tmp_path / "deep" / "picture.png").read_bytes() == picture.png == picture._repr_png_()
    assert picture.png.startswith(b"\x89PNG")
    assert picture.size == (30, 20)
    assert picture.image().getpixel((3, 4)) == (0x10, 0x20, 0x30)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["picture.png"]


def test_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"picture\.png cannot be written: "):
        plain("red").save(tmp_path / "file" / "picture.png")


def test_figure_has_the_size_that_was_asked_for(look):
    picture = from_figure(figure(333, 222))
    assert picture.size == (333, 222)
    assert not look.ink(picture).any()


def test_row_sets_pictures_beside_each_other_below_their_captions(look):
    whole = look.pixels(row([("", plain("red")), ("", plain("blue", (50, 40)))]))
    height, width = whole.shape[:2]
    assert width == 30 + 12 + 50
    head = height - 40
    assert (whole[:head] == 255).all()
    assert (whole[head : head + 20, :30] == (255, 0, 0)).all()
    assert (whole[head + 20 :, :30] == 255).all()
    assert (whole[head:, 42:] == (0, 0, 255)).all()


def test_row_makes_room_for_long_captions(look):
    whole = row([("a caption that is long", plain("red")), ("b", plain("blue"))])
    assert whole.size[0] > 60 + 12
    middle = whole.size[1] // 4
    words = np.nonzero(look.ink(whole)[: 2 * middle].any(axis=0))[0]
    assert words.min() > 0 and words.max() < whole.size[0] - 1
    reds = look.coloured(whole, "red")[1]
    assert reds.mean() == pytest.approx(
        np.nonzero(look.ink(whole)[: 2 * middle].any(axis=0))[0][:-1].mean() / whole.size[0], abs=0.15
    )


def test_pictures_are_equal_byte_for_byte():
    def draw():
        fig = figure(200, 100)
        fig.add_subplot().plot([0, 1], [1, 0])
        return from_figure(fig)

    assert draw() == draw()
    assert isinstance(draw(), Picture)


def test_drawing_leaves_matplotlib_as_it_was():
    script = """
import sys
import torch, fokker.sink
assert "matplotlib" not in sys.modules  # it takes half a second, and those who write numbers do not need it
import matplotlib
from fokker import draw
names = [name for name in matplotlib.rcParams if name != "backend"]  # to ask for the backend is to choose one
before = {name: matplotlib.rcParams[name] for name in names}
draw.scatter(torch.randn(10, 2))
draw.loss_curve([{"step": 1, "loss": 1.0}])
assert before == {name: matplotlib.rcParams[name] for name in names}
assert "matplotlib.pyplot" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
