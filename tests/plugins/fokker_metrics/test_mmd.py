import math

import pytest
import torch

from fokker.errors import ConfigError, DataError
from fokker_metrics.mmd import MMD


def gaussian(n, mean=0.0, std=1.0):
    """The midpoints of n equally likely parts of N(mean, std^2): a law known to O(1/n), without chance."""
    u = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return (mean + std * torch.special.ndtri(u))[:, None]


def expected_kernel(h, mean, variance):
    """E exp(-D^2/(2 h^2)) for D ~ N(mean, variance)."""
    return h / math.sqrt(h**2 + variance) * math.exp(-(mean**2) / (2 * (h**2 + variance)))


def test_point_masses_meet_the_closed_form():
    x, y = torch.zeros(3, 2, dtype=torch.float64), torch.tensor([[3.0, 4.0]], dtype=torch.float64).repeat(5, 1)
    exact = 2 - 2 * math.exp(-25 / (2 * 4**2))
    assert MMD(bandwidth=4.0)(x, y) == pytest.approx(exact, rel=1e-12)
    assert MMD(bandwidth=4.0, unbiased=True)(x, y) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("h", [0.5, 1.0, 3.0])
@pytest.mark.parametrize(("mean", "std"), [(1.0, 1.0), (0.0, 2.0), (2.0, 0.5)])
def test_gaussians_meet_the_closed_form(h, mean, std):
    exact = expected_kernel(h, 0, 2) + expected_kernel(h, 0, 2 * std**2) - 2 * expected_kernel(h, mean, 1 + std**2)
    assert MMD(bandwidth=h)(gaussian(1500), gaussian(1500, mean, std)) == pytest.approx(exact, rel=2e-3)


def test_both_estimates_by_hand():
    x, y = torch.tensor([[0.0], [1.0]]).double(), torch.tensor([[0.0], [2.0], [5.0]]).double()

    def k(d):
        return math.exp(-(d**2) / 2)

    cross = (k(0) + k(2) + k(5) + k(1) + k(1) + k(4)) / 6
    biased = (2 + 2 * k(1)) / 4 + (3 + 2 * (k(2) + k(5) + k(3))) / 9 - 2 * cross
    unbiased = k(1) + (k(2) + k(5) + k(3)) / 3 - 2 * cross
    assert MMD(bandwidth=1.0)(x, y) == pytest.approx(biased, rel=1e-12)
    assert MMD(bandwidth=1.0, unbiased=True)(x, y) == pytest.approx(unbiased, rel=1e-12)


def test_bandwidth_is_the_median_distance_of_the_reference():
    reference = torch.tensor([[0.0], [1.0], [3.0]]).double()  # distances 1, 2, 3
    for samples in (torch.zeros(2, 1).double(), torch.full((4, 1), 9.0).double()):
        assert MMD()(samples, reference) == MMD(bandwidth=2.0)(samples, reference)


def test_bandwidth_of_many_examples_is_that_of_some_spread_evenly():
    reference = torch.linspace(0, 1, 2500, dtype=torch.float64)[:, None]
    median = 1 - math.sqrt(0.5)  # of |u - v| for independent u and v, uniform on [0, 1]
    value = MMD()(reference[:50], reference)
    assert value == pytest.approx(MMD(bandwidth=median)(reference[:50], reference), rel=1e-2)


def test_reference_of_coinciding_examples_asks_for_a_bandwidth():
    reference = torch.tensor([[1.0], [1.0], [1.0], [2.0]])
    with pytest.raises(DataError, match="give mmd one"):
        MMD()(torch.zeros(3, 1), reference)
    with pytest.raises(DataError, match="give mmd one"):
        MMD()(torch.zeros(3, 1), torch.zeros(1, 1))
    assert MMD(bandwidth=1.0)(torch.zeros(3, 1), reference) > 0


def test_polynomial_kernel_by_hand():
    x, y = torch.tensor([[1.0, 2.0], [0.0, -1.0]]).double(), torch.tensor([[3.0, 0.0], [1.0, 1.0]]).double()

    def k(u, v):
        return float(u @ v / 2 + 1) ** 3

    cross = sum(k(u, v) for u in x for v in y) / 4
    unbiased = k(x[0], x[1]) + k(y[0], y[1]) - 2 * cross
    biased = sum(k(u, v) for s in (x, y) for u in s for v in s) / 4 - 2 * cross
    assert MMD(kernel="polynomial", unbiased=True)(x, y) == pytest.approx(unbiased, rel=1e-12)
    assert MMD(kernel="polynomial")(x, y) == pytest.approx(biased, rel=1e-12)


def test_polynomial_kernel_is_zero_on_average_for_one_law():
    draws = torch.randn(400, 2, 20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values = torch.tensor([MMD(kernel="polynomial", unbiased=True)(x, y) for x, y in draws])
    assert abs(float(values.mean())) < 4 * float(values.std()) / 20
    assert values.min() < 0


def test_polynomial_kernel_sees_three_moments_and_no_more():
    """Equal means, variances and skewness, another kurtosis: +-1 with probability 1/2, and a three-point law."""
    x = torch.tensor([[-1.0], [1.0]] * 4).double()
    y = torch.tensor([[-2.0], *[[0.0]] * 6, [2.0]]).double()
    assert MMD(kernel="polynomial")(x, y) == pytest.approx(0.0, abs=1e-12)
    assert MMD(bandwidth=1.0)(x, y) > 0.1


def test_polynomial_kernel_takes_no_bandwidth():
    with pytest.raises(ConfigError, match="leave it out"):
        MMD(kernel="polynomial", bandwidth=1.0)
