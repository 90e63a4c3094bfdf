"""Tuned plans: what is filled in, what stays, and that scale changes nothing."""

import dataclasses

import pytest
import torch

from fokker.config import to_table
from fokker.errors import ConfigError, DataError
from fokker.exact import Mixture
from fokker.noise import Seeded
from fokker.parameterization import EDM
from fokker.perturbation import VE, VP
from fokker.plan import check, resolve, spec_of
from fokker.plugins import load_plugins
from fokker.sampler import trajectory
from fokker.table import Sigmas
from fokker.training.learner import Learner
from fokker.tune.apply import resolve_tuned
from fokker_smld.smld import SMLD

DATA = "two-gaussians:n=500"


@pytest.fixture(scope="module")
def registry():
    return load_plugins().registry


def changed(tuned):
    return {change.path: change.value for change in tuned.changes}


def test_nothing_named(registry):
    plan, tuned = resolve_tuned(registry, None, {"data": DATA})
    t = tuned.tuning
    assert plan.perturbation == Sigmas(minimum=t.sigma_min, maximum=t.sigma_max, levels=t.levels)
    assert plan.parameterization == EDM(sigma_data=t.sigma_data)
    assert plan.objective.weighting.sigma_data == t.sigma_data == pytest.approx(2.0, abs=0.02)
    assert plan.sample.sampler == SMLD(step=t.step_size, steps_per_level=t.steps_per_level)
    assert (to_table(registry, plan.sample.grid)["name"], plan.sample.steps) == ("knots", t.levels - 1)
    assert check(plan)[1] == []
    assert changed(tuned) == {
        "perturbation": "sigmas",
        "sample.sampler": "smld",
        "sample.grid": "knots",
        "perturbation.minimum": t.sigma_min,
        "perturbation.maximum": t.sigma_max,
        "perturbation.levels": t.levels,
        "sample.steps": t.levels - 1,
        "sample.sampler.steps_per_level": t.steps_per_level,
        "sample.sampler.step": t.step_size,
        "parameterization.sigma_data": t.sigma_data,
        "objective.weighting.sigma_data": t.sigma_data,
    }
    # plain numbers: the written plan is the same without tuning, and there is nothing left to tune
    written = plan.table(registry)
    assert resolve(registry, written) == plan
    assert changed(resolve_tuned(registry, written)[1]) == {}


def test_the_rest_of_a_plan_is_left_alone(registry):
    plan, _ = resolve_tuned(registry, None, {"data": DATA}, ["train.steps=7"])
    plain = resolve(registry, None, {"data": DATA}, ["train.steps=7"])
    same = [f.name for f in dataclasses.fields(plan) if getattr(plan, f.name) == getattr(plain, f.name)]
    assert same == ["data", "network", "label", "train"]
    assert dataclasses.replace(plan.objective, weighting=plain.objective.weighting) == plain.objective


def test_values_that_are_given_stay(registry):
    options = {"data": DATA, "perturbation": "sigmas:minimum=0.5,levels=4", "parameterization": "edm:sigma_data=3"}
    sets = ["sample.sampler=smld", "sample.sampler.steps_per_level=50", "objective.weighting=edm"]
    plan, tuned = resolve_tuned(registry, None, options, sets)
    assert (plan.perturbation.minimum, plan.perturbation.levels) == (0.5, 4)
    assert plan.perturbation.maximum == tuned.tuning.sigma_max == pytest.approx(6.3, abs=0.2)
    assert tuned.tuning.gamma == pytest.approx((tuned.tuning.sigma_max / 0.5) ** (1 / 3))
    assert plan.parameterization == EDM(sigma_data=3)
    assert plan.sample.sampler.steps_per_level == tuned.tuning.steps_per_level == 50
    assert plan.objective.weighting.sigma_data == tuned.tuning.sigma_data
    assert changed(tuned).keys() == {
        "perturbation.maximum",
        "sample.grid",
        "sample.steps",
        "sample.sampler.step",
        "objective.weighting.sigma_data",
    }
    table, _ = resolve_tuned(registry, None, {"data": DATA, "perturbation": "sigmas:values=[0.1,0.4,1.6]"})
    assert table.perturbation == Sigmas(values=(0.1, 0.4, 1.6)) and table.sample.steps == 2


def test_a_step_in_a_published_form_is_left(registry):
    for form in ("smld", "ncsn"):
        plan, tuned = resolve_tuned(registry, None, {"data": DATA}, [f"sample.sampler=smld:form={form}"])
        assert plan.sample.sampler.step == SMLD().step
        assert "sample.sampler.step" not in changed(tuned)


def test_langevin_dynamics_between_identities(registry):
    options = {"data": DATA}
    whole, tuned = resolve_tuned(registry, None, options, ["sample.sampler=pc(predictor=identity)"])
    t = tuned.tuning
    expected = {"step": t.step_size, "form": "relative", "temperature": 1.0, "name": "annealed-langevin"}
    assert to_table(registry, whole.sample.sampler.corrector) == expected
    assert whole.sample.sampler.corrections == t.steps_per_level and whole.sample.steps == t.levels - 1
    assert changed(tuned)["sample.sampler.corrector.step"] == t.step_size
    written = "pc(predictor=identity,corrector=annealed-langevin(step=0.1),corrections=30)"
    given, _ = resolve_tuned(registry, None, options, [f"sample.sampler={written}"])
    assert (given.sample.sampler.corrector.step, given.sample.sampler.corrections) == (0.1, 30)
    for other in ("pc", "pc(predictor=identity,corrector=langevin)", "langevin", "ddim"):
        plan, tuned = resolve_tuned(registry, None, options, [f"sample.sampler={other}"])
        assert plan.sample.sampler == resolve(registry, None, options, [f"sample.sampler={other}"]).sample.sampler
        assert not [path for path in changed(tuned) if path.startswith("sample")]


WRONG = ["sigmas:levels=1", "sigmas:maximum=wide", "sigmas:minimum=-1.0", "sigmas:values=[3.0,1.0]", "ve:sigma_max=0.0"]


@pytest.mark.parametrize("spec", WRONG)
def test_values_that_cannot_be_are_refused_as_without_tuning(registry, spec):
    options = {"data": DATA, "perturbation": spec}
    messages = []
    for put in (resolve, resolve_tuned):
        with pytest.raises(ConfigError) as refusal:
            put(registry, None, options)
        messages.append(str(refusal.value))
    assert messages[0] == messages[1]


def test_data_of_other_than_unit_variance_is_noted_where_there_are_no_levels(registry):
    _, tuned = resolve_tuned(registry, None, {"data": f"{DATA},centre=20.0", "perturbation": "vp"})
    assert tuned.note.startswith("The perturbation 'vp' takes data of about unit standard deviation, and this data has")
    assert resolve_tuned(registry, None, {"data": DATA, "perturbation": "vp"})[1].note == ""


def test_a_recipe_that_says_everything_stays_what_it_is(registry):
    plan, tuned = resolve_tuned(registry, "two-gaussians-smld", {}, ["data.n=500"])
    assert plan == resolve(registry, "two-gaussians-smld", {}, ["data.n=500"])
    assert changed(tuned) == {}


def test_a_continuous_range_is_tuned(registry):
    plan, tuned = resolve_tuned(registry, None, {"data": DATA, "perturbation": "ve:sigma_min=0.05"})
    assert plan.perturbation == VE(sigma_min=0.05, sigma_max=tuned.tuning.sigma_max)
    assert plan.sample == resolve(registry, None, {"data": DATA}).sample
    with_smld, tuned = resolve_tuned(registry, None, {"data": DATA, "perturbation": "ve"}, ["sample.sampler=smld"])
    assert check(with_smld)[1] == []
    t = torch.linspace(0, 1, tuned.tuning.levels, dtype=torch.float64).flip(0)
    torch.testing.assert_close(with_smld.sample.grid.times(with_smld.perturbation, with_smld.sample.steps), t)


def test_where_no_level_is_the_datas_sigma_data_is_all(registry):
    plan, tuned = resolve_tuned(registry, None, {"data": DATA, "perturbation": "vp"})
    assert plan.perturbation == VP()
    assert changed(tuned).keys() == {"parameterization.sigma_data", "objective.weighting.sigma_data"}
    options = {"data": DATA, "perturbation": "none", "parameterization": "score", "objective": "explicit"}
    plan, tuned = resolve_tuned(registry, None, options)
    assert plan.perturbation.prior_std == tuned.tuning.sigma_data
    assert changed(tuned).keys() == {"perturbation.sigma_data"}


def test_the_data_is_taken_after_its_transforms(registry):
    plan, tuned = resolve_tuned(registry, None, {"data": f"{DATA},transforms=[standardise]"})
    assert tuned.tuning.sigma_data == pytest.approx(1.0, abs=1e-6)
    assert plan.data.transforms[0].mean is None  # it is training that fits them, on the same examples


def test_what_cannot_be_had_is_refused(registry):
    with pytest.raises(ConfigError, match="must be greater than sigma_min = 90"):
        resolve_tuned(registry, None, {"data": DATA, "perturbation": "ve:sigma_min=90"})
    with pytest.raises(DataError, match="two are the fewest"):
        resolve_tuned(registry, None, {"data": "two-gaussians:n=1"})
    with pytest.raises(ConfigError, match="A plan needs data"):
        resolve_tuned(registry)


@pytest.mark.parametrize("scale", [0.1, 30.0])
def test_training_does_not_see_the_scale(registry, scale):
    """Losses and weights of a tuned training, and the samples in units of the data, are the same up to rounding."""

    def trained(unit):
        data = f"two-gaussians:n=400,centre={2 * unit:g},variance={unit**2 / 100:g}"
        sets = ["train.batch_size=64", "network.width=16", "network.embedding_width=16"]
        plan, _ = resolve_tuned(registry, None, {"data": data}, sets)
        examples = plan.data.open("train")
        learner = Learner(plan, spec_of(plan, examples))
        losses = []
        for step in range(20):
            gradient = learner.gradient(step, examples.fetch([(step * 64 + i) % 400 for i in range(64)]))
            losses.append(gradient.loss)
            learner.update(gradient, 4e-3)
        weights = torch.cat([p.detach().flatten() for p in learner.backbone.parameters()])
        learner.close()
        return torch.tensor(losses), weights

    for one, other in zip(trained(1.0), trained(scale), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("scale", [1.0, 0.1, 30.0])
def test_the_tuned_sampler_finds_both_modes(registry, scale):
    """By the exact score: weights, widths and outliers of two Gaussians, and the same samples at every scale."""

    def sampled(unit):
        data = f"two-gaussians:n=2000,centre={2 * unit:g},variance={unit**2 / 100:g}"
        plan, tuned = resolve_tuned(registry, None, {"data": data})
        centres = torch.full((2, 2), 2.0 * unit, dtype=torch.float64) * torch.tensor([[-1.0], [1.0]])
        covs = unit**2 / 100 * torch.eye(2, dtype=torch.float64).expand(2, 2, 2)
        law = Mixture(plan.perturbation, torch.full((2,), 0.5, dtype=torch.float64), centres, covs)
        noise = Seeded(3)
        x = plan.perturbation.prior_std * noise(torch.empty(4000, 2, dtype=torch.float64))
        grid = plan.sample.grid.times(plan.perturbation, plan.sample.steps)
        *_, end = trajectory(law, plan.sample.sampler, grid, noise, x, final=plan.sample.final)
        return end.x / unit, tuned.tuning

    x, tuning = sampled(scale)
    upper = x.sum(1) > 0
    assert float(upper.double().mean()) == pytest.approx(0.5, abs=4 * 0.5 / 4000**0.5)
    for mode, centre in ((x[upper], 2.0), (x[~upper], -2.0)):
        assert float((mode.mean(0) - centre).abs().max()) < 0.02
        assert float((mode.std(0) / 0.1 - 1).abs().max()) < tuning.width_error + 0.02
        assert float((mode - centre).norm(dim=1).max()) < 0.8
    torch.testing.assert_close(x, sampled(1.0)[0], rtol=1e-4, atol=1e-5)  # data is read in single precision
