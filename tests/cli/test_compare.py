"""`fokker compare` from outside: on a small run, and on laws whose score is known."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner
from PIL import Image

from fokker.cli.app import App
from fokker.cli.main import cli
from fokker.compare.measure import Comparison
from fokker.plugins import load_plugins

KEYS = {
    "sampler", "grid", "budget", "nfe", "n", "seconds", "seconds_per_sample", "network_share", "seed", "metrics",
    "missing", "floor", "floor_p95", "tie", "baseline", "refused",
}  # fmt: skip
SMALL = ("-n", 30, "--seeds", 2, "--latents", 5, "--device", "cpu")
LAW = ("--data", "two-gaussians:n=500", *SMALL, "--no-baseline", "--sampler", "ddim", "--nfe", "5")


@pytest.fixture(scope="module")
def fokker():
    host = load_plugins()
    return lambda *args: CliRunner().invoke(cli, [str(a) for a in args], obj=App(loaded=host))


def trained(fokker, folder, *more):
    options = ["--data", "two-gaussians:n=500,transforms=[standardise]", "--network", "mlp:width=16,depth=1"]
    sets = ["--set", "sample.steps=6", "--set", "train.ema=0.9", "--device", "cpu", "--quiet"]
    done = fokker("train", *options, "--steps", 20, "--batch-size", 32, *sets, *more, "--out", folder / "run")
    assert done.exit_code == 0, done.stderr
    return folder / "run"


@pytest.fixture(scope="module")
def run(fokker, tmp_path_factory):
    return trained(fokker, tmp_path_factory.mktemp("plain"), "--label", "log-snr")


@pytest.fixture(scope="module")
def labelled(fokker, tmp_path_factory):
    more = ("--set", "train.labels=true", "--set", "train.label_dropout=0.2", "--label", "log-snr")
    return trained(fokker, tmp_path_factory.mktemp("labelled"), *more)


@pytest.fixture(scope="module")
def told_levels(fokker, tmp_path_factory):
    more = ("--perturbation", "betas:steps=10,start=1e-2,end=0.5", "--label", "index", "--objective", "ddpm")
    return trained(fokker, tmp_path_factory.mktemp("levels"), *more)


def rows(done):
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def compared(fokker, *args):
    return rows(fokker("compare", *args, "--json", "--quiet", "--force"))


def test_a_run_is_compared_with_its_own_way_first(fokker, run, tmp_path):
    out = tmp_path / "c.json"
    found = compared(fokker, run, *SMALL, "--sampler", "ddim", "--sampler", "ddpm", "--nfe", "4,8", "--out", out)
    assert json.loads(out.read_text()) == found
    assert all(set(row) == KEYS for row in found)
    assert [(row["sampler"].split(":")[0], row["budget"], row["nfe"], row["seed"]) for row in found] == [
        (name, budget, nfe, seed)
        for name, budget, nfe in (
            ("auto", None, 7),
            ("ddim", 4, 4),
            ("ddim", 8, 8),
            ("ddpm", 4, 4),
            ("ddpm", 8, 8),
        )
        for seed in (0, 1)
    ]
    assert [row["baseline"] for row in found] == [True, True, *[False] * 8]
    for row in found:
        assert row["n"] == 30 and row["refused"] is None and row["seconds"] > 0 and 0 < row["network_share"] < 1
        assert {"energy-distance", "sliced-wasserstein"} <= set(row["metrics"]) <= set(row["floor"])
        assert ("convergence" in row["metrics"]) == (row["sampler"] != "ddpm")
        assert ("convergence" in row["missing"]) == (row["sampler"] == "ddpm")
        for name, value in row["metrics"].items():
            assert row["tie"][name] == (value <= row["floor_p95"][name])


def test_samples_are_those_of_fokker_sample(fokker, run, tmp_path):
    """What is measured of a cell is what the same options draw."""
    import numpy as np
    import torch

    from fokker_data.toy import TwoGaussians
    from fokker_metrics.sliced_wasserstein import SlicedWasserstein

    (row,) = compared(
        fokker, run, "-n", 40, "--seeds", 1, "--seed", 5, "--no-baseline", "--sampler", "ddpm", "--nfe", 6,
        "--metric", "sliced-wasserstein", "--device", "cpu", "--out", tmp_path / "c.json",
    )  # fmt: skip
    done = fokker("sample", run, "-n", 40, "--seed", 5, "--sampler", "ddpm", "--nfe", 6, "--out", tmp_path / "x.npy",
                  "--device", "cpu")  # fmt: skip
    assert done.exit_code == 0, done.stderr
    x = torch.from_numpy(np.load(tmp_path / "x.npy"))
    reference = TwoGaussians(n=500).open("test").fetch(range(500)).x
    assert row["metrics"]["sliced-wasserstein"] == pytest.approx(SlicedWasserstein()(x, reference), rel=1e-5)


def test_the_law_of_data_needs_no_run(fokker, tmp_path):
    found = compared(fokker, *LAW, "--perturbation", "ve", "--out", tmp_path / "c.json")
    assert len(found) == 2 and all(set(row["metrics"]) == {"energy-distance", "sliced-wasserstein", "convergence"}
                                   for row in found)  # fmt: skip
    assert found[0]["floor"]["convergence"] < 1e-6
    again = compared(fokker, *LAW, "--perturbation", "ve", "--out", tmp_path / "d.json", "--batch-size", 7)
    for one, other in zip(found, again, strict=True):
        assert one["metrics"] == pytest.approx(other["metrics"], rel=1e-6) and one["floor"] == other["floor"]
    vp = compared(fokker, *LAW, "--out", tmp_path / "e.json")
    assert vp[0]["metrics"] != found[0]["metrics"]


def test_the_law_takes_the_place_of_a_network(fokker, run, tmp_path):
    options = (*SMALL, "--sampler", "ddim", "--nfe", "20", "--out", tmp_path / "c.json", "--no-baseline")
    learned, exact = compared(fokker, run, *options), compared(fokker, run, *options, "--exact")
    assert exact[0]["metrics"]["energy-distance"] < learned[0]["metrics"]["energy-distance"]


def test_a_folder_gets_rows_a_table_and_a_picture(fokker, tmp_path):
    done = fokker("compare", *LAW, "--sampler", "ddpm", "--grid", "karras", "--grid", "knots", "--out", tmp_path / "f")
    assert done.exit_code == 0, done.stderr
    assert {p.name for p in (tmp_path / "f").iterdir()} == {"compare.json", "compare.md", "compare.png"}
    assert len(json.loads((tmp_path / "f/compare.json").read_text())) == 6
    with Image.open(tmp_path / "f/compare.png") as picture:
        assert picture.size[0] == 1100
    text = (tmp_path / "f/compare.md").read_text()
    assert "| 5 | `ddim` | `karras` |" in text and "needs a table" in text
    assert "real data" in done.stdout and "[1] The grid 'knots' needs a table" in done.stdout


def test_refusals_are_rows_with_reasons(fokker, told_levels, tmp_path):
    options = ("--sampler", "ddim", "--sampler", "ode:method=heun2", "--grid", "karras", "--grid", "knots")
    found = compared(fokker, told_levels, *SMALL, *options, "--nfe", "2,5,50", "--out", tmp_path / "c.json")
    reasons = {(row["sampler"], row["grid"], row["budget"]): row["refused"] for row in found if row["refused"]}
    assert "does not allow a single step" in reasons["ode:method=heun2", "knots", 2]
    assert "at most 9 steps" in reasons["ddim", "knots", 50]
    assert "between two of them" in reasons["ddim", "karras", 5]
    assert all(row["seed"] is None and not row["metrics"] for row in found if row["refused"])
    (first, _) = [row for row in found if (row["sampler"], row["grid"], row["budget"]) == ("ddim", "knots", 5)]
    assert "energy-distance" in first["metrics"] and "between two of them" in first["missing"]["convergence"]


def test_the_default_grid_of_a_table_is_its_levels(fokker, told_levels, tmp_path):
    found = compared(fokker, told_levels, *SMALL, "--sampler", "ddim", "--nfe", "5", "--out", tmp_path / "c.json")
    assert {row["grid"] for row in found if not row["baseline"]} == {"knots"}


def test_a_rule_between_levels_lets_any_grid_be_compared(fokker, told_levels, run, tmp_path):
    options = ("--sampler", "ddim", "--grid", "karras", "--nfe", "5", "--out", tmp_path / "c.json", "--no-baseline")
    found = [compared(fokker, told_levels, *SMALL, *options, "--between", rule)[0] for rule in ("round", "interpolate")]
    assert all(row["refused"] is None and "convergence" in row["metrics"] for row in found)
    assert found[0]["metrics"] != found[1]["metrics"]
    exact = fokker("compare", *LAW, "--between", "round", "--out", tmp_path / "d.json")
    assert exact.exit_code == 2 and "an exact law is known at all times" in exact.stderr


def test_nothing_but_refusals_is_a_failure(fokker, tmp_path):
    done = fokker("compare", *LAW, "--grid", "knots", "--out", tmp_path / "f")
    assert done.exit_code == 1 and "Nothing could be sampled. The grid 'knots' needs a table" in done.stderr
    assert not (tmp_path / "f/compare.png").exists() and (tmp_path / "f/compare.json").exists()


def test_a_class_is_compared_with_its_own_examples(fokker, labelled, tmp_path):
    options = (*SMALL, "--sampler", "ddim", "--nfe", "5", "--no-baseline", "--out", tmp_path / "c.json")
    values = {
        label: compared(fokker, labelled, *options, *label)[0]["floor"]["sliced-wasserstein"]
        for label in ((), ("--label", 1), ("--label", "none"))
    }
    assert values["--label", 1] < 0.5 * values[()]  # one mode, whose weight is no matter of chance
    assert values["--label", "none"] == values[()]


def test_guidance_multiplies_the_cost(fokker, labelled, tmp_path):
    options = (*SMALL, "--sampler", "ddim", "--nfe", "9", "--no-baseline", "--label", 0, "--out", tmp_path / "c.json")
    plain, guided = (
        compared(fokker, labelled, *options, *more) for more in ((), ("--guidance", "classifier-free:scale=2"))
    )
    assert (plain[0]["nfe"], guided[0]["nfe"]) == (9, 8)
    assert guided[0]["metrics"]["convergence"] != plain[0]["metrics"]["convergence"]


def test_the_end_is_chosen(fokker, tmp_path):
    values = [
        compared(fokker, *LAW, "--final", final, "--out", tmp_path / "c.json")[0]["metrics"]["convergence"]
        for final in ("tweedie", "none")
    ]
    assert values[0] != values[1]


def test_rows_that_were_written_survive_an_interruption(fokker, tmp_path, monkeypatch):
    real = Comparison._row
    seen = []

    def interrupted(self, cell, seed, on_step):
        seen.append(seed)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return real(self, cell, seed, on_step)

    monkeypatch.setattr(Comparison, "_row", interrupted)
    done = fokker("compare", *LAW, "--out", tmp_path / "f")
    assert done.exit_code == 130
    (row,) = json.loads((tmp_path / "f/compare.json").read_text())
    assert row["seed"] == 0 and (tmp_path / "f/compare.md").exists() and (tmp_path / "f/compare.png").exists()
    monkeypatch.setattr(Comparison, "_row", real)
    refused = fokker("compare", *LAW, "--out", tmp_path / "f")
    assert refused.exit_code == 1 and "is there already" in refused.stderr and "--force" in refused.stderr
    assert fokker("compare", *LAW, "--out", tmp_path / "f", "--force").exit_code == 0
    assert len(json.loads((tmp_path / "f/compare.json").read_text())) == 2


def test_a_terminated_process_leaves_whole_files(tmp_path):
    out = tmp_path / "f"
    command = [sys.executable, "-m", "fokker", "compare", *map(str, LAW), "--seeds", "100000", "--out", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env={**os.environ})
    deadline = time.monotonic() + 120
    while not (out / "compare.json").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    assert json.loads((out / "compare.json").read_text())
    assert sorted(p.name for p in out.iterdir()) == ["compare.json", "compare.md", "compare.png"]


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        ((), 2, "Give RUN, a trained model, or --data"),
        (("--data", "moons"), 2, "The law of Moons is not known"),
        (("--data", "ring", "--exact"), 2, "without RUN the law is exact anyway"),
        (("--data", "ring", "--label", "1"), 2, "knows no classes"),
        (("--data", "ring", "--nfe", "5,x"), 2, "between commas, such as 5,10,20; got '5,x'"),
        (("--data", "ring", "--nfe", "0"), 2, "at least 1"),
        (("--data", "ring", "--sampler", "ddimm"), 2, "Did you mean 'ddim'?"),
        (("--data", "ring", "--metric", "converge"), 2, "No metric named 'converge'"),
        (("none-there",), 1, "is not a run"),
    ],
)
def test_what_cannot_be_asked_is_one_line(fokker, tmp_path, args, code, message):
    done = fokker("compare", *args, "--out", tmp_path / "c.json")
    assert done.exit_code == code
    assert message in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "c.json").exists()


def test_the_perturbation_of_a_run_is_its_own(fokker, run, tmp_path):
    done = fokker("compare", run, "--perturbation", "ve", "--out", tmp_path / "c.json")
    assert done.exit_code == 2 and "a run has its own" in done.stderr


def test_another_kind_of_file_is_refused_before_any_work(fokker, tmp_path):
    done = fokker("compare", *LAW, "--out", tmp_path / "c.gif")
    assert done.exit_code == 2 and ".png, .json, .md" in done.stderr


def test_other_data_is_compared_with_in_its_own_units(fokker, run, tmp_path):
    options = (*SMALL, "--sampler", "ddim", "--nfe", "5", "--no-baseline", "--metric", "energy-distance")
    own, other = (
        compared(fokker, run, *options, *more, "--out", tmp_path / "c.json")[0]["metrics"]["energy-distance"]
        for more in ((), ("--data", "ring:n=500,radius=9"))
    )
    assert other > own
    done = fokker("compare", run, *options, "--data", "ring:transforms=[standardise]", "--out", tmp_path / "d.json")
    assert done.exit_code == 2 and "takes no transforms here" in done.stderr


def test_the_two_splits_are_told_apart(fokker, run, tmp_path):
    options = (*SMALL, "--sampler", "ddim", "--nfe", "5", "--no-baseline", "--metric", "energy-distance")
    test, train = (
        compared(fokker, run, *options, "--split", split, "--out", tmp_path / "c.json")[0]["metrics"]
        for split in ("test", "train")
    )
    assert test != train


def test_mixtures_of_a_file(fokker, shared, tmp_path):
    data = f"mixture:path='{shared / 'problems' / 'mixtures.safetensors'}',key=ring8"
    options = (
        "--perturbation",
        "ve:sigma_min=0.002,sigma_max=80",
        "--sampler",
        "ode",
        "--grid",
        "karras",
        "--no-baseline",
    )
    found = compared(fokker, "--data", data, *options, *SMALL, "--out", tmp_path / "c.json")
    assert all(row["metrics"]["convergence"] < 1e-3 for row in found)


def test_help_imports_no_torch():
    code = (
        "import sys; from click.testing import CliRunner; from fokker.cli.main import cli; "
        "done = CliRunner().invoke(cli, ['compare', '--help']); assert done.exit_code == 0, done.output; "
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
