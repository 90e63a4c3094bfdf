"""Rows: what a cell costs and reaches, and that nothing but the cell and the seed decides."""

import pytest
import torch

from fokker.compare.cell import Cell, cells
from fokker.compare.measure import CONVERGENCE, Comparison, Timed
from fokker.compare.target import Target, of_law
from fokker.component import component
from fokker.data import Chain
from fokker.errors import ConfigError, FokkerError
from fokker.exact import Gaussian
from fokker.network import DataSpec
from fokker.perturbation import VP
from fokker.plugins import load_plugins
from fokker.sampler import Claims, Sampler, State
from fokker_metrics.energy_distance import EnergyDistance
from fokker_metrics.prdc import PRDC


@pytest.fixture(scope="module")
def registry():
    return load_plugins().registry


LAW = Gaussian(VP(), torch.tensor([0.5, -1.0], dtype=torch.float64), torch.tensor([1.0, 0.25], dtype=torch.float64))


WHOLE = of_law(LAW, Chain(), 60)
TARGET = Target(WHOLE.reference[:400], WHOLE.sets, WHOLE.words)
"""Of a reference that is small, for the sake of time."""


def comparison(n=60, **more):
    metrics = {"energy-distance": EnergyDistance(), "prdc": PRDC(part="coverage")}
    options = {"metrics": metrics, "target": TARGET, "latents": 20, "exact": True, "n": n, **more}
    return Comparison(LAW, DataSpec((2,)), Chain(), **options)


def found(registry, *samplers, budgets=(5,), grids=("log-snr",)):
    return cells(registry, LAW.perturbation, samplers, grids, budgets, check=lambda way, times: None)


def metrics(registry, sampler, seeds=(0, 1), **more):
    return [row.metrics for row in comparison(**more).rows(found(registry, sampler)[0], seeds)]


@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
def test_the_same_again_is_the_same_and_another_seed_is_not(registry, sampler):
    first, second = metrics(registry, sampler)
    assert metrics(registry, sampler) == [first, second]
    assert first["energy-distance"] != second["energy-distance"]


@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
def test_the_batch_changes_nothing(registry, sampler):
    for whole, parts in zip(metrics(registry, sampler), metrics(registry, sampler, batch_size=7), strict=True):
        assert parts == pytest.approx(whole, rel=1e-6)


def test_a_cell_does_not_depend_on_those_before_it(registry):
    alone = metrics(registry, "ddim")
    measured = comparison()
    every = found(registry, "ddpm", "ddim", budgets=(5, 9))
    rows = [row for cell in every for row in measured.rows(cell, (0, 1))]
    assert [row.metrics for row in rows if (row.sampler, row.budget) == ("ddim", 5)] == alone


def test_what_a_row_says(registry):
    first, second = comparison().rows(found(registry, "ode:method=heun2")[0], (4, 5))
    assert (first.sampler, first.grid, first.budget, first.nfe, first.n) == ("ode:method=heun2", "log-snr", 5, 5, 60)
    assert (first.seed, second.seed) == (4, 5)
    assert set(first.metrics) == {"energy-distance", "prdc", CONVERGENCE} == set(first.floor) == set(first.tie)
    assert first.seconds > 0 and 0 < first.network < 1
    assert first.table()["seconds_per_sample"] == first.seconds / 60


def test_samples_of_the_law_itself_tie_with_it(registry):
    (cell,) = found(registry, "ddim", budgets=(100,))
    rows = list(comparison(latents=0).rows(cell, range(20)))
    assert sum(row.tie["energy-distance"] for row in rows) >= 15  # one in twenty is expected not to
    assert sum(row.tie["prdc"] for row in rows) >= 15
    (rough,) = comparison().rows(found(registry, "ode:method=euler", budgets=(3,))[0], [0])
    assert not rough.tie["energy-distance"]


def test_an_adaptive_solver_is_told_what_it_spent(registry):
    (row,) = comparison().rows(found(registry, "ode")[0], [0])
    assert row.budget is None and row.nfe > 20 and row.metrics[CONVERGENCE] < 1e-3


def test_noise_has_no_convergence_and_says_so(registry):
    (row,) = comparison().rows(found(registry, "ddpm")[0], [0])
    assert CONVERGENCE not in row.metrics and "draws noise" in row.missing[CONVERGENCE]


@component
class Broken(Sampler):
    """Fails, or leads to NaN."""

    how: str = "nan"

    @property
    def claims(self):
        return Claims(order=1)

    def trajectory(self, model, x, grid, noise, cond=None):
        yield State(float(grid[0]), x)
        model(x, float(grid[0]), cond)
        if self.how == "bug":
            raise TypeError("a plugin's own mistake")
        if self.how == "refusal":
            raise FokkerError("Not like this.")
        x = x.clone()
        x[:2] = float("nan")
        yield State(float(grid[-1]), x)


def broken(how):
    times = torch.tensor([1.0, 0.5], dtype=torch.float64)
    return list(comparison().rows(Cell("broken", "mine", 5, Broken(how), times), (0, 1)))


def test_samples_that_are_not_finite_have_no_values_but_a_reason():
    rows = broken("nan")
    assert [row.seed for row in rows] == [0, 1]
    assert all(not row.metrics and row.refused is None for row in rows)
    assert rows[0].missing["energy-distance"] == rows[0].missing[CONVERGENCE] == "2 of 60 samples are not finite"


@pytest.mark.parametrize(
    ("how", "reason"), [("refusal", "Not like this."), ("bug", "it failed: TypeError: a plugin's own mistake")]
)
def test_a_sampler_that_fails_is_one_refused_row(how, reason):
    (row,) = broken(how)
    assert row.refused == reason and row.seed is None and not row.metrics


def test_a_metric_that_refuses_is_a_reason(registry):
    measured = comparison(metrics={"prdc": PRDC(k=100)})
    (row,) = measured.rows(found(registry, "ddim")[0], [0])
    assert "hold 60 of the 101" in row.missing["prdc"] and CONVERGENCE in row.metrics


def test_a_metric_that_fails_costs_its_own_values_only(registry):
    class Mistaken(EnergyDistance):
        def __call__(self, samples, reference):
            raise TypeError("a plugin's own mistake")

    measured = comparison(metrics={"mine": Mistaken(), "energy-distance": EnergyDistance()})
    (row,) = measured.rows(found(registry, "ddim")[0], [0])
    assert row.missing["mine"] == "it failed: TypeError: a plugin's own mistake"
    assert set(row.metrics) == {"energy-distance", CONVERGENCE}


def test_metrics_without_a_target_are_refused():
    with pytest.raises(ConfigError, match="give one, or no metrics"):
        comparison(target=None)


def test_without_metrics_there_is_no_floor_and_without_latents_no_convergence(registry):
    (row,) = comparison(metrics={}, target=None).rows(found(registry, "ddim")[0], [0])
    assert set(row.metrics) == {CONVERGENCE}
    assert comparison(latents=0).names == ["energy-distance", "prdc"]


def test_the_clock_runs_while_the_model_answers():
    timed = Timed(LAW, torch.device("cpu"))
    x = torch.zeros(3, 2)
    assert torch.equal(timed(x, 0.5).x0, LAW(x, 0.5).x0)
    assert timed.seconds > 0 and timed.perturbation is LAW.perturbation
