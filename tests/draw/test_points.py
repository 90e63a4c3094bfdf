import numpy as np
import pytest
import torch

from fokker.draw.points import MOST, Window, density, scatter, window
from fokker.draw.style import DATA, SAMPLES

CORNERS = torch.tensor([[-1.0, -1.0], [1.0, 1.0]])


def cluster(x, y, n=200, std=0.02):
    generator = torch.Generator().manual_seed(0)
    return torch.tensor([x, y]) + std * torch.randn(n, 2, generator=generator)


def test_dots_are_where_the_points_are(look):
    rows, columns = look.coloured(scatter(cluster(0.8, -0.6), like=CORNERS), SAMPLES)
    assert len(rows) > 100
    # the window is [-1.12, 1.12] and fills the picture but for the room of the numbers below and at the left
    assert np.abs(columns - (0.8 + 1.12) / 2.24).max() < 0.12
    assert np.abs(rows - (0.6 + 1.12) / 2.24).max() < 0.12


def test_many_points_are_a_density(look):
    points = torch.cat([cluster(0.5, 0.5, 9000, 0.2), cluster(-0.5, -0.5, 1000, 0.2)])
    shades = 255 - look.pixels(scatter(points, like=CORNERS))[..., 0].astype(int)
    half = len(shades) // 2
    assert shades[:half, half:].sum() > 3 * shades[half:, :half].sum() > 0


def test_density_counts_shares():
    points = torch.tensor([[0.1, 0.1], [0.1, 0.2], [0.9, 0.6], [5.0, 5.0]])
    shares = density(points, Window((0, 1), (0, 1)), 2)
    assert shares.tolist() == [[0.5, 0.0], [0.0, 0.25]]


def test_reference_stands_beside_in_the_same_window(look):
    picture = scatter(cluster(0.5, 0.5), reference=cluster(-0.5, 0.5), like=CORNERS)
    assert picture.size == (1440, 720)
    _, columns = look.coloured(picture, SAMPLES)
    assert (columns < 0.5).mean() > 0.95 and columns.mean() > 0.3
    rows, columns = look.coloured(picture, DATA, tolerance=30)
    dots = columns[(rows < 0.5) & (rows > 0.1) & (columns > 0.55)]
    assert dots.min() > 0.6 and dots.max() < 0.72


def test_window_is_that_of_the_reference(look):
    spread, inner = 2 * torch.rand(500, 2) - 1, cluster(0.9, 0.9)
    rows, columns = look.coloured(scatter(inner, reference=spread), SAMPLES)
    assert columns.min() > 0.4 and rows.max() < 0.2


def test_points_outside_are_counted(look):
    inside = cluster(0.0, 0.0)
    quiet = scatter(inside, like=CORNERS)
    loud = scatter(torch.cat([inside, torch.full((7, 2), 50.0)]), like=CORNERS)
    assert quiet.size == loud.size
    corner = (slice(600, 690), slice(500, 720))  # where the count is written
    assert look.ink(loud)[corner].sum() > look.ink(quiet)[corner].sum() + 100


def test_points_that_are_not_finite_are_outside(look):
    points = torch.cat([cluster(0.5, 0.5), torch.full((3, 2), float("nan"))])
    rows, columns = look.coloured(scatter(points, like=CORNERS), SAMPLES)
    assert columns.min() > 0.6 and rows.max() < 0.4
    many = torch.cat([cluster(0.5, 0.5, 6000), torch.full((3, 2), float("nan"))])
    assert look.ink(scatter(many, like=CORNERS)).any()


def test_window_is_square_unless_the_axes_differ_much():
    points = torch.rand(1000, 2) * torch.tensor([2.0, 1.0])
    place = window(points)
    assert place.equal
    assert place.x[1] - place.x[0] == pytest.approx(place.y[1] - place.y[0])
    assert place.x[0] <= points[:, 0].min() and place.x[1] >= points[:, 0].max()
    stretched = window(points * torch.tensor([100.0, 1.0]))
    assert not stretched.equal
    assert stretched.y[1] - stretched.y[0] < 1.2


def test_window_leaves_outliers_out():
    points = torch.cat([torch.rand(2000, 2), torch.tensor([[1e6, 0.5]])])
    assert window(points).x[1] < 2


def test_single_point_has_a_window():
    place = window(torch.tensor([[3.0, 4.0]]))
    assert place == Window((2.5, 3.5), (3.5, 4.5))
    scatter(torch.tensor([[3.0, 4.0]]))


def test_no_more_points_are_drawn_than_one_picture_shows():
    points = torch.randn(MOST + 1000, 2)
    assert scatter(points) == scatter(points[:MOST])


def test_picture_is_saved_where_it_is_asked_for(tmp_path):
    assert scatter(CORNERS, tmp_path / "a.png").png == (tmp_path / "a.png").read_bytes()
