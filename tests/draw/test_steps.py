import pytest
import torch

from fokker.draw import step_arrows
from fokker.draw.style import SERIES


def straight(n=5, samples=2):
    """States on the way from the left to the right, one sample below the other."""
    return [
        (1 - k / (n - 1), torch.tensor([[-1 + 2 * k / (n - 1), -1 + 2.0 * i] for i in range(samples)]))
        for k in range(n)
    ]


def test_each_sample_has_its_colour_and_its_place(look, tmp_path):
    picture = step_arrows(straight(), tmp_path / "steps.png", width=500)
    assert (tmp_path / "steps.png").read_bytes() == picture.png
    assert picture.size == (500, 500)
    for colour, lower in ((SERIES[0], True), (SERIES[1], False)):
        rows, columns = look.coloured(picture, colour, tolerance=40)
        assert len(rows) > 100
        assert bool((rows > 0.5).all()) == lower
        assert columns.max() - columns.min() > 0.6


def test_the_start_is_open_and_the_end_is_full(look):
    picture = step_arrows(straight(samples=1), width=500)
    rows, columns = look.coloured(picture, SERIES[0], tolerance=40)
    row = round(500 * float(rows[columns > columns.max() - 0.02].mean()))
    start, end = (round(500 * float(at)) for at in (columns.min() + 0.012, columns.max() - 0.012))
    pixels = look.pixels(picture)
    assert pixels[row, start].min() > 200
    assert pixels[row, end].min() < 50


def test_data_is_shaded_below(look):
    data = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0)) * 0.1 + 3
    bare, over = step_arrows(straight()), step_arrows(straight(), reference=data)
    assert over != bare
    pixels = look.pixels(over).astype(int)
    upper_right = pixels[: len(pixels) // 3, 2 * len(pixels) // 3 :]
    assert (upper_right[..., 2] - upper_right[..., 0] > 30).sum() > 50


def test_only_the_first_samples_are_drawn():
    way = straight(samples=4)
    assert step_arrows(way, n=2, width=300) == step_arrows([(t, x[:2]) for t, x in way], n=9, width=300)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0, 1e30])
def test_any_path_is_drawn(value):
    way = [(1.0, torch.zeros(2, 2)), (0.5, torch.full((2, 2), value)), (0.0, torch.ones(2, 2))]
    assert step_arrows(way, width=300).size == (300, 300)
    assert step_arrows([(0.0, torch.full((1, 2), value))], width=300).size == (300, 300)
