import math

import pytest
import torch

from fokker_metrics import pairs
from fokker_metrics.energy_distance import EnergyDistance


def column(*values):
    return torch.tensor(values, dtype=torch.float64)[:, None]


def gaussian(n, mean=0.0):
    """The midpoints of n equally likely parts of N(mean, 1): a law known to O(1/n), without chance."""
    u = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return (mean + torch.special.ndtri(u))[:, None]


def test_point_masses_are_twice_their_distance_apart():
    x, y = torch.tensor([[1.0, 2.0]]).repeat(3, 1), torch.tensor([[4.0, 6.0]]).repeat(5, 1)
    assert EnergyDistance()(x, y) == pytest.approx(10.0, rel=1e-12)
    assert EnergyDistance(unbiased=True)(x, y) == pytest.approx(10.0, rel=1e-12)


def test_two_points_against_one_by_hand():
    # 2 (0 + 1)/2 less 2 (1)/4 = 1/2 with the pairs (i, i), less 1 without
    x, y = column(0.0, 1.0), column(0.0, 0.0)
    assert EnergyDistance()(x, y) == pytest.approx(0.5, rel=1e-12)
    assert EnergyDistance(unbiased=True)(x, y) == pytest.approx(0.0, abs=1e-12)


def test_on_the_line_it_is_twice_the_squared_difference_of_the_distribution_functions():
    x, y = torch.randn(31, 1, dtype=torch.float64), torch.randn(20, 1, dtype=torch.float64) * 2 + 0.3
    at = torch.cat([x, y])[:, 0].sort().values
    gap = ((x <= at).double().mean(0) - (y <= at).double().mean(0))[:-1]
    assert EnergyDistance()(x, y) == pytest.approx(float(2 * (gap.square() * at.diff()).sum()), rel=1e-12)


@pytest.mark.parametrize("shift", [0.5, 1.0, 2.0])
def test_shifted_gaussians_meet_the_closed_form(shift):
    # X - Y ~ N(shift, 2): E|X - Y| = 2/sqrt(pi) exp(-shift^2/4) + shift erf(shift/2)
    exact = 4 / math.sqrt(math.pi) * math.expm1(-(shift**2) / 4) + 2 * shift * math.erf(shift / 2)
    assert EnergyDistance()(gaussian(1500), gaussian(1500, shift)) == pytest.approx(exact, rel=2e-3)


def test_unbiased_estimate_is_zero_on_average_for_one_law():
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(400, 2, 10, 2, generator=generator, dtype=torch.float64)
    values = torch.tensor([EnergyDistance(unbiased=True)(x, y) for x, y in draws])
    assert values.min() < 0
    assert abs(float(values.mean())) < 4 * float(values.std()) / 20
    biased = torch.tensor([EnergyDistance()(x, y) for x, y in draws])
    # E|X - X'| = sqrt(pi) for two standard normal points of the plane
    assert float(biased.mean()) == pytest.approx(2 * math.sqrt(math.pi) / 10, rel=0.1)


def test_blocks_give_what_all_pairs_at_once_give(monkeypatch):
    x, y = torch.randn(40, 20, dtype=torch.float64), torch.randn(33, 20, dtype=torch.float64)
    whole = [EnergyDistance(unbiased=u)(x, y) for u in (False, True)]
    plain = 2 * torch.cdist(x, y).mean() - torch.cdist(x, x).mean() - torch.cdist(y, y).mean()
    assert whole[0] == pytest.approx(float(plain), rel=1e-7)
    monkeypatch.setattr(pairs, "_ROWS", 7)
    assert [EnergyDistance(unbiased=u)(x, y) for u in (False, True)] == pytest.approx(whole, rel=1e-7)


@pytest.mark.parametrize("shape", [(20_000, 2), (300, 100_000)])
def test_blocks_are_bounded(shape):
    seen = []

    def watched(x, y):
        seen.append(max(x.numel(), y.numel(), len(x) * len(y)))
        return torch.ones(()).expand(len(x), len(y))

    x = torch.zeros(()).expand(shape)
    assert pairs.between(watched, x, x) == pytest.approx(1.0)
    assert max(seen) <= 1 << 22


def test_distances_far_from_the_origin_keep_their_digits():
    x = torch.randn(50, 30, dtype=torch.float64)
    torch.testing.assert_close(pairs.distances(x + 1e6, x[:9] + 1e6), torch.cdist(x, x[:9]), rtol=1e-6, atol=1e-6)
