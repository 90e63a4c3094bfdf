import pytest
import torch

from fokker import draw

SHAPES = {
    (): draw.histogram,
    (1,): draw.histogram,
    (2,): draw.scatter,
    (3,): draw.pair_plot,
    (8,): draw.pair_plot,
    (9,): draw.heat_rows,
    (16,): draw.heat_rows,
    (1, 128): draw.signal_plot,
    (1, 8, 8): draw.image_grid,
    (3, 17, 23): draw.image_grid,
    (1, 8, 9, 10): draw.volume_grid,
    (1, 2, 3, 4, 5): draw.heat_rows,
}


@pytest.mark.parametrize("shape", SHAPES, ids=repr)
def test_shape_decides_what_is_drawn(shape, tmp_path):
    x = torch.rand(6, *shape)
    picture = draw.samples(x, tmp_path / "samples.png")
    assert picture == SHAPES[shape](x)
    assert (tmp_path / "samples.png").read_bytes() == picture.png


@pytest.mark.parametrize("shape", SHAPES, ids=repr)
def test_no_more_is_drawn_than_is_said(shape):
    n = draw.shown(shape)
    x = torch.rand(n + n // 2, *shape)
    x[n:] += 9
    assert draw.samples(x, like=x, width=200) == draw.samples(x[:n], like=x, width=200)
    assert draw.samples(x.flip(0), like=x, width=200) != draw.samples(x[:n], like=x, width=200)


@pytest.mark.parametrize("shape", [s for s in SHAPES if len(s) and s != (1,)], ids=repr)
def test_reference_is_drawn_beside_the_samples(shape):
    x, y = torch.rand(6, *shape), torch.rand(9, *shape)
    alone, both = draw.samples(x, like=y), draw.samples(x, reference=y)
    assert both.size[0] >= 2 * alone.size[0]
    assert both != draw.samples(x, reference=y + torch.rand_like(y))


@pytest.mark.parametrize("shape", SHAPES, ids=repr)
def test_range_is_that_of_the_likeness(shape):
    x = torch.randn(6, *shape)
    assert draw.samples(x, like=10 * x) != draw.samples(x)


def test_small_pictures_can_be_had():
    for shape in SHAPES:
        assert draw.samples(torch.rand(4, *shape), width=200).size[0] < 320
