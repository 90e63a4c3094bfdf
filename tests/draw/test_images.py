import numpy as np
import pytest
import torch

from fokker.draw.images import image_grid, to_bytes, volume_grid

BETWEEN = (217, 217, 217)


def test_values_are_rounded_and_clamped():
    x = torch.tensor(
        [-1.0, 0.0, 0.4 / 255, 0.6 / 255, 127.4 / 255, 1.0, 7.0, float("nan"), float("inf"), -float("inf")]
    )
    assert to_bytes(x, (0.0, 1.0)).tolist() == [0, 0, 0, 1, 127, 255, 255, 0, 255, 0]
    assert to_bytes(torch.tensor([-2.0, 0.0, 2.0]), (-2.0, 2.0)).tolist() == [0, 128, 255]


def test_grey_images_stand_in_rows(look):
    x = torch.arange(6.0)[:, None, None, None].expand(6, 1, 4, 5) / 5
    whole = look.pixels(image_grid(x, columns=3, width=15))
    assert whole.shape == (2 * 4 + 2, 3 * 5 + 2 * 2, 3)
    for k in range(6):
        top, left = k // 3 * (4 + 2), k % 3 * (5 + 2)
        assert (whole[top : top + 4, left : left + 5] == round(255 * k / 5)).all()
    assert (whole[4:6] == BETWEEN).all() and (whole[:, 5:7] == BETWEEN).all()


def test_pixels_are_magnified_by_a_whole_number(look):
    x = torch.tensor([[[0.0, 1.0, 0.5], [1.0, 0.0, 0.0]]])  # channels may be left out
    whole = look.pixels(image_grid(x, width=31))
    assert whole.shape == (20, 30, 3)
    expected = np.array([[0, 255, 128], [255, 0, 0]], np.uint8).repeat(10, 0).repeat(10, 1)
    assert (whole == expected[..., None]).all()


def test_three_channels_are_colours(look):
    x = torch.zeros(1, 3, 2, 4)
    x[0, 0, 0], x[0, 1, 1], x[0, 2, :, 3] = 1.0, 1.0, 1.0
    whole = look.pixels(image_grid(x, limits=(0, 1), width=4))
    assert whole[0].tolist() == [[255, 0, 0]] * 3 + [[255, 0, 255]]
    assert whole[1].tolist() == [[0, 255, 0]] * 3 + [[0, 255, 255]]


@pytest.mark.parametrize("channels", [2, 4, 20])
def test_other_channels_stand_side_by_side(look, channels):
    x = torch.arange(float(channels))[None, :, None, None].expand(1, channels, 2, 3) / 255
    whole = look.pixels(image_grid(x, limits=(0, 1), width=1))
    drawn = min(channels, 16)
    assert whole.shape == (2, 5 * drawn - 2, 3)
    for c in range(drawn):
        assert (whole[:, 5 * c : 5 * c + 3] == c).all()


def test_no_more_than_256_images_are_drawn(look):
    x = torch.zeros(300, 1, 2, 2)
    x[256:] = 1
    whole = look.pixels(image_grid(x, limits=(0, 1), width=1))
    assert whole.shape == (16 * 4 - 2, 16 * 4 - 2, 3)
    assert whole.max() == 217


@pytest.mark.parametrize(
    ("n", "shape", "columns"),
    [
        (1, (8, 8), 1),
        (8, (8, 8), 4),
        (10, (8, 8), 5),
        (16, (8, 8), 4),
        (64, (28, 28), 8),
        (50, (8, 8), 10),
        (4, (8, 32), 1),
    ],
)
def test_grid_is_about_square_with_few_empty_places(n, shape, columns):
    width, _ = image_grid(torch.rand(n, 1, *shape), width=1).size
    assert width == columns * (shape[1] + 2) - 2


def test_limits_are_black_and_white(look):
    x = torch.tensor([[[[-3.0, 5.0, 1.0]]]])
    assert look.pixels(image_grid(x, limits=(-3, 5), width=3))[0, :, 0].tolist() == [0, 255, 128]


def test_volumes_show_their_middle_slices(look):
    v = torch.zeros(1, 1, 4, 5, 6)
    v[0, 0, 2] += 50  # the slice across the first axis
    v[0, 0, :, 2] += 75
    v[0, 0, :, :, 3] += 100
    whole = look.pixels(volume_grid(v, limits=(0, 255), width=20))
    assert whole.shape == (5, 6 + 2 + 6 + 2 + 5, 3)
    grey = v[0, 0].numpy()
    assert (whole[:, :6, 0] == grey[2]).all()
    assert (whole[:4, 8:14, 0] == grey[:, 2]).all()
    assert (whole[:4, 16:, 0] == grey[:, :, 3]).all()
    assert (whole[4, 8:] == BETWEEN).all()  # the lower slices leave room


def test_picture_is_saved_where_it_is_asked_for(tmp_path):
    x = torch.rand(4, 1, 8, 8)
    assert image_grid(x, tmp_path / "a.png").png == (tmp_path / "a.png").read_bytes()
    v = torch.rand(4, 1, 3, 4, 5)
    assert volume_grid(v, tmp_path / "b.png").png == (tmp_path / "b.png").read_bytes()
