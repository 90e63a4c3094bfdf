"""The techniques of NCSNv2 against its published settings and against simulations of what they are about."""

import math

import pytest
import torch

from fokker.tune.techniques import coverage, gamma_for, gamma_of, levels_for, step_for, variance_ratio

PUBLISHED = [
    # sigma_max, levels, updates, dimensions, gamma, C, V, eps as published; Song & Ermon (2020), appendix B.1
    (50, 232, 5, 3072, 1.03755913, 0.566966, 1.055475, 6.2e-6),
    (90, 500, 5, 12288, 1.01841394, 0.566920, 1.031354, 3.3e-6),
    (190, 1086, 3, 49152, 1.00912171, 0.566469, 1.017372, 1.8e-6),
    (348, 2311, 3, 196608, 1.00453726, 0.566879, 1.008854, 9e-7),
]


@pytest.mark.parametrize("largest, levels, updates, dim, gamma, c, v, eps", PUBLISHED)
def test_published_settings(largest, levels, updates, dim, gamma, c, v, eps):
    found = gamma_of(largest, 0.01, levels)
    step = step_for(found, updates)
    assert round(found, 8) == gamma
    assert round(coverage(found, dim), 6) == c
    assert round(variance_ratio(step, found, updates), 6) == v
    assert step * 0.01**2 == pytest.approx(eps, rel=0.02)  # two digits are published


def test_the_step_to_its_digits():
    """In fifty digits the minimum of V is at these; D2's own, of a grid, lie within 0.05 %."""
    exact = (6.184024702e-6, 3.336981398e-6, 1.767504245e-6, 8.932156513e-7)
    for (largest, levels, updates, *_), eps in zip(PUBLISHED, exact, strict=True):
        assert step_for(gamma_of(largest, 0.01, levels), updates) * 1e-4 == pytest.approx(eps, rel=1e-6)


@pytest.mark.parametrize("updates, step, ratio", [(3, 0.451, 1.365), (5, 0.335, 1.249), (20, 0.1277, 1.081)])
def test_the_step_at_a_ratio_of_two(updates, step, ratio):
    found = step_for(2.0, updates)
    assert found == pytest.approx(step, rel=2e-3)
    assert variance_ratio(found, 2.0, updates) == pytest.approx(ratio, abs=6e-4)
    assert variance_ratio(found, 2.0, updates) <= min(variance_ratio(found * f, 2.0, updates) for f in (0.99, 1.01))


def test_the_ratio_of_ncsn():
    assert gamma_of(1.0, 0.01, 10) == pytest.approx(1.66810054, rel=1e-8)


@pytest.mark.parametrize("dim, gamma", [(5, 19.49), (8, 4.000), (16, 2.130), (64, 1.361), (784, 1.0826), (3072, None)])
def test_the_ratio_of_technique_2(dim, gamma):
    found = gamma_for(dim)
    assert coverage(found, dim) == pytest.approx(0.5, abs=1e-12)
    if dim == 3072:
        assert 1 + math.log(50 / 0.01) / math.log(found) == pytest.approx(219.25, abs=0.01)
    else:
        assert found == pytest.approx(gamma, rel=1e-3)


@pytest.mark.parametrize("dim", [1, 2, 3, 4])
def test_below_five_dimensions_technique_2_has_no_solution(dim):
    assert gamma_for(dim) is None
    assert min(coverage(1 + 0.01 * k, dim) for k in range(1, 5000)) > 0.99


def test_coverage_is_a_share_of_norms():
    """Norms of the smaller level within three standard deviations of the larger one's."""
    dim, gamma = 400, 1.08
    norms = gamma * torch.randn(20_000, dim, generator=torch.Generator().manual_seed(0)).norm(dim=1)
    inside = (norms - math.sqrt(dim)).abs() < 3 * gamma / math.sqrt(2)
    assert coverage(gamma, dim) == pytest.approx(float(inside.double().mean()), abs=0.25)
    assert coverage(1.0, dim) == pytest.approx(0.9973, abs=1e-4)


def test_the_variance_ratio_is_that_of_the_recursion():
    v = 1.5**2
    for _ in range(7):
        v = (1 - 0.3) ** 2 * v + 2 * 0.3
    assert variance_ratio(0.3, 1.5, 7) == pytest.approx(v, rel=1e-12)


def test_levels_are_the_fewest():
    assert levels_for(8.0, 1.0, 2.0) == 4
    assert levels_for(8.01, 1.0, 2.0) == 5
    assert levels_for(1.1, 1.0, 2.0) == 2
    assert levels_for(50, 0.01, gamma_of(50, 0.01, 232)) == 232
