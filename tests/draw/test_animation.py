import math

import numpy as np
import pytest
import torch

from fokker import draw
from fokker.draw.animation import _HOLD

SHAPES = [(1,), (2,), (5,), (16,), (2, 30), (1, 8, 8), (3, 5, 7), (1, 3, 4, 5)]


def way(shape, n=6, count=9):
    x = torch.randn(count, *shape, generator=torch.Generator().manual_seed(0))
    return [(1 - k / (n - 1), (1 + k) * x) for k in range(n)]


def frames(animation):
    image = animation.image()
    for k in range(image.n_frames):
        image.seek(k)
        yield np.asarray(image.convert("RGB")).astype(int), image.info


@pytest.mark.parametrize("shape", SHAPES, ids=repr)
def test_any_shape_is_animated(shape, tmp_path):
    made = draw.animation(way(shape), tmp_path / "a.gif", n=4, width=120)
    assert (tmp_path / "a.gif").read_bytes() == made.gif
    assert made.gif.startswith(b"GIF89a")
    assert made.image().n_frames == 4
    assert len(made.gif) < 200_000
    assert made._repr_mimebundle_()["image/gif"] == made.gif


def test_it_goes_on_for_ever_and_rests_at_the_end():
    made = draw.animation(way((2,)), n=5, seconds=2.0, width=120)
    durations = [info["duration"] for _, info in frames(made)]
    assert durations == [500, 500, 500, 500, _HOLD]
    assert made.image().info["loop"] == 0


def test_frames_are_the_states_in_their_order():
    states = way((1, 6, 6), n=3)
    shown = [pixels for pixels, _ in frames(draw.animation(states, n=3, width=60))]
    drawn = [
        np.asarray(draw.row([f]).image().convert("RGB")).astype(int) for f in draw.trajectory_frames(states, width=60)
    ]
    for a, b in zip(shown, drawn, strict=True):
        assert a.shape == b.shape
        assert abs(a - b).mean() < 8  # 64 colours
    assert abs(shown[0] - shown[-1]).mean() > 8


def test_a_film_keeps_every_picture_whole():
    black, white = torch.zeros(1, 1, 8, 8), torch.ones(1, 1, 8, 8)
    small, large = (draw.image_grid(x, limits=(0, 1), width=w) for x, w in ((black, 40), (white, 80)))
    made = draw.film([small, large])
    assert made.size == large.size
    first, last = (pixels for pixels, _ in frames(made))
    assert (first[0] == 255).all()
    assert first[40, 40].max() < 20
    assert last.min() > 235


def test_equal_states_make_equal_files():
    assert draw.animation(way((2,)), n=3, width=120) == draw.animation(way((2,)), n=3, width=120)


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0, 1e30])
def test_any_value_is_animated(value):
    states = [(1.0, torch.zeros(4, 2)), (0.0, torch.full((4, 2), value))]
    assert draw.animation(states, width=120).image().n_frames == 2
    assert draw.animation(states[:1], width=120).image().size[0] > 0
