"""Samples of a class, of all classes and of none, by models that know classes and by such that do not."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from fokker.cli.app import App
from fokker.cli.main import cli
from fokker.plugins import load_plugins


@pytest.fixture(scope="module")
def fokker():
    host = load_plugins()
    return lambda *args: CliRunner().invoke(cli, [str(a) for a in args], obj=App(loaded=host))


@pytest.fixture(scope="module")
def run(fokker, tmp_path_factory):
    """Runs by name, trained on two columns of numbers with three classes."""
    folder = tmp_path_factory.mktemp("classes")
    rng = np.random.default_rng(0)
    np.savez(folder / "data.npz", x=rng.normal(2.0, 3.0, (30, 2)).astype(np.float32), label=np.arange(30) % 3)
    common = ["train.ema=0", "train.warmup=0", "train.lr=0.05", "sample.steps=4"]
    small = ["network.width=8", "network.depth=1", "network.embedding_width=8"]
    kinds = {
        "plain": [*small, "train.labels=false"],
        "labelled": [*small, "train.labels=true"],
        "dropped": [*small, "train.labels=true", "train.label_dropout=0.3"],
    }
    kinds["classifier"] = [*small[:-1], "network.embedding_width=8", "train.labels=true", "objective=classifier"]
    for name, sets in kinds.items():
        words = [word for value in (*common, *sets) for word in ("--set", value)]
        data = f"array:path='{folder / 'data.npz'}',key=x,labels_key=label"
        options = [
            "--data",
            data,
            "--network",
            "mlp" if name != "classifier" else "mlp-classifier",
            "--steps",
            30,
            "--batch-size",
            5,
            "--device",
            "cpu",
        ]
        done = fokker("train", *options, *words, "--out", folder / name)
        assert done.exit_code == 0, done.stderr
    return lambda name: folder / name


def sampled(fokker, run, file, *options):
    done = fokker("sample", run, "--out", file, "-n", 6, "--force", "--json", *options)
    assert done.exit_code == 0, done.stderr
    with np.load(file) as found:
        return found["x"], found["label"].tolist(), json.loads(done.stdout)["nfe"]


def test_no_label_is_a_choice_of_its_own(fokker, run, tmp_path):
    free, labels, nfe = sampled(fokker, run("dropped"), tmp_path / "a.npz", "--label", "none")
    assert labels == [3] * 6  # one more than the last class
    assert nfe == 5
    told, labels, _ = sampled(fokker, run("dropped"), tmp_path / "a.npz")
    assert labels == [0, 1, 2, 0, 1, 2]
    assert not np.allclose(free, told)


def test_classifier_free_guidance_costs_two_evaluations(fokker, run, tmp_path):
    plain, _, _ = sampled(fokker, run("dropped"), tmp_path / "a.npz", "--label", 1)
    same, labels, nfe = sampled(
        fokker, run("dropped"), tmp_path / "a.npz", "--label", 1, "--guidance", "classifier-free:scale=1"
    )
    assert (labels, nfe) == ([1] * 6, 10)
    np.testing.assert_allclose(same, plain, rtol=1e-4, atol=1e-4)
    free, _, _ = sampled(fokker, run("dropped"), tmp_path / "a.npz", "--label", "none")
    same, _, _ = sampled(
        fokker, run("dropped"), tmp_path / "a.npz", "--label", 1, "--guidance", "classifier-free:scale=0"
    )
    np.testing.assert_allclose(same, free, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("plain", ["--label", "none"], "trained without labels, so --label has no meaning"),
        ("labelled", ["--label", "none"], "never shown an example without its label"),
        ("labelled", ["--label", "no"], "a whole number from 0 on, or none; got 'no'"),
        ("plain", ["--guidance", "classifier-free"], "needs a model that knows classes"),
        ("labelled", ["--guidance", "classifier-free"], "train one with train.label_dropout=0.1"),
    ],
)
def test_what_a_run_does_not_know_is_refused(fokker, run, tmp_path, name, options, message):
    done = fokker("sample", run(name), "--out", tmp_path / "a.npz", *options)
    assert done.exit_code == 2
    assert message in done.stderr
    assert not (tmp_path / "a.npz").exists()


def test_the_flow_can_be_that_of_no_label(fokker, run):
    found = []
    for label in ("none", "0"):
        done = fokker("likelihood", run("dropped"), "-n", 3, "--label", label, "--divergence", "exact", "--json")
        assert done.exit_code == 0, done.stderr
        found.append(json.loads(done.stdout)["nats"]["mean"])
    assert found[0] != found[1]


def test_a_classifier_steers_a_model_without_labels(fokker, run, tmp_path):
    plain = fokker("sample", run("plain"), "--out", tmp_path / "plain.npz", "-n", 6)
    assert plain.exit_code == 0, plain.stderr
    guidance = f"classifier:run='{run('classifier')}',scale="
    found = {}
    for scale in (0, 4):
        found[scale], labels, nfe = sampled(
            fokker, run("plain"), tmp_path / "a.npz", "--guidance", f"{guidance}{scale}"
        )
        assert (labels, nfe) == ([0, 1, 2, 0, 1, 2], 5)
    with np.load(tmp_path / "plain.npz") as unguided:
        np.testing.assert_allclose(found[0], unguided["x"], rtol=1e-4, atol=1e-4)
    assert not np.allclose(found[4], found[0], rtol=1e-3, atol=1e-3)
    _, labels, _ = sampled(
        fokker, run("plain"), tmp_path / "a.npz", "--label", 2, "--guidance", f"{guidance}2", "--batch-size", 4
    )
    assert labels == [2] * 6


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("classifier", [], "is a classifier, which has nothing to sample"),
        ("plain", ["--guidance", "classifier:run='{plain}'"], "is not a classifier; train one with the objective"),
        ("plain", ["--guidance", "classifier:run=nowhere"], "nowhere is not a run"),
        ("plain", ["--label", 3, "--guidance", "classifier:run='{classifier}'"], "--label must be in 0 to 2, got 3"),
        ("plain", ["--label", "none", "--guidance", "classifier:run='{classifier}'"], "leave out the guidance"),
    ],
)
def test_what_a_classifier_is_not_for_is_refused(fokker, run, tmp_path, name, options, message):
    words = [str(o).format(plain=run("plain"), classifier=run("classifier")) for o in options]
    done = fokker("sample", run(name), "--out", tmp_path / "a.npz", *words)
    assert done.exit_code in (1, 2)
    assert message in done.stderr
    assert done.stderr.count("\n") == 1 or "sampling" in done.stderr
    assert not (tmp_path / "a.npz").exists()
