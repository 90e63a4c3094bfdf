import numpy as np
import pytest
import torch

from fokker.draw.style import DATA
from fokker.draw.vectors import heat_rows, histogram, pair_plot

BARS = "#4095c5"  # the colour of samples, three quarters of it, on paper


def test_histogram_is_high_where_there_are_many(look):
    x = torch.cat([torch.linspace(0, 0.2, 900), torch.linspace(0.8, 1, 300)])[:, None]
    rows, columns = look.coloured(histogram(x), BARS)
    left, middle, right = (
        rows[columns < 0.3],
        rows[(columns > 0.45) & (columns < 0.7) & (rows < 0.9)],
        rows[columns > 0.72],
    )
    assert len(middle) == 0
    assert 2 * len(right) < len(left) < 4 * len(right)
    assert left.min() < right.min()


def test_histogram_shows_the_reference_over_the_samples(look):
    x = torch.linspace(0, 1, 500)
    alone, compared = histogram(x), histogram(x, reference=torch.linspace(0, 2, 500))
    assert len(look.coloured(compared, DATA, tolerance=20)[0]) > len(look.coloured(alone, DATA, tolerance=20)[0]) + 500
    _, columns = look.coloured(compared, BARS)
    assert np.quantile(columns, 0.9) < 0.65  # the samples fill half of the reference's range


def test_pairs_stand_below_the_diagonal(look):
    x = torch.rand(1000, 3)
    marked = look.ink(pair_plot(x))
    assert marked[:230, 260:].sum() == 0
    below, border = marked[460:630, 20:230], marked[460:630, 0:20]
    assert below.sum() > 1000 and 0 < border.sum() < 1000


def test_pairs_show_how_two_coordinates_go_together(look):
    x = torch.rand(1000, 1)
    rows, columns = np.nonzero(look.ink(pair_plot(torch.cat([x, -x], dim=1)))[370:600, 20:350])
    assert len(rows) > 500
    assert np.corrcoef(rows, columns)[0, 1] > 0.9  # falling: rows count downwards


def test_coordinates_outside_the_likeness_are_left_out(look):
    like = torch.rand(500, 3)
    x = torch.cat([like[:10], like[:490] + 10])
    cloud = (slice(460, 630), slice(20, 230))
    assert look.ink(pair_plot(x, like=like))[cloud].sum() < 0.1 * look.ink(pair_plot(like))[cloud].sum()
    pair_plot(torch.full((5, 3), 2.0))


def test_rows_of_both_signs_are_white_at_zero(look):
    x = torch.zeros(4, 20)
    x[0], x[3] = 1.0, -1.0
    body = look.pixels(heat_rows(x))[:, 150:550]
    top, middle, bottom = body[30].mean(axis=0), body[len(body) // 2 - 25].mean(axis=0), body[-100].mean(axis=0)
    assert top[0] > top[2] + 50  # orange
    assert middle.min() > 235
    assert bottom[2] > bottom[1] + 40  # violet


def test_rows_of_one_sign_go_from_dark_to_light(look):
    x = torch.arange(20.0).repeat(4, 1)
    line = look.pixels(heat_rows(x))[100, 80:640].astype(int).sum(axis=-1)
    assert line[-1] > line[0] + 200
    assert (np.diff(line) >= -3).mean() > 0.99


def test_arrays_of_any_shape_become_rows():
    x = torch.rand(5, 2, 3, 4, 5, 6)
    assert heat_rows(x) == heat_rows(x.reshape(5, -1))


@pytest.mark.parametrize(("draw", "shape"), [(histogram, (9, 1)), (pair_plot, (9, 3)), (heat_rows, (9, 12))])
def test_picture_is_saved_where_it_is_asked_for(draw, shape, tmp_path):
    x = torch.rand(shape)
    assert draw(x, tmp_path / "a.png").png == (tmp_path / "a.png").read_bytes()
