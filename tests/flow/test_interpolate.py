"""The way between two latents."""

import math
from itertools import pairwise

import pytest
import torch

from fokker.flow import spherical
from fokker.flow.interpolate import angle
from fokker.testing.worlds import normal

D = torch.float64


def test_a_quarter_of_a_circle():
    way = spherical(torch.tensor([1.0, 0.0], dtype=D), torch.tensor([0.0, 1.0], dtype=D), 4)
    turns = torch.arange(4, dtype=D) * math.pi / 6
    torch.testing.assert_close(way, torch.stack([turns.cos(), turns.sin()], 1))


@pytest.mark.parametrize("shape", [(16,), (1, 128), (3, 17, 23), (1, 8, 9, 10)])
def test_the_ends_are_the_latents_and_the_norm_is_kept(shape):
    a, b = normal(*shape, seed=1), normal(*shape, seed=2)
    way = spherical(a, b, 5)
    torch.testing.assert_close(way[0], a)
    torch.testing.assert_close(way[-1], b)
    torch.testing.assert_close(spherical(b, a, 5), way.flip(0))
    lengths = way.flatten(1).norm(dim=1)
    low, high = sorted((float(a.norm()), float(b.norm())))
    assert ((lengths > 0.95 * low) & (lengths < 1.05 * high)).all()


def test_steps_turn_by_equal_angles():
    a = normal(10, seed=1)
    b = normal(10, seed=2)
    b = b * a.norm() / b.norm()
    way = spherical(a, b, 6)
    turns = [angle(x, y) for x, y in pairwise(way)]
    assert turns == pytest.approx([angle(a, b) / 5] * 5)
    torch.testing.assert_close(way.norm(dim=1), a.norm().expand(6))


@pytest.mark.parametrize("turn", [1e-9, 1e-3, 1.0, math.pi - 1e-3, math.pi - 1e-9])
def test_angles_keep_their_digits(turn):
    b = torch.tensor([math.cos(turn), math.sin(turn)], dtype=D)
    assert angle(torch.tensor([2.0, 0.0], dtype=D), 7 * b) == pytest.approx(turn, rel=1e-6)


@pytest.mark.parametrize(("a", "b"), [(1.5, 3.0), (1.0, -2.0), (0.0, 2.0), (1.0, 1.0)])
def test_where_no_circle_is_singled_out_the_way_is_straight(a, b):
    way = spherical(torch.tensor([a]), torch.tensor([b]), 5)
    torch.testing.assert_close(way[:, 0], torch.linspace(a, b, 5))
