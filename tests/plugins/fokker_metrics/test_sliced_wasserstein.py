import math

import pytest
import torch
from scipy.stats import wasserstein_distance

import fokker_metrics.sliced_wasserstein as module
from fokker_metrics.sliced_wasserstein import SlicedWasserstein


def column(*values):
    return torch.tensor(values, dtype=torch.float64)[:, None]


@pytest.mark.parametrize("p", [1, 2])
def test_shift_on_the_line_is_its_length(p):
    x = torch.randn(50, 1, dtype=torch.float64)
    assert SlicedWasserstein(projections=3, p=p)(x + 0.7, x) == pytest.approx(0.7, rel=1e-12)


def test_shift_in_space_is_its_length_seen_from_a_random_direction():
    x = torch.randn(20, 3, 2, dtype=torch.float64)
    shift = torch.tensor([[1.0, -2.0], [2.0, 0.0], [3.0, 1.0]], dtype=torch.float64)
    seen = SlicedWasserstein(projections=5_000)(x + shift, x)
    # <theta, d>^2 has mean |d|^2/n and, for n = 6, a relative standard deviation of sqrt(2 (n - 1)/(n + 2)) = 1.12
    assert seen**2 == pytest.approx(float(shift.square().sum()) / 6, rel=5 * 1.12 / math.sqrt(5_000))
    plane = SlicedWasserstein(projections=5_000, p=1)(x[:, 0] + shift[1], x[:, 0])
    assert plane == pytest.approx(2 * 2 / math.pi, rel=5 * 0.49 / math.sqrt(5_000))


def test_sets_of_different_sizes_by_hand():
    # the quantile functions of {0, 1} and {0, 1/2, 1} differ by 1/2 on [1/3, 2/3]
    x, y = column(1.0, 0.0), column(0.5, 0.0, 1.0)
    assert SlicedWasserstein(projections=1, p=1)(x, y) == pytest.approx(1 / 6, rel=1e-12)
    assert SlicedWasserstein(projections=1, p=2)(x, y) == pytest.approx(math.sqrt(1 / 12), rel=1e-12)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 9), (6, 9), (30, 41), (40, 40)])
def test_on_the_line_it_is_the_wasserstein_distance(n, m):
    x, y = torch.randn(n, 1, dtype=torch.float64), torch.randn(m, 1, dtype=torch.float64) + 0.5
    expected = wasserstein_distance(x[:, 0].numpy(), y[:, 0].numpy())
    assert SlicedWasserstein(projections=2, p=1)(x, y) == pytest.approx(expected, rel=1e-10)


def test_repeating_a_set_changes_nothing():
    x, y = torch.randn(10, 2, dtype=torch.float64), torch.randn(14, 2, dtype=torch.float64)
    assert SlicedWasserstein()(x.repeat(3, 1), y) == pytest.approx(SlicedWasserstein()(x, y), rel=1e-12)


def test_directions_do_not_depend_on_how_much_is_held_at_a_time(monkeypatch):
    x, y = torch.randn(40, 5, dtype=torch.float64), torch.randn(33, 5, dtype=torch.float64)
    whole = SlicedWasserstein(projections=23)(x, y)
    monkeypatch.setattr(module, "_NUMEL", 300)
    assert SlicedWasserstein(projections=23)(x, y) == pytest.approx(whole, rel=1e-12)


def test_directions_are_unit_vectors_drawn_evenly():
    theta = torch.cat(list(SlicedWasserstein(projections=4000)._directions(3, at_once=100)))
    assert theta.shape == (4000, 3)
    torch.testing.assert_close(theta.norm(dim=1), torch.ones(4000, dtype=torch.float64))
    torch.testing.assert_close(
        theta.T @ theta / 4000, torch.eye(3).double() / 3, rtol=0, atol=5 * 0.3 / math.sqrt(4000)
    )
