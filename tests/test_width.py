"""The width of data, and what goes by it."""

import torch

from fokker import load_plugins
from fokker.auto_grid import AutoGrid
from fokker.data import Batch, Chain, Examples
from fokker.perturbation import VE, VP
from fokker.plan import resolve, width_of
from fokker.run.folder import open_run
from fokker.training.loop import start
from fokker.width import Width, measure_width
from fokker_dpm.auto import Auto


class Stored(Examples):
    def __init__(self, x):
        self.x = x

    @property
    def event_shape(self):
        return tuple(self.x.shape[1:])

    def __len__(self):
        return len(self.x)

    def fetch(self, index):
        return Batch(self.x[list(index)], {})


def width_of_normals(variances, n=1024):
    z = torch.randn(n, len(variances), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return measure_width(Chain(()), Stored((z * torch.tensor(variances).double().sqrt()).float()))


def test_values_that_vary_alike_have_no_spread():
    found = width_of_normals([4.0] * 6)
    assert abs(found.std - 2) < 0.05 and found.spread == 1


def test_the_spread_follows_the_widest_directions():
    variances = [100.0, 50.0, *[0.01] * 98]
    trace, squares = sum(variances), sum(v**2 for v in variances)
    found = width_of_normals(variances)
    std = (trace / 100) ** 0.5
    assert abs(found.std / std - 1) < 0.05
    assert abs(found.spread / (2 * (squares / trace) ** 0.5 / std - 3) - 1) < 0.08


def test_too_little_data_has_no_width():
    assert width_of_normals([1.0, 1.0], n=7) is None
    assert measure_width(Chain(()), Stored(torch.ones(20, 3))) is None


def test_what_is_given_is_kept():
    def asked():
        raise AssertionError("asked for a width that was given")

    assert Auto(data_std=2.0).on_data(asked) == Auto(data_std=2.0)
    assert AutoGrid(spread=3.0).on_data(asked) == AutoGrid(spread=3.0)
    width = Width(0.5, 7.0)
    assert Auto(eta=0.5).on_data(lambda: width) == Auto(0.5, 7.0, 0.5)
    assert AutoGrid().on_data(lambda: width) == AutoGrid(0.5, 7.0)
    assert AutoGrid().on_data(lambda: None) == AutoGrid()


def test_wide_data_has_more_levels_at_much_noise_and_a_larger_last_one():
    p = VE(sigma_min=1e-4, sigma_max=100.0)
    for steps, power in ((2, 1.0), (4, 1.0), (9, 0.5 + 1 / 32), (99, 0.5)):
        narrow, wide = (p.sigma(AutoGrid(0.5, spread).times(p, steps)) for spread in (1.0, 16.0))
        assert bool((wide[1:] > narrow[1:]).all())
        assert abs(float(wide[-1] / narrow[-1]) - 16**power) < 1e-3


def test_a_run_remembers_the_width_of_its_data(tmp_path):
    host = load_plugins()
    plan = resolve(host.registry, options={"data": "moons"}, sets=["train.steps=1", "network.width=8"])
    for _ in start(host, plan, tmp_path / "run"):
        pass
    run = open_run(tmp_path / "run", host)
    assert run.spec.width == width_of(run.plan, run.spec) == run.width()
    assert run.plan.sample.grid == AutoGrid(run.width().std, run.width().spread)
    assert run.plan.sample.sampler == Auto(run.width().std, run.width().spread)
    assert 0 < run.plan.sample.grid.times(VP(), 5)[-1] < 1
