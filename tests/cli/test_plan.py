"""`fokker plan`: what it prints is a plan, and what is wrong with it is said."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from fokker.cli.app import App
from fokker.cli.main import cli
from fokker.plan import resolve
from fokker.plugins import load_plugins


@pytest.fixture(scope="module")
def host():
    return load_plugins()


@pytest.fixture
def fokker(host):
    return lambda *args: CliRunner().invoke(cli, [str(a) for a in args], obj=App(loaded=host))


@pytest.fixture
def data(tmp_path):
    np.savez(tmp_path / "data.npz", x=np.random.default_rng(0).normal(size=(20, 1, 4)), label=np.arange(20) % 3)
    return f"array:path='{tmp_path / 'data.npz'}',key=x,labels_key=label,test_share=0.0"


def test_what_is_printed_is_the_plan(fokker, host, data, tmp_path):
    options = ["--data", data, "--perturbation", "sigmas:levels=9", "--label", "index", "--steps", 77, "--lr", "2e-3"]
    options += ["--batch-size", 5, "--seed", -3, "--device", "cuda:1", "--precision", "bf16", "--compile"]
    options += ["--set", "train.labels=true", "--set", "sample.steps=4", "--set", "network.channels=8"]
    printed = fokker("plan", *options, "--objective", "denoising", "--parameterization", "score")
    assert printed.exit_code == 2  # levels alone have the label 'index', and 'denoising' trains between them
    assert printed.stderr.count("\n") == 1 and printed.stderr.startswith("Problem in label: ")
    (tmp_path / "plan.toml").write_text(printed.stdout)
    plan = resolve(host.registry, tmp_path / "plan.toml")
    train = plan.train
    assert (train.steps, train.lr, train.batch_size, train.seed) == (77, 2e-3, 5, -3)
    assert (train.device, train.precision, train.compile, train.labels) == ("cuda:1", "bf16", True, True)
    assert (plan.sample.steps, plan.network.channels) == (4, 8)
    again = fokker("plan", tmp_path / "plan.toml")
    assert again.stdout == printed.stdout
    assert again.stdout.splitlines()[-2].startswith("# 20 examples of shape 1 x 4, 3 classes; ")
    assert again.stdout.splitlines()[-1].startswith("# log-SNR at t = 1: ")


def test_json(fokker, data, host):
    done = fokker("plan", "--data", data, "--json")
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert found.keys() == {"plan", "facts", "problems"}
    assert found["problems"] == []
    assert found["facts"].keys() == {
        "examples",
        "event_shape",
        "classes",
        "notes",
        "parameters",
        "terminal_log_snr",
        "prior_kl",
        "first_time",
        "start_kl",
    }
    assert resolve(host.registry, found["plan"]).table(host.registry) == found["plan"]
    done = fokker("plan", "--data", "array:path=missing.npy", "--objective", "ddpm", "--json")
    assert done.exit_code == 2
    found = json.loads(done.stdout)
    assert found["facts"] is None
    assert [problem.keys() for problem in found["problems"]] == [{"where", "message"}] * 2
    assert [problem["where"] for problem in found["problems"]] == ["objective", "data"]
    assert found["plan"]["data"]["path"] == "missing.npy"


def test_every_problem_is_a_line(fokker):
    done = fokker("plan", "--data", "array:path=missing.npy", "--objective", "ddpm")
    assert done.exit_code == 2
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["Problem in objective", "Problem in data"]
    assert 'name = "ddpm"' in done.stdout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "Error: A plan needs data: name a recipe, or give --data; 'fokker list data' shows what there is.\n"),
        (("dmeo",), "Error: No recipe named 'dmeo'. Did you mean 'demo'"),
        (("--data", "moons", "--network", "mpl"), "Error: No network named 'mpl'. Did you mean 'mlp'?"),
        (("--data", "moons", "--set", "train.stpes=3"), "Error: train has no field 'stpes'. Did you mean 'steps'?"),
        (("--data", "moons", "--set", "tarin.steps=3"), "Error: plan has no field 'tarin'. Did you mean 'train'?"),
        (("--data", "moons", "--steps", "0"), "Error: train.steps must be"),
        (("--data", "moons", "--lr", "nan"), "Error: train.lr must be"),
        (("--data", "moons("), "Error: "),
        (("missing.toml",), "Error: There is no file missing.toml"),
    ],
)
def test_what_is_no_plan_is_one_line(fokker, args, message):
    done = fokker("plan", *args)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1
