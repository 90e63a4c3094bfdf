import math

import pytest
import torch

from fokker.errors import ConfigError
from fokker.exact import Gaussian
from fokker.levels import LevelLoss, losses_at, picked_times, spread_levels
from fokker.noise import Seeded
from fokker.objective import Denoising
from fokker.perturbation import VE, VP
from fokker.table import Sigmas
from fokker.weighting import Simple

MEAN, VARIANCE = torch.tensor([0.5, -1.0], dtype=torch.float64), 0.25
TIMES = [0.05, 0.3, 0.9]


def gaussian(shift=0.0):
    return Gaussian(VP(), MEAN + shift, torch.tensor(VARIANCE, dtype=torch.float64))


def data(n=20_000):
    return gaussian().draw(n, Seeded(0))


def test_the_law_meets_its_own_optimum():
    """|eps error|^2 / 2 of the exact score is d alpha^2 v / (2 (alpha^2 v + sigma^2))."""
    objective, p = Denoising(weighting=Simple()), VP()
    for row in losses_at(objective, gaussian(), data(), TIMES, law=gaussian()):
        alpha, sigma = (float(f(torch.tensor(row.t, dtype=torch.float64))) for f in (p.alpha, p.sigma))
        expected = alpha**2 * VARIANCE / (alpha**2 * VARIANCE + sigma**2)
        assert abs(row.loss - expected) < 4 * row.stderr
        assert row.loss == row.optimum
        assert row.excess == row.excess_stderr == 0.0
        assert row.ratio == pytest.approx(sigma / alpha)


def test_the_excess_is_that_of_the_score():
    """With a mean that is off by c in both coordinates, (sigma alpha c / (alpha^2 v + sigma^2))^2."""
    p, c = VP(), 0.3
    for row in losses_at(Denoising(weighting=Simple()), gaussian(c), data(), TIMES, law=gaussian()):
        alpha, sigma = (float(f(torch.tensor(row.t, dtype=torch.float64))) for f in (p.alpha, p.sigma))
        expected = (sigma * alpha * c / (alpha**2 * VARIANCE + sigma**2)) ** 2
        assert abs(row.excess - expected) < 4 * row.excess_stderr
        assert row.excess == pytest.approx(row.loss - row.optimum)
        assert row.excess_stderr < row.stderr


def test_batches_change_nothing():
    x, objective = data(300), Denoising()
    one, many = (losses_at(objective, gaussian(), x, TIMES, seed=3, batch_size=b) for b in (300, 77))
    for a, b in zip(one, many, strict=True):
        assert a.loss == pytest.approx(b.loss, rel=1e-12)
    other = losses_at(objective, gaussian(), x, TIMES, seed=4)
    assert other[0].loss != one[0].loss
    assert other[0].optimum is None


def test_conditions_reach_the_model():
    class Labelled(type(gaussian())):
        def __call__(self, x, t, cond=None):
            return super().__call__(x - cond["shift"], t)

    model = Labelled(VP(), MEAN, torch.tensor(VARIANCE, dtype=torch.float64))
    x = data(50)
    still, moved = (
        losses_at(Denoising(), model, x, [0.3], cond={"shift": torch.full((50, 1), c)}, batch_size=20)
        for c in (0.0, 1.0)
    )
    assert still[0].loss == pytest.approx(losses_at(Denoising(), gaussian(), x, [0.3])[0].loss)
    assert moved[0].loss > still[0].loss


def test_one_example_has_no_error_and_none_is_refused():
    assert math.isnan(losses_at(Denoising(), gaussian(), data(1), [0.5])[0].stderr)
    with pytest.raises(ConfigError, match="one example at least"):
        losses_at(Denoising(), gaussian(), data(0), [0.5])


def test_levels_are_those_of_the_objective():
    times = spread_levels(Denoising(), gaussian(), 5)
    assert times == sorted(times)
    snr = VP().log_snr(torch.tensor(times, dtype=torch.float64))
    assert torch.allclose(snr.diff(), snr.diff()[0].expand(4))
    table = Sigmas(values=(0.1, 1.0, 10.0))
    model = Gaussian(table, MEAN, torch.tensor(VARIANCE, dtype=torch.float64))
    assert spread_levels(Denoising(times_in="levels"), model, 30) == sorted(table.knots.tolist())


def test_times_tell_of_all_levels():
    p = VE(sigma_min=0.01, sigma_max=10.0)
    times = picked_times(p, 4)
    snr = p.log_snr(torch.tensor(times, dtype=torch.float64))
    assert torch.allclose(snr.diff(), snr.diff()[0].expand(3))
    assert times == sorted(times, reverse=True)
    table = Sigmas(values=(0.1, 1.0, 3.0, 10.0))
    knots = sorted(table.knots.tolist(), reverse=True)
    assert picked_times(table, 9) == knots
    assert picked_times(table, 2) == [knots[0], knots[-1]]


def test_a_ratio_is_that_of_the_scales():
    assert LevelLoss(0.0, 2 * math.log(10), 1.0, 0.1).ratio == pytest.approx(0.1)
    assert LevelLoss(0.0, math.inf, 1.0, 0.1).ratio == 0.0
