"""`fokker sample` from outside: the same samples in every format, at the price that was asked for."""

import json
import shutil

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors import safe_open

from fokker import config
from fokker.budget import steps_for
from fokker.cli.app import App
from fokker.cli.main import cli
from fokker.errors import ConfigError
from fokker.guidance import Guidance, GuidanceClaims
from fokker.perturbation import VP
from fokker.plugins import load_plugins


@pytest.fixture(scope="module")
def host():
    return load_plugins()


@pytest.fixture(scope="module")
def fokker(host):
    return lambda *args: CliRunner().invoke(cli, [str(a) for a in args], obj=App(loaded=host))


def trained(fokker, folder, shape, *more):
    rng = np.random.default_rng(0)
    np.savez(folder / "data.npz", x=rng.normal(2.0, 3.0, (30, *shape)).astype(np.float32), label=np.arange(30) % 3)
    data = f"array:path='{folder / 'data.npz'}',key=x,labels_key=label"
    sets = ["network.width=8", "network.depth=1", "train.ema=0.9", "train.checkpoint_every=4", "sample.steps=4"]
    words = [word for value in (*sets, *more) for word in ("--set", value)]
    options = ["--data", data, "--network", "mlp", "--steps", 8, "--batch-size", 5, "--device", "cpu"]
    done = fokker("train", *options, *words, "--out", folder / "run")
    assert done.exit_code == 0, done.stderr
    return folder / "run"


@pytest.fixture(scope="module")
def run(fokker, tmp_path_factory):
    return trained(fokker, tmp_path_factory.mktemp("plain"), (3,))


@pytest.fixture(scope="module")
def labelled(fokker, tmp_path_factory):
    return trained(fokker, tmp_path_factory.mktemp("labelled"), (2,), "train.labels=true")


@pytest.fixture(scope="module")
def on_levels(fokker, tmp_path_factory):
    table = ("perturbation=betas", "perturbation.steps=9", "label=index", "objective=ddpm", "sample.grid=knots")
    return trained(fokker, tmp_path_factory.mktemp("levels"), (2,), *table)


def read(path):
    """Samples and labels, whatever the format."""
    if path.is_dir():
        parts = sorted(path.glob("samples-*.npy")), sorted(path.glob("labels-*.npy"))
        return tuple(np.concatenate([np.load(f) for f in files]) if files else None for files in parts)
    if path.suffix == ".npy":
        return np.load(path), None
    if path.suffix == ".csv":
        table = np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)
        labels = table[:, -1] if "label" in path.read_text().splitlines()[0] else None
        return table[:, : -1 if labels is not None else None], labels
    if path.suffix == ".npz":
        found = np.load(path)
    else:
        with safe_open(path, "np") as file:
            found = {name: file.get_tensor(name) for name in file.keys()}
    return found["x"], found["label"] if "label" in found else None


FORMATS = ["a.npy", "a.npz", "a.safetensors", "a.csv", "shards/"]


def test_samples_are_the_same_in_every_format_and_company(fokker, run, labelled, tmp_path):
    for model, labels in ((run, None), (labelled, np.arange(7) % 3)):
        folder = tmp_path / model.parent.name
        folder.mkdir()
        assert fokker("sample", model, "--out", folder / "whole.npy", "-n", 7).exit_code == 0
        whole = np.load(folder / "whole.npy")
        assert np.isfinite(whole).all() and len(np.unique(whole, axis=0)) == 7
        for name in FORMATS:
            done = fokker("sample", model, "--out", f"{folder}/{name}", "-n", 7, "--batch-size", 3)
            assert done.exit_code == 0, done.stderr
            x, label = read(folder / name)
            np.testing.assert_allclose(x, whole, rtol=1e-5, atol=1e-5)
            if labels is not None and name != "a.npy":
                assert np.array_equal(label, labels)
            elif labels is not None:
                assert "An .npy file has no place for the labels" in done.stderr
            fokker("sample", model, "--out", f"{folder}/later-{name}", "-n", 2, "--first", 4)
            x, label = read(folder / f"later-{name}")
            np.testing.assert_allclose(x, whole[4:6], rtol=1e-5, atol=1e-5)
    done = fokker("sample", run, "--out", tmp_path / "other.npy", "-n", 7, "--seed", 1)
    assert not np.allclose(np.load(tmp_path / "other.npy"), np.load(tmp_path / run.parent.name / "whole.npy"))


def test_a_folder_is_continued_by_samples_of_the_same_making(fokker, run, tmp_path):
    out = tmp_path / "shards"
    assert fokker("sample", run, "--out", f"{out}/", "-n", 4).exit_code == 0
    assert fokker("sample", run, "--out", f"{out}/", "-n", 3, "--first", 4).exit_code == 0
    assert fokker("sample", run, "--out", tmp_path / "whole.npy", "-n", 7).exit_code == 0
    np.testing.assert_allclose(read(out)[0], np.load(tmp_path / "whole.npy"), rtol=1e-5, atol=1e-5)
    for other in (
        ("--seed", 1),
        ("--sampler", "ddpm"),
        ("--grid", "uniform"),
        ("--steps", 5),
        ("--init", "data"),
        ("--final", "none"),
        ("--checkpoint", 4),
        ("--raw-weights",),
    ):
        done = fokker("sample", run, "--out", f"{out}/", "-n", 2, "--first", 7, *other)
        assert done.exit_code == 1
        assert "holds samples of another making" in done.stderr


def test_a_start_is_a_word_or_a_point(fokker, run, tmp_path):
    def sampled(init):
        settings = ("--sampler", "langevin:step=1e-9,relative=false", "--steps", 1, "--final", "none")
        done = fokker("sample", run, "--out", tmp_path / "a.npy", "--force", "-n", 20, *settings, "--init", init)
        assert done.exit_code == 0, done.stderr
        return np.load(tmp_path / "a.npy")

    np.testing.assert_allclose(sampled("[1.5,-1.5,7]"), np.tile([1.5, -1.5, 7.0], (20, 1)), atol=1e-3)
    examples = np.load(run.parent / "data.npz")["x"]
    distances = np.linalg.norm(sampled("data")[:, None] - examples, axis=2)
    assert len(np.unique(distances.argmin(1))) > 5 and distances.min(1).max() < 1
    unit = sampled("uniform")
    assert unit.min() > -0.01 and unit.max() < 1.01
    assert not np.allclose(sampled("prior"), unit)


def test_a_start_that_there_is_not_is_refused_in_one_line(fokker, run, tmp_path):
    for init, message in (
        ("elsewhere", "sample.init must be one of prior, normal, uniform, data or a list of numbers, got 'elsewhere'."),
        ("[1.0]", "init is a point with 1 coordinates; the data has 3, of shape (3,)."),
    ):
        done = fokker("sample", run, "--out", tmp_path / "a.npy", "--init", init)
        assert (done.exit_code, done.stderr) == (2, f"Error: {message}\n")


def test_langevin_dynamics_asks_about_its_own_level_alone(fokker, on_levels, tmp_path):
    # a network that is told the level refuses a grid between levels, but not a sampler that stays at one of them
    way = ("--grid", "uniform", "--steps", 20, "-n", 3, "--json")
    refused = fokker("sample", on_levels, "--out", tmp_path / "a.npy", "--sampler", "ddim", *way)
    assert refused.exit_code != 0 and "level" in refused.stderr
    done = fokker("sample", on_levels, "--out", tmp_path / "a.npy", "--sampler", "langevin", *way)
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["nfe"] == 21


def test_json(fokker, run, tmp_path):
    done = fokker("sample", run, "--out", tmp_path / "a.npy", "-n", 5, "--sampler", "ddpm", "--seed", 3, "--json")
    found = json.loads(done.stdout)
    assert isinstance(found.pop("seconds"), float)
    assert found == {
        "out": str(tmp_path / "a.npy"),
        "n": 5,
        "nfe": 5,
        "sampler": "ddpm:variance=posterior",
        "seed": 3,
    }
    done = fokker("sample", run, "--out", tmp_path / "b.npy", "-n", 5)
    assert done.stdout.startswith(f"{tmp_path / 'b.npy'}: 5 samples, NFE 5, ")


PC = "pc:predictor=ancestral,corrector=langevin,corrections=2"


@pytest.mark.parametrize(
    ("sampler", "final", "nfe", "steps", "spent"),
    [
        ("ddim", "tweedie", 10, 9, 10),
        ("ddim", "none", 10, 10, 10),
        ("ddpm", "mean", 10, 10, 10),
        (PC, "tweedie", 15, 4, 15),  # 4 (1 + 2) + 2 + 1
        (PC, "tweedie", 17, 4, 15),
        (PC, "none", 17, 5, 17),
        ("pc:predictor=identity,corrector=annealed-langevin", "tweedie", 10, 8, 10),
        ("ode:method=rk4", "tweedie", 10, 2, 9),
        ("ode:method=midpoint", "none", 10, 5, 10),
        ("heun", "tweedie", 10, 4, 9),
        ("edm", "none", 10, 5, 10),
        ("restart", "tweedie", 30, 10, 29),  # 2 10 + 8 + 1
        ("restart:repeats=[2],steps=[1]", "none", 10, 3, 10),
    ],
)
def test_a_budget_is_spent_as_far_as_it_goes(fokker, host, run, tmp_path, sampler, final, nfe, steps, spent):
    assert steps_for(config.build(host, "sampler", sampler), sampler, nfe, final) == steps
    options = ("--sampler", sampler, "--final", final, "--nfe", nfe, "--json", "--device", "cpu")
    done = fokker("sample", run, "--out", tmp_path / "a.npy", "-n", 3, "--batch-size", 2, *options)
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["nfe"] == spent


def test_a_budget_that_means_nothing_is_refused(fokker, host, run, tmp_path):
    out = ("--out", tmp_path / "a.npy")
    done = fokker("sample", run, *out, "--sampler", "ode", "--nfe", 20)
    assert done.exit_code == 2
    assert done.stderr == (
        "Error: ode:method=dopri5,rtol=1e-05,atol=1e-05 chooses its own number of evaluations; set its tolerance "
        "instead of --nfe.\n"
    )
    done = fokker("sample", run, *out, "--nfe", 1)
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: --nfe 1 does not allow a single step of auto:data_std=")
    assert done.stderr.endswith(", which takes 1 evaluations a step and 1 at the end.\n")
    done = fokker("sample", run, *out, "--nfe", 10, "--steps", 3)
    assert done.exit_code == 2
    assert "say the same thing; give one of them" in done.stderr
    nothing = config.build(host, "sampler", "pc:predictor=identity,corrector=unchanged")
    with pytest.raises(ConfigError, match="does not allow a single step"):
        steps_for(nothing, "pc", 100, "none")
    assert not (tmp_path / "a.npy").exists()


class Repeated(Guidance):
    def __init__(self, evaluations):
        self.claims = GuidanceClaims(evaluations=evaluations)

    claims = None  # in place of the property

    def wrap(self, model):
        return model

    def __repr__(self):
        return "Repeated()"


def test_a_budget_pays_for_guidance(host):
    heun = config.build(host, "sampler", "ode:method=midpoint")  # two evaluations a step
    assert steps_for(heun, "ode", 21, "tweedie", []) == 10
    assert steps_for(heun, "ode", 21, "tweedie", [Repeated(2)]) == 4
    assert steps_for(heun, "ode", 26, "tweedie", [Repeated(2), Repeated(3)]) == 1
    with pytest.raises(ConfigError, match="does not allow a single step of ode with this guidance, which takes 4"):
        steps_for(heun, "ode", 5, "tweedie", [Repeated(2)])
    with pytest.raises(ConfigError, match=r"Repeated\(\) chooses its own number of evaluations; give --steps"):
        steps_for(heun, "ode", 21, "tweedie", [Repeated(None)])


def test_an_adaptive_solver_reports_what_it_spent(fokker, run, tmp_path):
    options = ("-n", 5, "--batch-size", 2, "--sampler", "ode:rtol=0.01,atol=0.01", "--json", "--device", "cpu")
    done = fokker("sample", run, "--out", tmp_path / "a.npy", *options)
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["nfe"] > 5


@pytest.mark.parametrize("sampler", ["adaptive-ode:rtol=0.01,atol=0.01", "adaptive-sde:rtol=0.2,atol=0.2"])
def test_steps_of_one_s_own_do_not_depend_on_the_batch(fokker, run, tmp_path, sampler):
    spent, ends = [], []
    for size in (1, 5):
        out = tmp_path / f"{size}.npy"
        options = ("-n", 5, "--batch-size", size, "--sampler", sampler, "--json", "--device", "cpu")
        done = fokker("sample", run, "--out", out, *options)
        assert done.exit_code == 0, done.stderr
        spent.append(json.loads(done.stdout)["nfe"])
        ends.append(np.load(out))
    assert spent[0] == pytest.approx(spent[1], rel=0.1) and spent[0] > 5
    np.testing.assert_allclose(ends[0], ends[1], atol=1e-3)
    done = fokker("sample", run, "--out", tmp_path / "no.npy", "--sampler", sampler, "--nfe", 20)
    assert done.exit_code == 2 and "chooses its own number of evaluations" in done.stderr


def test_the_source_of_random_numbers_has_a_name(fokker, run, tmp_path):
    options = ("sample", run, "-n", 3, "--seed", 5, "--sampler", "euler-maruyama")
    for name, more in (("usual.npy", ()), ("named.npy", ("--noise", "independent"))):
        done = fokker(*options, "--out", tmp_path / name, *more)
        assert done.exit_code == 0, done.stderr
    assert np.array_equal(read(tmp_path / "usual.npy")[0], read(tmp_path / "named.npy")[0])
    named = fokker(*options, "--out", tmp_path / "named.safetensors", "--noise", "independent")
    assert named.exit_code == 0, named.stderr
    with safe_open(tmp_path / "named.safetensors", "pt") as file:
        assert file.metadata()["noise"] == "independent"
    without = fokker(*options[:-1], "ddim", "--out", tmp_path / "ddim.npy", "--noise", "independent")
    assert without.exit_code == 0 and "draws nothing on its way: --noise independent decides where" in without.stderr
    refused = fokker(*options, "--out", tmp_path / "x.npy", "--noise", "independant")
    assert refused.exit_code == 2
    assert "No noise named 'independant'. Did you mean 'independent'?" in refused.stderr


def test_labels(fokker, run, labelled, tmp_path):
    fokker("sample", labelled, "--out", tmp_path / "a.npz", "-n", 4, "--label", 2)
    assert read(tmp_path / "a.npz")[1].tolist() == [2, 2, 2, 2]
    for model, label, message in (
        (labelled, 3, "--label must be in 0 to 2, got 3."),
        (run, 0, "This model was trained without labels, so --label has no meaning; leave it out, or train with "),
    ):
        done = fokker("sample", model, "--out", tmp_path / "b.npz", "--label", label)
        assert done.exit_code == 2
        assert done.stderr.startswith(f"Error: {message}") and done.stderr.count("\n") == 1
        assert not (tmp_path / "b.npz").exists()
    done = fokker("sample", labelled, "--out", tmp_path / "b.npz", "--label", "three")
    assert done.exit_code == 2 and "a label is a class, a whole number from 0 on, or none; got 'three'" in done.stderr


def test_a_trajectory_lies_beside_the_samples(fokker, run, tmp_path):
    done = fokker("sample", run, "--out", tmp_path / "a.npy", "-n", 7, "--trajectory=3", "--batch-size", 5)
    assert done.exit_code == 0, done.stderr
    assert sorted(f.name for f in tmp_path.iterdir()) == ["a-trajectory.npz", "a-trajectory.png", "a.npy"]
    found = np.load(tmp_path / "a-trajectory.npz")
    assert found["t"].shape == (3,)
    assert found["x"].shape == (3, 5, 3)
    assert (found["t"][0], found["t"][-1]) == (pytest.approx(1), 0)
    np.testing.assert_allclose(found["x"][-1], np.load(tmp_path / "a.npy")[:5], rtol=1e-5)
    done = fokker("sample", run, "--out", tmp_path / "a.npz", "-n", 7, "--trajectory")
    assert done.exit_code == 1
    assert "a-trajectory.npz is there already" in done.stderr
    assert not (tmp_path / "a.npz").exists()
    done = fokker("sample", run, "--out", tmp_path / "a.npz", "-n", 7, "--trajectory", "--force")
    assert done.exit_code == 0
    assert np.load(tmp_path / "a-trajectory.npz")["x"].shape == (6, 7, 3)  # four steps have no more states
    assert fokker("sample", run, "--out", f"{tmp_path}/shards/", "-n", 2, "--trajectory").exit_code == 0
    assert (tmp_path / "shards-trajectory.png").read_bytes().startswith(b"\x89PNG")


def test_checkpoints_and_weights(fokker, run, tmp_path):
    samples = {}
    for name, options in {
        "last": (),
        "same": ("--checkpoint", 8),
        "early": ("--checkpoint", "step-00000004"),
        "raw": ("--raw-weights",),
    }.items():
        assert fokker("sample", run, "--out", tmp_path / f"{name}.npy", "-n", 3, *options).exit_code == 0
        samples[name] = np.load(tmp_path / f"{name}.npy")
    assert np.array_equal(samples["last"], samples["same"])
    assert not np.allclose(samples["last"], samples["early"], rtol=1e-4)
    assert not np.allclose(samples["last"], samples["raw"], rtol=1e-4)
    done = fokker("sample", run, "--out", tmp_path / "a.npy", "--checkpoint", 5)
    assert (done.exit_code, done.stderr) == (1, f"Error: {run} has no checkpoint '5'; there are: 4, 8.\n")


def test_without_an_average_the_weights_are_sampled(fokker, tmp_path):
    run = trained(fokker, tmp_path, (2,), "train.ema=0.0")
    for name, options in (("a", ()), ("b", ("--raw-weights",))):
        assert fokker("sample", run, "--out", tmp_path / f"{name}.npy", "-n", 3, *options).exit_code == 0
    assert np.array_equal(np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy"))


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--sampler", "ddmi"), 2, "No sampler named 'ddmi'. Did you mean"),
        (("--sampler", "ddim:eta=2.0"), 2, "sampler.eta must be"),
        (("--grid", "knots"), 2, "The grid 'knots' needs a table"),
        (("--grid", "karras:rho=0.5"), 2, "grid.rho must be"),
        (("--guidance", "nothing"), 2, "No guidance named 'nothing'."),
        (("--device", "cuda:9"), 2, "There is no device 'cuda:9' here; use auto, "),
    ],
)
def test_what_cannot_be_sampled_is_one_line(fokker, run, tmp_path, options, code, message):
    done = fokker("sample", run, "--out", tmp_path / "a.npy", *options)
    assert done.exit_code == code
    assert done.stderr.startswith(f"Error: {message}")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "a.npy").exists()


def test_a_model_told_its_level_is_sampled_on_levels_alone(fokker, on_levels, tmp_path):
    assert fokker("sample", on_levels, "--out", tmp_path / "a.npy", "-n", 2).exit_code == 0
    assert fokker("sample", on_levels, "--out", tmp_path / "b.npy", "-n", 2, "--grid", "trailing").exit_code == 0
    done = fokker("sample", on_levels, "--out", tmp_path / "c.npy", "-n", 2, "--grid", "karras")
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1 and "level" in done.stderr
    done = fokker("sample", on_levels, "--out", tmp_path / "c.npy", "-n", 2, "--steps", 9)
    assert (done.exit_code, done.stderr) == (2, "Error: The grid 'knots' has at most 8 steps on this table, got 9.\n")
    assert not (tmp_path / "c.npy").exists()


def test_nothing_is_overwritten_unless_forced(fokker, run, tmp_path):
    (tmp_path / "a.npy").write_text("mine")
    done = fokker("sample", run, "--out", tmp_path / "a.npy", "-n", 2)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"Error: {tmp_path / 'a.npy'} is there already")
    assert (tmp_path / "a.npy").read_text() == "mine"
    assert fokker("sample", run, "--out", tmp_path / "a.npy", "-n", 2, "--force").exit_code == 0
    assert np.load(tmp_path / "a.npy").shape == (2, 3)
    done = fokker("sample", run, "--out", tmp_path / "a.xyz", "-n", 2)
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: Samples cannot be written as '.xyz'")


def test_a_picture_says_how_much_it_shows(fokker, labelled, tmp_path):
    done = fokker("sample", labelled, "--out", tmp_path / "a.png", "-n", 3, "--quiet")
    assert (done.exit_code, done.stderr) == (0, "")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_no_run_is_one_line(fokker, run, tmp_path):
    done = fokker("sample", tmp_path, "--out", tmp_path / "a.npy")
    assert done.exit_code == 1
    assert done.stderr.startswith(f"Error: {tmp_path} is not a run: there is no run.toml in it.")
    shutil.copytree(run, tmp_path / "copy", ignore=shutil.ignore_patterns("step-*", "latest"))
    done = fokker("sample", tmp_path / "copy", "--out", tmp_path / "a.npy")
    assert done.exit_code == 1
    assert done.stderr == f"Error: {tmp_path / 'copy'} has no checkpoint yet; let 'fokker train --resume' go on.\n"


def test_samples_that_are_not_finite_are_written_and_told(fokker, run, tmp_path, monkeypatch):
    from fokker.exact import Gaussian
    from fokker.run.folder import Run

    class Broken(Gaussian):
        def __call__(self, x, t, cond=None):
            q = super().__call__(x, t, cond)
            x0 = q.x0.clone()
            x0[1] = float("nan")
            return type(q)(x, q.alpha, q.sigma, x0=x0)

    monkeypatch.setattr(Run, "model", lambda self, **_: Broken(VP(), torch.zeros(3), torch.ones(3)))
    done = fokker("sample", run, "--out", tmp_path / "x.npy", "-n", 4)
    assert done.exit_code == 1
    assert "Error: 1 of 4 samples are not finite, the first is number 1; " in done.stderr
    assert np.isnan(np.load(tmp_path / "x.npy")).any(axis=1).tolist() == [False, True, False, False]


def test_graphs_are_refused_without_a_cuda_device(fokker, run, tmp_path):
    done = fokker("sample", run, "--out", tmp_path / "x.npy", "--device", "cpu", "--cuda-graphs")
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: --cuda-graphs needs a cuda device, and this is cpu")
    assert not (tmp_path / "x.npy").exists()


def test_a_compiled_network_is_the_one_that_is_sampled(fokker, run, tmp_path, monkeypatch):
    compiled = []

    def compile(module):
        compiled.append(module)
        return lambda *args: 2 * module(*args)

    monkeypatch.setattr(torch, "compile", compile)
    for name, more in (("plain", ()), ("compiled", ("--compile",))):
        done = fokker("sample", run, "--out", tmp_path / f"{name}.npy", "-n", 3, "--device", "cpu", *more)
        assert done.exit_code == 0, done.stderr
    assert len(compiled) == 1
    assert (tmp_path / "plain.npy").read_bytes() != (tmp_path / "compiled.npy").read_bytes()
