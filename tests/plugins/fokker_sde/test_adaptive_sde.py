"""The reverse SDE with steps of its own for every sample."""

import pytest
import torch
from torch.testing import assert_close

from fokker.linear import EDMNoise
from fokker.model import Counted
from fokker.noise import PerSample, Seeded, SilentEnd
from fokker.perturbation import VP
from fokker.sampler import trajectory
from fokker.testing.runs import Tape
from fokker.testing.worlds import gaussian, mixture, normal
from fokker_sde.adaptive_sde import AdaptiveSDE, _Path

D = torch.float64
WAY = torch.tensor([1.0, 0.01], dtype=D)
LOOSE = AdaptiveSDE(rtol=0.05, atol=0.02)


def run(sampler, model, x, grid=WAY, noise=None):
    source = noise or PerSample(3, range(len(x)), x.shape[1:], block=1)
    for state in trajectory(model, sampler, grid, source, x, final="none"):
        x = state.x
    return x


def test_the_law_is_the_data_s():
    p, n = EDMNoise(sigma_min=0.01, sigma_max=10.0), 3000
    model = Counted(gaussian(p))
    x = p.perturb(model.model.draw(n, Seeded(1)), torch.ones(()), normal(n, 3, seed=9))
    found = run(LOOSE, model, x)
    mean, covariance = model.model.marginal(0.01)
    std = covariance.diagonal().sqrt()
    # four standard errors of a mean and of a standard deviation, and a bias of 2 %
    assert bool(((found.mean(0) - mean).abs() < (4 / n**0.5 + 0.02) * std).all())
    assert bool(((found.std(0) / std - 1).abs() < 4 / (2 * n) ** 0.5 + 0.02).all())
    assert model.rows / n < 250


def test_a_tighter_tolerance_takes_more_evaluations():
    spent = []
    for tolerance in (0.1, 0.05, 0.02):
        model = Counted(mixture(VP()))
        run(AdaptiveSDE(rtol=tolerance, atol=tolerance / 2), model, normal(8, 2))
        spent.append(model.rows)
    assert spent[0] < spent[1] < spent[2]


def test_a_path_that_is_cut_keeps_its_increments():
    # 20000 paths: a stretch of 1, put back, is taken in parts of random lengths, which add up to it
    n = 20_000
    x, rows, t = torch.zeros(n, 1, dtype=D), torch.arange(n), torch.ones(n, dtype=D)
    path, noise = _Path(x), Seeded(5)
    h, whole = path.take(rows, torch.full((n,), 0.5, dtype=D), x, t, noise, 0.0)
    path.put_back(rows, h, whole)
    first_h, first = path.take(rows, torch.full((n,), 0.2, dtype=D), x, t, noise, 0.0)
    path.put_back(rows, first_h, first)
    inner_h, inner = path.take(rows, torch.full((n,), 0.05, dtype=D), x, t, noise, 0.0)
    rest_h, rest = path.take(rows, torch.full((n,), 0.4, dtype=D), x, t - 0.05, noise, 0.0)
    end_h, end = path.take(rows, torch.full((n,), 0.4, dtype=D), x, t - 0.2, noise, 0.0)
    lengths = [float(each[0]) for each in (h, first_h, inner_h, rest_h, end_h)]
    assert lengths == pytest.approx([0.5, 0.2, 0.05, 0.15, 0.3])
    assert_close(inner + rest, first)
    assert_close(first + end, whole)
    variances = [float(each.var()) for each in (whole, first, inner, rest, end)]
    assert variances == pytest.approx([0.5, 0.2, 0.05, 0.15, 0.3], rel=0.05)
    assert abs(float((inner * rest).mean())) < 0.002 and abs(float((rest * end).mean())) < 0.005
    # all is used up: the next is new
    assert int(path._depth.max()) == 0


def test_steps_end_at_the_times_of_the_grid():
    grid = torch.tensor([1.0, 0.7, 0.2, 0.05], dtype=D)
    states = list(trajectory(mixture(VP()), LOOSE, grid, PerSample(0, range(3), (2,), block=1), normal(3, 2)))
    assert [state.t for state in states][:-1] == grid.tolist()


def test_a_mean_end_has_less_noise():
    p, x = VP(), normal(6, 2)
    noisy = run(LOOSE, mixture(p), x)
    silent = run(LOOSE, mixture(p), x, noise=SilentEnd(PerSample(3, range(6), (2,), block=1)))
    moved = (noisy - silent).abs().max()
    assert 0 < float(moved) < 0.5


def test_noise_is_drawn_for_the_rows_that_need_it():
    p, x = VP(), normal(6, 2)
    tape = Tape()
    sizes = []

    class Rows(Tape):
        def rows(self, index):
            sizes.append(len(index))
            return tape

    run(LOOSE, mixture(p), x, noise=Rows())
    assert len(sizes) == tape.count and min(sizes) < 6
