"""`fokker fisher` from outside."""

import json

import pytest
from click.testing import CliRunner

from fokker.cli.app import App
from fokker.cli.main import cli
from fokker.plugins import load_plugins


@pytest.fixture(scope="module")
def fokker():
    host = load_plugins()
    return lambda *args: CliRunner().invoke(cli, [str(a) for a in args], obj=App(loaded=host))


def trained(fokker, folder, data, *more):
    options = ["--data", data, "--network", "mlp:width=32,depth=1", "--batch-size", 64, "--device", "cpu", "--quiet"]
    done = fokker("train", *options, "--out", folder / "run", *more)
    assert done.exit_code == 0, done.stderr
    return folder / "run"


@pytest.fixture(scope="module")
def run(fokker, tmp_path_factory):
    return trained(fokker, tmp_path_factory.mktemp("roll"), "swiss-roll:n=600,transforms=[standardise]", "--steps", 40)


def result(done):
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def test_five_levels_of_an_sde_and_a_table_of_them(fokker, run):
    found = result(fokker("fisher", run, "--json"))
    assert (found["n"], found["seed"], len(found["levels"])) == (600, 0, 5)
    assert found["data"] == "swiss-roll:n=600,noise=1.0,seed=0, test"
    for level in found["levels"]:
        assert level["relative"] == pytest.approx(level["half"] / level["score"])
        assert level["matching"] == pytest.approx(level["half"] - level["score"])
    sigmas = [level["sigma"] for level in found["levels"]]
    assert sigmas == sorted(sigmas, reverse=True)
    # in the units of the model: at the largest noise the roll is nearly a Gaussian, which is learned in no time
    assert found["levels"][0]["relative"] < 0.2
    told = fokker("fisher", run)
    assert "F/C" in told.stdout.splitlines()[0] and "600 examples" in told.stdout


def test_the_numbers_depend_on_seed_and_times_and_n(fokker, run):
    def first(*options):
        return result(fokker("fisher", run, "--json", *options))["levels"][0]

    assert first("--t", 0.5) == first("--t", 0.5)
    assert first("--t", 0.5)["half"] != first("--t", 0.5, "--seed", 1)["half"]
    assert first("--t", 0.5)["half"] != first("--t", 0.5, "-n", 300)["half"]
    assert first("--t", 0.5, "--data", "swiss-roll:seed=1")["half"] != first("--t", 0.5)["half"]
    assert first("--t", 0.5)["t"] == 0.5


def test_data_without_a_law_is_refused(fokker, run):
    done = fokker("fisher", run, "--data", "moons")
    assert done.exit_code == 2
    assert "The law of moons:" in done.stderr and "is not known" in done.stderr
