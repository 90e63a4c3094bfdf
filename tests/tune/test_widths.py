"""Annealed Langevin dynamics on a Gaussian of any width: the recursion, the sampler itself, and the best step."""

import pytest
import torch

from fokker.exact import Gaussian
from fokker.grid import Knots
from fokker.noise import Recorded
from fokker.sampler import trajectory
from fokker.table import Sigmas
from fokker.tune.techniques import variance_ratio
from fokker.tune.widths import best_step, width_error, worst_error
from fokker_smld.smld import SMLD

SIGMAS = (6.4, 3.2, 1.6, 0.8, 0.4, 0.2, 0.1, 0.05, 0.025)


@pytest.mark.parametrize("width", [1e-6, 0.1, 0.7])
def test_the_error_is_that_of_the_sampler(width):
    """The way down is linear in start and noise: its variance is the sum of the squares of its responses."""
    updates, levels = 4, (1.6, 0.8, 0.4)
    p = Sigmas(values=levels[::-1])
    law = Gaussian(p, torch.zeros(1, dtype=torch.float64), torch.full((1, 1), width**2, dtype=torch.float64))
    draws = updates * len(levels)
    rows = torch.eye(draws + 1, dtype=torch.float64)
    start = levels[0] * rows[:, :1]
    noise = Recorded([rows[:, k + 1 : k + 2] for k in range(draws)])
    way = SMLD(step=0.3, steps_per_level=updates)
    *_, last = trajectory(law, way, Knots().times(p, len(levels) - 1), noise, start, final="none")
    std = float(last.x.square().sum().sqrt())
    expected = (1 + width_error(width, 0.3, levels, updates)) * (width**2 + levels[-1] ** 2) ** 0.5
    assert std == pytest.approx(expected, rel=1e-9)


def test_a_point_after_two_levels_is_technique_4():
    v = (1 + width_error(0.0, 0.2, (2.0, 1.0), 6)) ** 2
    before = 2.0**2 * variance_ratio(0.2, 1.0, 6)
    assert v == pytest.approx(variance_ratio(0.2, before**0.5, 6), rel=1e-12)


def test_the_best_step_in_the_plane():
    """20 updates at a ratio of 2: technique 4 has .1277, trials on two Gaussians .3."""
    step = best_step(SIGMAS, 20)
    assert step == pytest.approx(0.30, abs=0.01)
    worst = worst_error(step, SIGMAS, 20)
    assert worst == pytest.approx(0.084, abs=0.002)
    assert worst < min(worst_error(step * f, SIGMAS, 20) for f in (0.97, 1.03))
    assert worst_error(0.1277, SIGMAS, 20) > 0.18


def test_scale_changes_nothing():
    scaled = tuple(30 * s for s in SIGMAS)
    assert best_step(scaled, 20) == pytest.approx(best_step(SIGMAS, 20), rel=1e-9)
    assert width_error(30.0, 0.3, scaled, 5) == pytest.approx(width_error(1.0, 0.3, SIGMAS, 5), rel=1e-12)
