"""Cells: all samplers on all grids at all budgets, or the reason why not."""

import pytest

from fokker import config
from fokker.compare import cell
from fokker.compare.cell import cells, default_grids, default_samplers, written
from fokker.errors import ConfigError
from fokker.perturbation import VE
from fokker.plan import SampleSettings
from fokker.plugins import load_plugins


@pytest.fixture(scope="module")
def registry():
    return load_plugins().registry


def anything(way, times):
    """A model that can be asked everywhere."""


def crossed(registry, samplers, grids, budgets, p=None, check=anything, **more):
    return cells(registry, p or VE(), samplers, grids, budgets, check=check, **more)


def test_samplers_grids_and_budgets_are_crossed_and_their_steps_spend_the_budget(registry):
    found = crossed(registry, ["ddim", "ode:method=heun2"], ["karras", "uniform"], [20, 5])
    assert [(c.sampler, c.grid, c.budget) for c in found[:4]] == [
        ("ddim", "karras", 5),
        ("ddim", "karras", 20),
        ("ddim", "uniform", 5),
        ("ddim", "uniform", 20),
    ]
    assert [len(c.times) - 1 for c in found] == [4, 19, 4, 19, 2, 9, 2, 9]  # one evaluation is the end's


def test_without_an_end_to_pay_for_there_is_one_more_step(registry):
    (found,) = crossed(registry, ["ddim"], ["karras"], [5], final="none")
    assert len(found.times) - 1 == 5


def test_what_is_named_twice_is_compared_once(registry):
    assert len(crossed(registry, ["ddim", "ddim"], ["karras", "karras"], [5, 5])) == 1


def test_a_budget_that_is_too_small_is_refused_in_its_cell_alone(registry):
    small, large = crossed(registry, ["ode:method=heun2"], ["karras"], [2, 5])
    assert small.times is None and "does not allow a single step" in small.refused
    assert large.refused is None


def test_a_grid_that_the_perturbation_cannot_have_is_refused_in_its_cells(registry):
    (knots,) = crossed(registry, ["ddim"], ["knots"], [5])
    assert "needs a table" in knots.refused


def test_what_the_model_cannot_be_asked_is_refused_with_its_reason(registry):
    def never(way, times):
        raise ConfigError("not between levels")

    (found,) = crossed(registry, ["ddim"], ["karras"], [5], check=never)
    assert found.refused == "not between levels" and found.times is None


def test_a_sampler_that_chooses_its_evaluations_has_one_cell_for_each_grid(registry):
    found = crossed(registry, ["ode"], ["karras", "uniform"], [5, 10, 20])
    assert [(c.grid, c.budget, len(c.times)) for c in found] == [("karras", None, 2), ("uniform", None, 2)]


def test_the_runs_own_way_comes_first_with_its_own_steps(registry):
    ddim, uniform = (config.build(registry, *pair) for pair in (("sampler", "ddim:eta=0.5"), ("grid", "uniform")))
    first, second = crossed(registry, ["ddim"], ["karras"], [5], baseline=SampleSettings(ddim, uniform, steps=7))
    assert (first.sampler, first.grid, first.budget, first.baseline) == ("ddim:eta=0.5", "uniform", None, True)
    assert len(first.times) - 1 == 7 and not second.baseline


def test_a_spec_is_written_without_its_defaults(registry):
    spec = "pc:predictor=ancestral,corrections=2"
    assert (
        written(registry, "sampler", config.build(registry, "sampler", spec)) == "pc:predictor=ancestral,corrections=2"
    )
    for text in ("ddim", "ddim:eta=0.5", spec):
        built = config.build(registry, "sampler", text)
        assert config.build(registry, "sampler", written(registry, "sampler", built)) == built


def test_an_unknown_name_is_no_refusal_but_an_error(registry):
    with pytest.raises(ConfigError, match="No sampler named 'nothing'"):
        crossed(registry, ["nothing"], ["karras"], [5])


def test_by_default_those_are_compared_that_are_registered(registry, monkeypatch):
    monkeypatch.setattr(cell, "SAMPLERS", ("not-there", "ddim", "ddpm"))
    assert default_samplers(registry) == ["ddim", "ddpm"]


def test_the_default_grid_is_the_first_that_the_model_can_be_asked_on(registry, monkeypatch):
    monkeypatch.setattr(cell, "GRIDS", ("not-there", "karras", "knots", "uniform"))
    assert default_grids(registry, VE(), anything) == ["karras"]
    p = config.build(registry, "perturbation", "sigmas:levels=5")

    def on_levels(way, times):
        p.index(times)

    assert default_grids(registry, p, on_levels) == ["knots"]
