"""Plans: put together from layers, written down and read back, and refused with a reason."""

import dataclasses
import re
import tomllib
from math import log

import numpy as np
import pytest
import tomli_w
import torch

from fokker.data import Batch, Examples
from fokker.errors import ConfigError
from fokker.network import DataSpec
from fokker.perturbation import VE, VP
from fokker.plan import check, fit, resolve, spec_of
from fokker.plugins import load_plugins


@pytest.fixture(scope="module")
def host():
    return load_plugins()


@pytest.fixture
def registry(host):
    return host.registry


@pytest.fixture
def array(tmp_path):
    """A file with random examples of a shape, as a spec."""

    def write(*shape, n=20):
        file = tmp_path / f"{'x'.join(map(str, shape))}.npy"
        np.save(file, np.random.default_rng(0).normal(2.0, 3.0, (n, *shape)).astype(np.float32))
        return {"name": "array", "path": str(file), "test_share": 0.0}

    return write


def name(registry, component):
    return registry.find(type(component)).name


def test_defaults_follow_the_data(registry, array):
    for shape, expected in (
        ((2,), "mlp"),
        ((1, 16), "unet"),
        ((3, 17, 23), "unet"),
        ((1, 8, 9, 10), "unet"),
        ((1, 2, 2, 2, 2), "mlp"),
    ):
        plan = resolve(registry, {"data": array(*shape)})
        assert name(registry, plan.network) == expected
        assert plan.perturbation == VP()
        assert check(plan)[1] == []


def test_each_layer_goes_over_the_one_before(registry, tmp_path):
    tables = {"data": "moons", "perturbation": {"name": "ve", "sigma_max": 20.0}, "train": {"lr": 0.5, "steps": 7}}
    file = tmp_path / "plan.toml"
    file.write_text(tomli_w.dumps(tables))
    for source in (tables, file, str(file)):
        plan = resolve(registry, source)
        assert (name(registry, plan.data), plan.perturbation) == ("moons", VE(sigma_max=20.0))
        assert (plan.train.lr, plan.train.steps) == (0.5, 7)
        # an option replaces the component, a single value only itself
        plan = resolve(registry, source, {"perturbation": "ve:sigma_min=0.1", "data": None}, ["train.lr=0.25"])
        assert (name(registry, plan.data), plan.perturbation) == ("moons", VE(sigma_min=0.1))
        assert (plan.train.lr, plan.train.steps) == (0.25, 7)
        plan = resolve(registry, source, {}, ["perturbation.sigma_min=0.1", "train.lr=0.25", "train.lr=0.125"])
        assert plan.perturbation == VE(sigma_min=0.1, sigma_max=20.0)
        assert plan.train.lr == 0.125
    assert tables["train"] == {"lr": 0.5, "steps": 7}


def test_values_are_set_on_components_that_nobody_named(registry, array):
    plan = resolve(registry, {"data": array(1, 8)}, sets=["network.channels=4", "network.attention=[]"])
    assert (name(registry, plan.network), plan.network.channels, plan.network.attention) == ("unet", 4, ())
    plan = resolve(registry, None, {"data": "swiss-roll"}, ["network.width=5", "perturbation.beta_max=10.0"])
    assert (plan.network.width, plan.perturbation.beta_max) == (5, 10.0)
    plan = resolve(registry, None, {"data": "swiss-roll"}, ["sample.sampler.data_std=0.5", "sample.grid=uniform"])
    assert (plan.sample.sampler.data_std, name(registry, plan.sample.grid)) == (0.5, "uniform")
    plan = resolve(registry, None, {}, ["data=moons", "data.n=30"])
    assert plan.data.n == 30


def test_a_label_of_levels_is_sampled_on_them(registry):
    on_levels = resolve(registry, {"data": "moons", "perturbation": "betas", "label": "index", "objective": "ddpm"})
    assert name(registry, on_levels.sample.grid) == "knots"
    assert check(on_levels)[1] == []
    assert name(registry, resolve(registry, {"data": "moons"}).sample.grid) == "auto"
    # once it says what a network is told between them, any grid will do
    between = {"data": "moons", "perturbation": "betas", "label": "index:between=round", "objective": "ddpm"}
    assert name(registry, resolve(registry, between).sample.grid) == "auto"


def test_a_plan_reads_back_as_itself(registry, array):
    for tables in (
        {"data": array(2)},
        {"data": array(1, 4, 4), "train": {"clip": 0.5, "optimizer": "adamw", "labels": False, "betas": [0.5, 0.9]}},
        {"data": "two-gaussians", "perturbation": "sigmas", "label": "index", "parameterization": "score"},
        {"data": "moons", "sample": {"sampler": "pc:corrector=langevin", "grid": "uniform:end=0.1", "final": "none"}},
        {"data": "moons", "objective": "denoising(weighting=min-snr(gamma=3.0))", "train": {"decay": "one-cycle"}},
    ):
        plan = resolve(registry, tables)
        for each in (plan, fit(plan, plan.data.open("train"))):
            text = tomli_w.dumps(each.table(registry))
            assert resolve(registry, tomllib.loads(text)) == each


def test_every_recipe_is_a_whole_plan(registry):
    recipes = registry.names("recipe")
    assert "demo" in recipes
    for recipe in recipes:
        plan = resolve(registry, recipe)
        assert resolve(registry, tomllib.loads(tomli_w.dumps(plan.table(registry)))) == plan


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({}, "A plan needs data: name a recipe, or give --data; 'fokker list data' shows what there is."),
        ({"data": {"n": 3}}, r"data .*name"),
        ({"data": "swis-roll"}, "No data named 'swis-roll'. Did you mean 'swiss-roll'?"),
        ({"data": "moons", "netwrok": "mlp"}, "plan has no field 'netwrok'. Did you mean 'network'?"),
        ({"data": "moons:m=3"}, "data has no field 'm'"),
        ({"data": "moons", "train": {"stpes": 3}}, "train has no field 'stpes'. Did you mean 'steps'?"),
        ({"data": "moons", "train": {"steps": 0}}, "train.steps must be"),
        ({"data": "moons", "train": {"lr": "fast"}}, "train.lr must be"),
        ({"data": "moons", "train": 3}, "train must be a table"),
        ({"data": "moons", "sample": 3}, "sample must be a table"),
        ({"data": "moons", "sample": {"smapler": "ddim"}}, "sample has no field 'smapler'. Did you mean 'sampler'?"),
        ({"data": "moons", "sample": {"sampler": "ddmi"}}, "sample.sampler: No sampler named 'ddmi'. Did you mean"),
        ({"data": "moons", "perturbation": "ve:sigma_max=0.001"}, "perturbation.sigma_max must be greater than sigma"),
        ({"data": "moons", "network": 3}, "network must name a component, got 3"),
    ],
)
def test_what_is_not_there_has_a_nearest_name(registry, tables, message):
    with pytest.raises(ConfigError, match=message) as caught:
        resolve(registry, tables)
    assert "\n" not in str(caught.value)


def test_sources_that_cannot_be_read(registry, tmp_path):
    with pytest.raises(ConfigError, match=r"There is no file .*missing\.toml; give a recipe's name or an existing"):
        resolve(registry, tmp_path / "missing.toml")
    with pytest.raises(ConfigError, match=r"No recipe named 'dmeo'\. Did you mean 'demo'"):
        resolve(registry, "dmeo")
    for content in (b"[train\n", b"\xff\xfe\x00"):
        (tmp_path / "bad.toml").write_bytes(content)
        with pytest.raises(ConfigError, match=r"bad\.toml is not valid TOML"):
            resolve(registry, tmp_path / "bad.toml")
    with pytest.raises(ConfigError, match="--set takes key=value"):
        resolve(registry, {"data": "moons"}, sets=["train.lr"])


def problems(plan):
    _, found = check(plan)
    assert all("\n" not in problem.message for problem in found)
    return {problem.where: problem.message for problem in found}


@pytest.mark.parametrize(
    ("tables", "where", "message"),
    [
        ({"objective": "ddpm"}, "objective", "trains on the levels of a table; VP is continuous. Use .*'denoising'"),
        ({"label": "index", "sample": {"grid": "karras"}}, "label", "VP is continuous"),
        (
            {"label": "index", "perturbation": "betas", "objective": "ddpm", "sample": {"grid": "karras", "steps": 7}},
            "sample.grid",
            "level",
        ),
        (
            {
                "network": "conditional-mlp",
                "perturbation": "sigmas",
                "objective": "ncsn",
                "sample": {"grid": "knots", "steps": 9},
            },
            "label",
            "ConditionalMLP is told the level of a table; use the label 'index'",
        ),
        ({"sample": {"grid": "knots"}}, "sample.grid", "The grid 'knots' needs a table"),
        ({"perturbation": "betas:steps=5", "sample": {"grid": "knots"}}, "sample.grid", "at most 4 steps"),
        ({"sample": {"grid": "karras:sigma_max=1e9"}}, "sample.grid", "lies outside this perturbation"),
        ({"train": {"labels": True}, "data": "swiss-roll"}, "train.labels", "needs data with class labels; this data"),
        ({"data": "array:path=missing.npy"}, "data", r"missing\.npy cannot be read: No such file"),
    ],
)
def test_what_cannot_work_is_a_problem_with_a_reason(registry, tables, where, message):
    plan = resolve(registry, {"data": "moons:n=50", **tables})
    found = problems(plan)
    assert list(found) == [where]
    assert re.search(message, found[where])


def test_what_needs_noise_is_refused_where_there_is_none(registry):
    found = problems(resolve(registry, {"data": "moons:n=50", "perturbation": "none"}))
    assert list(found) == ["objective", "parameterization", "sample.sampler"]
    assert found["objective"].startswith("Denoising learns from noise, and Vanishing has none; use 'explicit' or")
    assert found["parameterization"].startswith("EDM reads the network in units of the noise, and Vanishing has none;")
    assert found["sample.sampler"].startswith(
        "Auto lives on noise, and Vanishing has none; sample by 'langevin:relative=false'"
    )
    sound = {"perturbation": "none", "objective": "explicit", "parameterization": "energy"}
    assert list(problems(resolve(registry, {"data": "moons:n=50", **sound}))) == ["sample.sampler"]
    sound["sample"] = {"sampler": "langevin:step=0.01,relative=false"}
    assert problems(resolve(registry, {"data": "moons:n=50", **sound})) == {}


def test_data_that_the_objective_refuses_is_a_problem(registry, array):
    plan = resolve(registry, {"data": array(3, 7, 7), "network": "mlp", "objective": "explicit"})
    assert "max_dimensions = 147" in problems(plan)["objective"]
    asked = {"data": array(3, 7, 7), "network": "mlp", "objective": "explicit:max_dimensions=147"}
    assert problems(resolve(registry, asked)) == {}


@pytest.mark.parametrize("part", [{"objective": "sliced"}, {"parameterization": "energy"}], ids=str)
def test_second_derivatives_are_not_to_be_had_of_a_compiled_network(registry, part):
    plan = resolve(registry, {"data": "moons:n=50", "train": {"compile": True}, **part})
    assert list(problems(plan)) == ["train.compile"]
    assert "first derivatives only" in problems(plan)["train.compile"]
    plain = resolve(registry, {"data": "moons:n=50", "train": {"compile": True}})
    assert problems(plain) == {}


def test_a_network_that_does_not_fit_the_data_is_a_problem(registry, array):
    plan = resolve(registry, {"data": array(1, 2, 2, 2, 2), "network": "unet"})
    assert list(problems(plan)) == ["network"]
    assert "at most 3 spatial dimensions" in problems(plan)["network"]


def test_all_problems_are_told_at_once(registry):
    tables = {"data": "array:path=missing.npy", "objective": "ddpm", "sample": {"grid": "knots"}}
    assert list(problems(resolve(registry, tables))) == ["objective", "sample.grid", "data"]


def test_examples_that_cannot_be_read_are_a_problem(registry, array):
    tables = array(2)
    x = np.load(tables["path"])
    x[3, 1] = np.nan
    np.save(tables["path"], x)
    for transforms in (["standardise"], []):
        plan = resolve(registry, {"data": tables | {"transforms": transforms}})
        facts, found = check(plan)
        assert facts is None
        assert [problem.where for problem in found] == ["data"]
        assert "row 3 (counted from 0) holds nan" in found[0].message


def test_facts(registry, array):
    plan = resolve(registry, {"data": array(3, 4, 5), "network": "mlp:width=7"})
    before = torch.get_rng_state()
    facts, found = check(plan)
    assert torch.equal(torch.get_rng_state(), before)
    assert found == []
    assert (facts.examples, facts.event_shape, facts.classes) == (20, (3, 4, 5), None)
    model = plan.model(DataSpec((3, 4, 5)))
    assert facts.parameters == sum(p.numel() for p in model.backbone.parameters())
    assert facts.terminal_log_snr == pytest.approx(float(VP().log_snr(torch.tensor(1.0, dtype=torch.float64))))


def test_the_distance_to_the_prior_is_that_of_gaussians(registry, array):
    """KL(N(alpha m, alpha^2 s^2 + sigma^2) || N(0, prior^2)), dimension by dimension."""
    for perturbation in ("vp:beta_max=2.0", "ve:sigma_max=5.0"):
        plan = resolve(registry, {"data": array(3) | {"transforms": []}, "perturbation": perturbation})
        x = plan.data.open("train").fetch(range(20)).x.double()
        p, one = plan.perturbation, torch.ones((), dtype=torch.float64)
        mean = p.alpha(one) * x.mean(0)
        variance = p.alpha(one) ** 2 * x.var(0, correction=0) + p.sigma(one) ** 2
        ours = torch.distributions.Normal(mean, variance.sqrt())
        prior = torch.distributions.Normal(torch.zeros(3, dtype=torch.float64), p.prior_std)
        expected = float(torch.distributions.kl_divergence(ours, prior).sum())
        assert check(plan)[0].prior_kl == pytest.approx(expected, rel=1e-6)
        assert expected > 0.01


class Rising(Examples):
    """Example i is the number i."""

    event_shape = (1,)

    def __init__(self, n):
        self.n, self.read = n, []

    def __len__(self):
        return self.n

    def fetch(self, index):
        self.read = list(index)
        return Batch(torch.tensor(self.read, dtype=torch.float32)[:, None], {})


def test_transforms_are_fitted_to_examples_from_everywhere(registry, array):
    plan = resolve(registry, {"data": array(1)})
    few, many = Rising(11), Rising(120_000)
    assert fit(plan, few).data.transforms[0].mean == pytest.approx((5.0,))
    assert few.read == list(range(11))
    assert fit(plan, many).data.transforms[0].mean == pytest.approx((60_000,), rel=1e-3)
    assert len(many.read) == len(set(many.read)) == 50_000
    assert plan.data.transforms[0].mean is None
    fitted = fit(plan, few)
    assert fit(fitted, many) == fitted
    plain = resolve(registry, {"data": "moons"})
    assert fit(plain, few) is plain


def test_what_the_network_knows_of_the_data(registry):
    plan = resolve(registry, {"data": "moons:n=50", "perturbation": "betas:steps=9"})
    examples = plan.data.open("train")
    assert spec_of(plan, examples) == DataSpec((2,), levels=9)
    told = dataclasses.replace(plan, train=dataclasses.replace(plan.train, labels=True))
    assert spec_of(told, examples) == DataSpec((2,), classes=2, levels=9)


def test_log_snr_at_the_end_is_that_of_the_table(registry):
    plan = resolve(registry, {"data": "moons:n=50", "perturbation": "betas:steps=1000,start=0.001,end=0.01"})
    bar = np.prod(1 - np.linspace(0.001, 0.01, 1000))
    assert check(plan)[0].terminal_log_snr == pytest.approx(log(bar / (1 - bar)), rel=1e-6)


def test_the_way_down_is_tried_with_a_network_that_says_nothing(registry, array):
    from fokker.component import component

    @component
    class Flow(VP):
        """alpha = 1 - t, sigma = t."""

        def alpha(self, t):
            return 1 - t

        def log_alpha(self, t):
            return (1 - t).log()

        def sigma(self, t):
            return t

    registry.perturbation("checked-flow", Flow)
    tables = {
        "data": array(2),
        "perturbation": "checked-flow",
        "objective": {"name": "denoising", "times_in": "uniform"},
        "sample": {"sampler": "ddim", "grid": "uniform"},
    }
    for parameterization, expected in (("v", []), ("eps", ["parameterization"])):
        _, problems = check(resolve(registry, {**tables, "parameterization": parameterization}))
        assert [p.where for p in problems] == expected
    assert (
        "x0 does not follow from eps where alpha = 0; take another parameterization, such as v" in problems[0].message
    )


def test_no_example_is_read_for_transforms_that_want_none(registry, array, monkeypatch):
    data = array(3)

    def fitted(*transforms):
        plan = resolve(registry, {"data": {**data, "transforms": list(transforms)}, "network": "mlp"})
        examples = plan.data.open("train")
        asked = []
        monkeypatch.setattr(
            examples, "fetch", lambda index: asked.append(index) or type(examples).fetch(examples, index)
        )
        return fit(plan, examples).chain.transforms, asked

    given = {"name": "standardise", "per": "all", "mean": [1.0], "std": [2.0]}
    for transforms in ((given,), (given, {"name": "range"})):
        chain, asked = fitted(*transforms)
        assert not asked and chain[0].mean == (1.0,)
    chain, asked = fitted(given, {"name": "standardise", "per": "all"})
    assert asked and chain[1].mean is not None
