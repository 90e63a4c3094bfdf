"""`fokker tune RUN --grid` from outside, and the grid that it stores."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from fokker.cli.app import App
from fokker.cli.main import cli
from fokker.plugins import load_plugins
from fokker.run.grids import FILE

TUNE = ("--grid", "-n", 8, "--device", "cpu", "--quiet")


@pytest.fixture(scope="module")
def fokker():
    host = load_plugins()
    return lambda *args: CliRunner().invoke(cli, [str(a) for a in args], obj=App(loaded=host))


def trained(fokker, folder, *more):
    options = ["--data", "two-gaussians:n=500,transforms=[standardise]", "--network", "mlp:width=16,depth=1"]
    sets = ["--set", "train.ema=0.9", "--device", "cpu", "--quiet"]
    done = fokker("train", *options, "--steps", 60, "--batch-size", 64, *sets, *more, "--out", folder / "run")
    assert done.exit_code == 0, done.stderr
    return folder / "run"


@pytest.fixture
def run(fokker, tmp_path):
    return trained(fokker, tmp_path, "--label", "log-snr")


def tuned(fokker, *args):
    done = fokker("tune", *args, *TUNE, "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def test_grids_are_stored_and_used_by_name(fokker, run, tmp_path):
    five, eight = tuned(fokker, run, "--nfe", "8,5")
    assert (five["nfe"], eight["nfe"]) == (5, 8)
    assert (five["steps"], len(five["noise"])) == (4, 4)
    assert five["distance"] <= five["start"]
    assert json.loads((run / FILE).read_text())["grids"] == [five, eight]
    done = fokker("sample", run, "--grid", "optimized", "--nfe", 5, "-n", 4, "--out", tmp_path / "a.npy", "--json")
    assert json.loads(done.stdout)["nfe"] == 5
    assert json.loads(done.stdout)["sampler"] == five["sampler"]
    levels = "[" + ",".join(map(repr, five["noise"])) + "]"
    again = ("--sampler", "auto", "--grid", f"optimized:noise={levels}", "--nfe", 5, "-n", 4)
    assert fokker("sample", run, *again, "--out", tmp_path / "b.npy").exit_code == 0
    assert np.array_equal(np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy"))
    out = tmp_path / "c.json"
    ways = ("--sampler", "auto", "--sampler", "ddim", "--grid", "optimized", "--nfe", "5,6", "--no-baseline")
    rows = fokker("compare", run, *ways, "-n", 20, "--seeds", 1, "--latents", 4, "--out", out, "--json", "--quiet")
    auto, missing, other, _ = json.loads(rows.stdout)
    assert auto["refused"] is None and auto["metrics"]["convergence"] > 0
    assert "in 5 steps" in missing["refused"] and "no tuned grid for ddim" in other["refused"]


def test_the_same_seed_gives_the_same_and_words_say_what_json_says(fokker, run):
    (one,), (again,), (other,) = (tuned(fokker, run, "--nfe", 5, "--seed", seed) for seed in (0, 0, 1))
    assert one == again
    assert one["start"] != other["start"]
    words = fokker("tune", run, "--nfe", 5, *TUNE).stdout
    assert f"NFE 5: distance {one['start']:.4g} " in words
    assert "evaluations of the network; sample with --grid optimized --nfe 5" in words


def test_a_grid_for_another_sampler_lies_beside(fokker, run, tmp_path):
    tuned(fokker, run, "--nfe", 5)
    (found,) = tuned(fokker, run, "--nfe", 5, "--sampler", "ddim")
    assert found["sampler"] == "ddim:eta=0.0"
    assert len(json.loads((run / FILE).read_text())["grids"]) == 2
    way = ("--sampler", "ddim", "--grid", "optimized", "--nfe", 5, "-n", 4)
    assert fokker("sample", run, *way, "--out", tmp_path / "a.npy").exit_code == 0


def test_a_new_training_leaves_no_grid_behind(fokker, run):
    tuned(fokker, run, "--nfe", 5)
    trained(fokker, run.parent, "--label", "log-snr", "--force")
    assert not (run / FILE).exists()


def test_classes_go_to_their_own_ends(fokker, tmp_path):
    run = trained(fokker, tmp_path, "--label", "log-snr", "--set", "train.labels=true")
    (found,) = tuned(fokker, run, "--nfe", 5)
    assert found["distance"] <= found["start"]


def test_refusals_say_what_to_do(fokker, run, tmp_path):
    levels = (
        "--set",
        "sample.steps=6",
        "--perturbation",
        "betas:steps=10,start=1e-2,end=0.5",
        "--label",
        "index",
        "--objective",
        "ddpm",
    )
    table = trained(fokker, tmp_path / "table", *levels)
    for args, text in (
        ((run, "--nfe", 5), "add it"),
        ((run,), "is a trained run"),
        ((*TUNE,), "--grid goes with RUN"),
        ((run, *TUNE, "--data", "ring"), "--grid goes with RUN"),
        ((tmp_path, *TUNE), "is not a run"),
        ((run, *TUNE, "--nfe", 1), "does not allow a single step"),
        ((run, *TUNE, "--sampler", "ddpm"), "has no best grid: it draws noise"),
        ((table, *TUNE), "between the levels of a table"),
    ):
        done = fokker("tune", *args)
        assert done.exit_code, args
        assert text in " ".join(done.stderr.split()), (args, done.stderr)
    done = fokker("sample", run, "--grid", "optimized", "--nfe", 5, "--out", tmp_path / "a.npy")
    assert "has no tuned grid for auto" in done.stderr and "--grid --nfe N" in done.stderr
