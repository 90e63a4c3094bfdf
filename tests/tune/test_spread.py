"""Spread of data: against brute force, in small memory, whatever the scale and the order."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from fokker.data import Chain
from fokker.errors import DataError
from fokker.tune import spread as module
from fokker.tune.spread import largest_distance, read, spread
from fokker_data.stored import StoredExamples
from fokker_data.transforms import Standardise


def points(n, dim, seed=0, offset=0.0):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed)) + offset


@pytest.mark.parametrize(
    "n, dim, offset", [(2, 1, 0.0), (3, 2, 5.0), (700, 2, 0.0), (5000, 3, 1000.0), (900, 64, 10.0)]
)
def test_all_pairs_are_compared(n, dim, offset):
    x = points(n, dim, offset=offset)
    found = largest_distance(x)
    assert found.exact and found.error == 0 and found.pairs == n * (n - 1) // 2
    assert found.distance == pytest.approx(float(torch.pdist(x.double()).max()), rel=1e-5 if offset else 1e-6)


def test_a_cloud_that_hides_its_diameter():
    """The furthest from the furthest is not the furthest pair: three corners of a triangle, the centre inside."""
    corners = torch.tensor([[0.0, 1.0], [-0.9, -0.5], [0.9, -0.5], [0.0, -0.9]])
    x = torch.cat([0.01 * points(3000, 2), corners, 0.2 * points(3000, 2, seed=1).clamp(-2, 2)])
    assert largest_distance(x).distance == pytest.approx(float(torch.cdist(corners, corners).max()), rel=1e-6)


def test_many_points_of_the_plane_are_compared_in_little_time():
    x = points(1_000_000, 2)
    found = largest_distance(x)
    assert found.exact and found.pairs > 4e11
    radius = x.norm(dim=1)
    outer = x[radius > found.distance - radius.max() - 1e-3].double()  # no pair of others can be as far apart
    assert 2 < len(outer) < 20_000
    assert found.distance == pytest.approx(float(torch.pdist(outer).max()), rel=1e-6)


def test_draws_where_pairs_are_too_many():
    x = points(4000, 32)
    exact = float(torch.pdist(x.double()).max())
    found = largest_distance(x, budget=1e7)
    assert not found.exact and found.pairs < 4000 * 3999 // 2 / 5
    assert 0 < found.error < 0.2 * exact
    assert exact - 4 * found.error <= found.distance <= exact * (1 + 1e-6)
    assert found == largest_distance(x, budget=1e7)


class Largest(TorchDispatchMode):
    """Notes how many values the largest tensor has that is made."""

    values = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for each in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(each, torch.Tensor):
                self.values = max(self.values, each.numel())
        return out


def test_memory_does_not_grow_with_the_square():
    x = points(10_000, 64)
    with Largest() as made:
        found = largest_distance(x, budget=1e10)
    assert found.exact
    assert made.values == module._BLOCK**2  # 4 million, of 100 million pairs


def test_sigma_data_and_its_error():
    x = 3 * points(4000, 5) + 0.5
    found = spread(x, 4000)
    assert found.sigma_data == pytest.approx(float(x.double().std(correction=0)), rel=1e-6)
    assert found.mean == pytest.approx(float(x.double().mean()), rel=1e-6)
    again = torch.tensor([spread(3 * points(4000, 5, seed=s) + 0.5, 4000).sigma_data for s in range(30)])
    assert found.sigma_data_error == pytest.approx(float(again.std()), rel=0.4)
    assert float((again - 3).abs().max()) < 4 * found.sigma_data_error


def test_scale_changes_units_alone():
    x = points(3000, 2)
    one, other = spread(x, 3000), spread(30 * x, 3000)
    assert other.sigma_data == pytest.approx(30 * one.sigma_data, rel=1e-6)
    assert other.largest.distance == pytest.approx(30 * one.largest.distance, rel=1e-6)


def test_data_is_read_as_the_model_sees_it(monkeypatch):
    array = np.random.default_rng(0).normal(7, 3, (9000, 2, 3)).astype(np.float32)
    chain = Chain((Standardise(mean=(7.0, 7.0), std=(3.0, 3.0)),))
    told = []
    x = read(StoredExamples(array), chain, lambda done, total, words: told.append((done, total)))
    torch.testing.assert_close(x, torch.from_numpy((array.reshape(9000, 6) - 7) / 3), rtol=1e-5, atol=1e-6)
    assert told[-1] == (9000, 9000) and len(told) == 3
    monkeypatch.setattr(module, "MAX_VALUES", 6 * 1000)
    part = read(StoredExamples(array), chain)
    torch.testing.assert_close(part, x[::9])
    found = spread(part, 9000)
    assert (found.read, found.examples, found.largest.exact) == (1000, 9000, False)
    assert found.largest.error > 0


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(DataError, match="this data has 1, and two are the fewest"):
        read(StoredExamples(np.zeros((1, 2))), Chain())
    with pytest.raises(DataError, match="All values of this data are the same"):
        spread(torch.full((5, 2), 3.0), 5)
