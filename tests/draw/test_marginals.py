import math

import pytest
import torch

from fokker.draw import coordinate_marginals, plane_marginals
from fokker.draw.style import DENSITY, SERIES


def widening(n=9, d=1, count=2000):
    """States whose spread grows with the time from 0.1 to 1, from t = 0 on."""
    z = torch.randn(count, d, generator=torch.Generator().manual_seed(0))
    return [(k / (n - 1), (0.1 + 0.9 * k / (n - 1)) * z) for k in range(n)]


def height(look, picture, share):
    """How much of the height is shaded in a column of the picture."""
    pixels = look.pixels(picture)
    column = pixels[:, int(share * pixels.shape[1])]
    return int((column[:, 2].astype(int) - column[:, 0] > 20).sum())


def test_the_law_widens_with_time(look, tmp_path):
    picture = coordinate_marginals({"up": widening()}, tmp_path / "m.png", paths=0, width=500)
    assert (tmp_path / "m.png").read_bytes() == picture.png
    assert picture.size == (580, 340)
    assert height(look, picture, 0.25) < 0.5 * height(look, picture, 0.7)


def test_time_grows_to_the_right_whichever_way_the_states_go(look):
    up = widening()
    there, back = coordinate_marginals({"a": up}, width=400), coordinate_marginals({"a": up[::-1]}, width=400)
    assert abs(look.pixels(there).astype(int) - look.pixels(back)).mean() < 0.5


def test_states_at_one_time_are_counted_as_steps():
    z = torch.randn(500, 1, generator=torch.Generator().manual_seed(0))
    still = [(0.5, z), (0.5, 2 * z), (0.5, 3 * z)]
    moving = [(0.0, z), (1.0, 2 * z), (2.0, 3 * z)]
    assert coordinate_marginals({"a": still}, width=400) != coordinate_marginals({"a": moving}, width=400)
    assert coordinate_marginals({"a": still[:1]}, width=400).size == (480, 272)


def test_a_time_that_two_states_share_is_drawn_once():
    z = torch.randn(500, 1, generator=torch.Generator().manual_seed(0))
    down = [(1.0, 3 * z), (0.5, 2 * z), (0.0, z), (0.0, 0.9 * z)]
    assert coordinate_marginals({"a": down}, width=400) == coordinate_marginals({"a": down[:2] + down[3:]}, width=400)


def test_paths_go_through_the_values(look):
    flat = [(t, torch.cat([torch.full((1, 1), 0.9), x])) for t, x in widening()]
    bare, one = (coordinate_marginals({"a": flat}, paths=n, width=500) for n in (0, 1))
    assert not len(look.coloured(bare, SERIES[1], tolerance=50)[0])
    rows, columns = look.coloured(one, SERIES[1], tolerance=90)
    assert rows.max() - rows.min() < 0.03
    assert columns.max() - columns.min() > 0.6


def test_the_coordinate_is_chosen():
    wide = widening(d=3)
    only = [(t, x[:, 2:]) for t, x in wide]
    chosen = coordinate_marginals({"a": wide}, coordinate=2, width=400)
    assert chosen != coordinate_marginals({"a": wide}, coordinate=1, width=400)
    assert chosen != coordinate_marginals({"a": only}, coordinate=0, width=400)  # its name is another
    images = [(t, x.reshape(-1, 1, 1, 3)) for t, x in wide]
    assert coordinate_marginals({"a": images}, coordinate=2, width=400) == chosen


def test_points_are_drawn_from_the_least_time_on(look, tmp_path):
    up = widening(d=2)
    picture = plane_marginals({"up": up}, tmp_path / "m.png", n=3, width=200)
    assert (tmp_path / "m.png").read_bytes() == picture.png
    assert picture.size == (600, 216)
    assert plane_marginals({"up": up[::-1]}, n=3, width=200) == picture
    assert plane_marginals({"up": up, "down": up[::-1]}, n=3, width=200).size == (600, 432)


def test_the_times_of_two_rows_are_the_same_ones(look):
    up = widening(d=2, n=10)
    both = look.pixels(plane_marginals({"": up, " ": up[::-1]}, n=5, width=200)).astype(int)
    half = len(both) // 2
    assert abs(both[:half] - both[half : 2 * half]).mean() < 2


def test_a_row_shows_where_the_points_are(look):
    x = torch.randn(3000, 2, generator=torch.Generator().manual_seed(0)) * 0.05
    states = [(0.0, x + torch.tensor([-1.0, 0.0])), (1.0, x + torch.tensor([1.0, 0.0]))]
    picture = plane_marginals({"a": states, "b": states}, n=2, width=300)
    rows, columns = look.coloured(picture, DENSITY(0.7)[:3], tolerance=60)
    assert len(rows) > 50
    assert columns[columns < 0.5].mean() < 0.25
    assert columns[columns > 0.5].mean() > 0.75


@pytest.mark.parametrize("value", [0.0, math.nan, math.inf, 1e30])
def test_any_law_is_drawn(value):
    states = [(0.0, torch.zeros(5, 2)), (1.0, torch.full((5, 2), value))]
    assert coordinate_marginals({"a": states}, width=300).size == (380, 204)
    assert plane_marginals({"a": states}, n=2, width=300).size == (600, 324)
