"""`fokker tune`, and `--tune` of `train` and `plan`, from outside."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from fokker.cli.app import App
from fokker.cli.main import cli
from fokker.plugins import load_plugins
from fokker.run.folder import open_run

DATA = "two-gaussians:n=500"
KEYS = {"sigma_data", "sigma_max", "sigma_min", "levels", "gamma", "steps_per_level", "step_size", "note"}


@pytest.fixture(scope="module")
def host():
    return load_plugins()


@pytest.fixture
def fokker(host):
    return lambda *args: CliRunner().invoke(cli, [str(a) for a in args], obj=App(loaded=host))


def test_json_and_words_say_the_same(fokker):
    done = fokker("tune", "--data", DATA, "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.keys() >= KEYS
    assert found["sigma_min"] == pytest.approx(found["sigma_data"] / 100)
    assert found["nfe"] == found["levels"] * found["steps_per_level"] + 1
    assert (found["examples"], found["dimensions"], found["sigma_max_exact"], found["sigma_max_error"]) == (
        500,
        2,
        True,
        0,
    )
    assert "gamma is capped at 2" in found["note"]
    assert "comparing examples" in done.stderr
    words = fokker("tune", "--data", DATA)
    printed = dict(line.split("#")[0].split(" = ") for line in words.stdout.splitlines()[:7])
    for name, text in printed.items():
        assert float(text) == pytest.approx(found[name.strip()], rel=1e-3)
    assert f"{found['nfe']} evaluations" in words.stdout
    assert found["note"] in words.stderr
    assert fokker("tune", "--data", DATA, "--quiet").stderr == ""


def test_updates_that_can_be_afforded(fokker):
    few, many = (json.loads(fokker("tune", "--data", DATA, "--json", "--steps-per-level", n).stdout) for n in (4, 60))
    assert (few["steps_per_level"], many["steps_per_level"]) == (4, 60)
    assert few["step_size"] > many["step_size"] and few["width_error"] > many["width_error"]


def test_data_by_recipe_file_and_single_values(fokker, tmp_path):
    (tmp_path / "plan.toml").write_text('[data]\nname = "two-gaussians"\nn = 300\ncentre = 4.0\n')
    ways = (
        ["two-gaussians-smld", "--set", "data.n=300", "--set", "data.centre=4.0", "--set", "data.transforms=[]"],
        [tmp_path / "plan.toml"],
        ["--data", "two-gaussians:n=300,centre=4.0"],
    )
    one, *others = (json.loads(fokker("tune", "--json", *way).stdout) for way in ways)
    assert all(other == one for other in others)
    assert one["sigma_data"] == pytest.approx(4, rel=0.01)


def test_few_of_many_dimensions(fokker, tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(3, 1, (300, 3, 8, 8)).astype(np.float32))
    done = fokker("tune", "--data", f"array:path='{tmp_path / 'x.npy'}',test_share=0.0,transforms=[]", "--json")
    found = json.loads(done.stdout)
    assert found["dimensions"] == 192 and 1 < found["gamma"] < 1.3
    assert found["coverage"] == pytest.approx(0.5, abs=0.05) and found["variance_ratio"] <= 1.06
    assert found["note"].startswith("The mean of the values, 3")


def test_what_cannot_be_tuned_is_one_line(fokker):
    for args, code in ((["--data", "two-gaussians:n=1"], 1), ([], 2), (["--data", "nothing"], 2)):
        done = fokker("tune", *args)
        assert done.exit_code == code
        assert done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1


def test_a_plan_says_what_is_tuned(fokker, tmp_path):
    done = fokker("plan", "--data", DATA, "--tune")
    assert done.exit_code == 0
    assert "Tuned: perturbation = sigmas\n" in done.stderr and "Tuned: sample.sampler.step = " in done.stderr
    (tmp_path / "plan.toml").write_text(done.stdout)
    again = fokker("plan", tmp_path / "plan.toml")
    assert again.stdout == done.stdout
    assert "Nothing is tuned" in fokker("plan", tmp_path / "plan.toml", "--tune").stderr
    found = json.loads(fokker("plan", "--data", DATA, "--tune", "--json").stdout)
    assert found["tuned"]["parameterization.sigma_data"] == found["plan"]["parameterization"]["sigma_data"]
    assert "tuned" not in json.loads(fokker("plan", "--data", DATA, "--json").stdout)


def test_a_tuned_run_is_plain_numbers_and_goes_on(fokker, host, tmp_path):
    small = ["--set", "network.width=8", "--set", "network.depth=1", "--batch-size", 8, "--device", "cpu"]
    done = fokker("train", "--data", DATA, "--tune", *small, "--steps", 2, "--out", tmp_path / "run")
    assert done.exit_code == 0, done.stderr
    plan = open_run(tmp_path / "run", host).plan
    assert f"Tuned: perturbation.maximum = {plan.perturbation.maximum:.6g}" in done.stderr
    assert fokker("train", "--out", tmp_path / "run", "--resume", "--steps", 3).exit_code == 0
    again = fokker("train", "--data", DATA, "--tune", *small, "--steps", 4, "--out", tmp_path / "run", "--resume")
    assert again.exit_code == 0, again.stderr
    assert open_run(tmp_path / "run", host).plan.perturbation == plan.perturbation
    drawn = fokker("sample", tmp_path / "run", "--out", tmp_path / "x.npy", "-n", 8, "--json")
    levels, sampler = plan.perturbation.levels, plan.sample.sampler
    assert json.loads(drawn.stdout)["nfe"] == levels * sampler.steps_per_level + 1


def test_a_tuned_file_goes_on_by_its_name(fokker, host, tmp_path):
    file = tmp_path / "plan.toml"
    data = '[data]\nname = "two-gaussians"\nn = 300\n'
    file.write_text(data + '[network]\nname = "mlp"\nwidth = 8\n[train]\nsteps = 2\nbatch_size = 8\n')
    assert fokker("train", file, "--tune", "--out", tmp_path / "run").exit_code == 0
    resumed = fokker("train", file, "--tune", "--steps", 3, "--out", tmp_path / "run", "--resume")
    assert resumed.exit_code == 0, resumed.stderr
    without = fokker("train", file, "--steps", 4, "--out", tmp_path / "run", "--resume")
    assert without.exit_code == 1 and "A resumed run keeps its plan" in without.stderr
