import dataclasses
import math

import numpy as np
import pytest
import torch
from sklearn.datasets import make_moons, make_swiss_roll
from torch.testing import assert_close

from fokker.errors import ConfigError
from fokker_data.toy import Checkerboard, Moons, Ring, SwissRoll, TwoGaussians

TOYS = [SwissRoll, TwoGaussians, Ring, Moons, Checkerboard]


def everything(examples):
    return examples.fetch(range(len(examples)))


@pytest.mark.parametrize("toy", TOYS)
def test_toys_are_points_in_the_plane(toy):
    for split in ("train", "test"):
        examples = toy(n=37).open(split)
        batch = everything(examples)
        assert len(examples) == 37
        assert examples.event_shape == (2,)
        assert batch.x.shape == (37, 2) and batch.x.dtype == torch.float32
        if examples.classes is None:
            assert batch.cond == {}
        else:
            assert 0 <= batch.cond["label"].min() and batch.cond["label"].max() < examples.classes


@pytest.mark.parametrize("toy", TOYS)
def test_points_are_a_function_of_seed_and_split(toy):
    first = everything(toy(n=50, seed=3).open()).x
    assert torch.equal(first, everything(toy(n=50, seed=3).open()).x)
    for other in (toy(n=50, seed=4).open("train"), toy(n=50, seed=3).open("test"), toy(n=50, seed=4).open("test")):
        assert not torch.isclose(first, everything(other).x).all(1).any()


@pytest.mark.parametrize("toy", TOYS)
def test_points_stay_the_same_on_every_day(toy):
    expected = {
        SwissRoll: [-0.464767, -0.948894],
        TwoGaussians: [2.120173, 1.965345],
        Ring: [-1.879827, -0.034655],
        Moons: [0.946334, 0.034041],
        Checkerboard: [0.897004, -1.107705],
    }[toy]
    assert_close(everything(toy(n=3).open("test")).x[1], torch.tensor(expected), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("source", "changes"),
    [
        (SwissRoll(n=20), {"n": 21, "noise": 0.5, "seed": 1}),
        (TwoGaussians(n=20), {"n": 21, "centre": 1.0, "variance": 0.5, "weights": (0.1, 0.9), "seed": 1}),
        (Ring(n=20), {"n": 21, "modes": 3, "radius": 1.0, "std": 0.2, "seed": 1}),
        (Moons(n=20), {"n": 21, "noise": 0.2, "seed": 1}),
        (Checkerboard(n=20), {"n": 21, "cells": 3, "seed": 1}),
    ],
    ids=lambda v: type(v).__name__,
)
def test_every_field_changes_the_points(source, changes):
    names = {f.name for f in dataclasses.fields(source)} - {"transforms"}
    assert names == set(changes)
    points = everything(source.open()).x
    for name, value in changes.items():
        other = everything(dataclasses.replace(source, **{name: value}).open()).x
        assert points.shape != other.shape or not torch.equal(points, other), name


def test_swiss_roll_is_that_of_scikit_learn_divided_by_10():
    points, _ = make_swiss_roll(10_000, noise=1.0, random_state=0)
    assert_close(everything(SwissRoll().open()).x.numpy(), (points[:, [0, 2]] / 10).astype(np.float32))


def test_moons_are_those_of_scikit_learn():
    points, moon = make_moons(100, noise=0.05, random_state=7)
    batch = everything(Moons(n=100, seed=7).open())
    assert_close(batch.x.numpy(), points.astype(np.float32))
    assert batch.cond["label"].tolist() == moon.tolist()


def test_two_gaussians_have_their_moments():
    n = 20_000
    batch = everything(TwoGaussians(n=n, weights=(1.0, 3.0)).open())
    second = batch.cond["label"] == 1
    assert second.float().mean().item() == pytest.approx(0.75, abs=5 * math.sqrt(0.75 * 0.25 / n))
    for mode, centre in ((~second, -2.0), (second, 2.0)):
        points = batch.x[mode].double()
        assert_close(points.mean(0), torch.full((2,), centre).double(), rtol=0, atol=5 * 0.1 / math.sqrt(len(points)))
        covariance = torch.cov(points.T)
        assert_close(covariance, 0.01 * torch.eye(2).double(), rtol=0, atol=5 * 0.01 * math.sqrt(2 / len(points)))


def test_ring_has_its_modes():
    batch = everything(Ring(n=8000, modes=5, radius=3.0, std=0.2).open())
    for k in range(5):
        points = batch.x[batch.cond["label"] == k].double()
        angle = 2 * math.pi * k / 5
        centre = torch.tensor([3 * math.cos(angle), 3 * math.sin(angle)]).double()
        assert abs(len(points) - 1600) < 5 * math.sqrt(1280)
        assert_close(points.mean(0), centre, rtol=0, atol=5 * 0.2 / math.sqrt(len(points)))
        assert points.std(0).tolist() == pytest.approx([0.2, 0.2], rel=5 / math.sqrt(2 * len(points)))


def test_ring_without_noise_is_on_the_circle():
    x = everything(Ring(n=100, std=0.0).open()).x
    assert_close(x.norm(dim=1), torch.full((100,), 2.0))


@pytest.mark.parametrize("cells", [2, 3, 4])
def test_checkerboard_fills_its_squares_evenly_and_no_other(cells):
    n = 9000
    x = everything(Checkerboard(n=n, cells=cells).open()).x.double()
    assert x.abs().max() <= 2
    cell = ((x + 2) / 4 * cells).clamp(max=cells - 1e-6)
    column, row = cell.floor().long().unbind(1)
    assert ((column + row) % 2 == 0).all()
    filled = (cells * cells + 1) // 2
    counts = torch.bincount(column * cells + row)
    counts = counts[counts > 0]
    assert len(counts) == filled
    assert (counts - n / filled).abs().max() < 5 * math.sqrt(n / filled)
    within = (cell % 1).mean(0)
    assert within.tolist() == pytest.approx([0.5, 0.5], abs=5 / math.sqrt(12 * n))


def test_impossible_values_are_refused():
    with pytest.raises(ConfigError, match=r"SwissRoll\.n must be greater than 0"):
        SwissRoll(n=0)
    with pytest.raises(ConfigError, match="noise must be at least 0"):
        Moons(noise=-1.0)
    with pytest.raises(ConfigError, match="weights takes 2 values"):
        TwoGaussians(weights=(1.0, 1.0, 1.0))
    with pytest.raises(ConfigError, match="seed"):
        Ring(seed=-1)
