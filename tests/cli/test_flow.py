"""`fokker likelihood`, `encode`, `decode` and `interpolate` from outside, on small runs."""

import csv
import json
import math
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from fokker.cli.app import App
from fokker.cli.flow import naming
from fokker.cli.main import cli
from fokker.errors import FokkerError
from fokker.integrate import IntegrationError
from fokker.plugins import load_plugins
from fokker.run.folder import open_run

SHAPE = (2, 3)


@pytest.fixture(scope="module")
def host():
    return load_plugins()


@pytest.fixture(scope="module")
def fokker(host):
    return lambda *args: CliRunner().invoke(cli, [str(a) for a in args], obj=App(loaded=host))


def trained(fokker, folder, *more):
    rng = np.random.default_rng(0)
    np.savez(folder / "data.npz", x=rng.normal(2.0, 3.0, (60, *SHAPE)).astype(np.float32), label=np.arange(60) % 3)
    data = f"array:path='{folder / 'data.npz'}',key=x,labels_key=label,test_share=0.4"
    sets = ["network.width=16", "network.depth=1", "train.ema=0.9", "label=log-snr"]
    words = [word for value in (*sets, *more) for word in ("--set", value)]
    options = ["--data", data, "--network", "mlp", "--steps", 30, "--batch-size", 16, "--device", "cpu"]
    done = fokker("train", *options, *words, "--out", folder / "run")
    assert done.exit_code == 0, done.stderr
    return folder / "run"


@pytest.fixture(scope="module")
def run(fokker, tmp_path_factory):
    return trained(fokker, tmp_path_factory.mktemp("plain"), "train.steps=300")


@pytest.fixture(scope="module")
def labelled(fokker, tmp_path_factory):
    return trained(fokker, tmp_path_factory.mktemp("labelled"), "train.labels=true")


def examples(run, first=0, n=None):
    """Those of the test split, as its source has them."""
    found = open_run(run, load_plugins()).plan.data.open("test")
    return found.fetch(range(first, len(found) if n is None else first + n)).x.numpy()


def result(done):
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def table(path):
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def test_likelihoods_of_the_test_split(fokker, run, tmp_path):
    found = result(fokker("likelihood", run, "--out", tmp_path / "l.csv", "--json"))
    rows = table(tmp_path / "l.csv")
    n = len(examples(run))
    assert found["n"] == n == len(rows["index"]) and rows["index"].tolist() == list(range(n))
    assert (found["divergence"], found["probes"], found["probe"]) == ("hutchinson", 2, "rademacher")
    np.testing.assert_allclose(rows["nats"], rows["prior"] + rows["divergence"] + rows["transforms"], rtol=1e-6)
    np.testing.assert_allclose(rows["bits_per_dim"], -rows["nats"] / (6 * math.log(2)), rtol=1e-6)
    for column, value in {
        "nats": found["nats"]["mean"],
        "bits_per_dim": found["bits_per_dim"]["mean"],
        "nfe": found["nfe"],
        **found["terms"],
    }.items():
        assert value == pytest.approx(rows[column].mean(), rel=1e-6), column
    assert found["nats"]["stderr"] == pytest.approx(rows["nats"].std(ddof=1) / n**0.5, rel=1e-6)
    assert found["probe_stderr"] == pytest.approx((rows["probe_stderr"] ** 2).sum() ** 0.5 / n, rel=1e-6)
    assert found["probe_stderr"] < found["nats"]["stderr"]


def test_the_density_is_one_of_the_data_s_own_units(fokker, run):
    """What a short training finds comes near the density of the law that the numbers were drawn from."""
    x = examples(run).reshape(-1, 6)
    normal = -((x - 2) ** 2).sum(1) / 18 - 6 * math.log(3 * math.sqrt(2 * math.pi))
    found = result(fokker("likelihood", run, "--divergence", "exact", "--json"))
    assert found["nats"]["mean"] == pytest.approx(normal.mean(), abs=2.5)
    assert found["terms"]["transforms"] == pytest.approx(-6 * math.log(3), abs=0.5)
    assert (found["probes"], found["probe"], found["probe_stderr"]) == (None, None, 0)


def test_an_example_does_not_depend_on_its_company(fokker, run, tmp_path):
    def rows(name, *options):
        done = fokker("likelihood", run, "--out", tmp_path / f"{name}.csv", "--seed", 3, *options)
        assert done.exit_code == 0, done.stderr
        return table(tmp_path / f"{name}.csv")

    whole = rows("whole")
    for name, options, part in (
        ("small", ("--batch-size", 5), slice(None)),
        ("later", ("--first", 4, "-n", 3), slice(4, 7)),
    ):
        found = rows(name, *options)
        for column in ("index", "nats", "divergence", "prior"):
            # a network's kernels round as the batch is cut, which moves steps and estimates within the tolerance
            np.testing.assert_allclose(found[column], whole[column][part], rtol=0, atol=2e-3)
    assert not np.allclose(rows("other", "--seed", 4)["divergence"], whole["divergence"], atol=1e-2)


def test_probes_of_two_laws_agree_with_the_exact_trace(fokker, run):
    exact = result(fokker("likelihood", run, "--divergence", "exact", "--json"))["nats"]["mean"]
    for law in ("rademacher", "gaussian"):
        found = result(fokker("likelihood", run, "--probe", law, "--probes", 8, "--json"))
        assert abs(found["nats"]["mean"] - exact) < 3 * found["probe_stderr"] + 1e-3


def test_words_for_people(fokker, run):
    done = fokker("likelihood", run, "-n", 3, "--probes", 1)
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[:5]] == ["mean", "prior", "divergence", "transforms", "log-likelihood"]
    assert lines[0].split() == ["mean", "of", "nats", "bits/dim"]
    assert "test: 3 examples, NFE" in lines[5] and len(lines) == 6  # of one probe nothing is known
    assert fokker("likelihood", run, "-n", 3, "--quiet").stderr == ""
    assert "come from the probes (2 rademacher)" in fokker("likelihood", run, "-n", 3).stdout
    assert result(fokker("likelihood", run, "-n", 1, "--probes", 1, "--json"))["nats"]["stderr"] is None


FORMATS = ["z.npy", "z.npz", "z.safetensors", "z.csv", "z/"]


@pytest.mark.parametrize("name", FORMATS)
def test_data_comes_back(fokker, run, labelled, tmp_path, name):
    for model in (run, labelled):
        folder = tmp_path / model.parent.name
        folder.mkdir()
        known = ["--label", 1] if model is labelled and name == "z.npy" else []
        z = f"{folder}/{name}"
        found = result(fokker("encode", model, "--out", z, "-n", 9, "--first", 2, "--json", *known))
        assert found.pop("seconds") > 0 and found.pop("nfe") > 10 and "array:" in found.pop("data")
        assert found == {"out": z, "n": 9, "seed": 0}
        done = fokker("decode", model, z, "--out", folder / "x.npy", *known)
        assert done.exit_code == 0, done.stderr
        np.testing.assert_allclose(np.load(folder / "x.npy"), examples(model, 2, 9), rtol=0, atol=5e-3)


def test_a_tighter_tolerance_comes_closer(fokker, run, tmp_path):
    off, nfe = [], []
    for tolerance in (1e-3, 1e-4, 3e-6):
        options = ("--rtol", tolerance, "--atol", tolerance, "--force")
        nfe.append(result(fokker("encode", run, "--out", tmp_path / "z.npy", "--json", *options))["nfe"])
        result(fokker("decode", run, tmp_path / "z.npy", "--out", tmp_path / "x.npy", "--json", *options))
        off.append(np.abs(np.load(tmp_path / "x.npy") - examples(run)).max())
    assert off[0] > off[1] > off[2] and nfe[0] < nfe[1] < nfe[2]


def test_latents_do_not_depend_on_their_company(fokker, run, tmp_path):
    for name, options in {"a": (), "b": ("--batch-size", 4), "c": ("-n", 3, "--first", 5)}.items():
        assert fokker("encode", run, "--out", tmp_path / f"{name}.npy", *options).exit_code == 0
    a, b, c = (np.load(tmp_path / f"{name}.npy") for name in "abc")
    np.testing.assert_allclose(b, a, rtol=0, atol=1e-4)
    np.testing.assert_allclose(c, a[5:8], rtol=0, atol=1e-4)


def test_labels_go_with_the_latents(fokker, labelled, tmp_path):
    result(fokker("encode", labelled, "--out", tmp_path / "z.npz", "-n", 6, "--json"))
    with np.load(tmp_path / "z.npz") as found:
        labels = found["label"]
    done = fokker("decode", labelled, tmp_path / "z.npz", "--out", tmp_path / "x.npz")
    assert done.exit_code == 0, done.stderr
    assert np.load(tmp_path / "x.npz")["label"].tolist() == labels.tolist()
    fokker("decode", labelled, tmp_path / "z.npz", "--out", tmp_path / "y.npz", "--label", 2)
    assert np.load(tmp_path / "y.npz")["label"].tolist() == [2] * 6
    other = labels != 2
    assert np.abs(np.load(tmp_path / "y.npz")["x"] - np.load(tmp_path / "x.npz")["x"])[other].max() > 1e-3
    done = fokker("encode", labelled, "--out", tmp_path / "z.npy", "-n", 6)
    assert "An .npy file has no place for the labels" in done.stderr
    done = fokker("decode", labelled, tmp_path / "z.npy", "--out", tmp_path / "w.npy")
    assert (done.exit_code, done.stderr) == (
        2,
        f"Error: The model was trained with labels, and {tmp_path / 'z.npy'} holds none: give --label.\n",
    )


def test_temperature_scales_latents(fokker, run, tmp_path):
    z = np.random.default_rng(1).normal(size=(4, *SHAPE)).astype(np.float32)
    np.save(tmp_path / "z.npy", z)
    np.save(tmp_path / "half.npy", z / 2)
    found = result(
        fokker("decode", run, tmp_path / "z.npy", "--out", tmp_path / "a.npy", "--temperature", 0.5, "--json")
    )
    assert found.pop("seconds") > 0 and found.pop("nfe") > 10
    assert found == {"out": str(tmp_path / "a.npy"), "n": 4, "temperature": 0.5}
    fokker("decode", run, tmp_path / "half.npy", "--out", tmp_path / "b.npy")
    np.testing.assert_allclose(np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy"), rtol=1e-5)


def test_a_way_between_two_examples(fokker, run, tmp_path):
    out = tmp_path / "way.npy"
    found = result(fokker("interpolate", run, "--examples", 3, 7, "--frames", 5, "--out", out, "--json"))
    assert found.pop("seconds") > 0 and found.pop("nfe") > 10 and 0 < found.pop("angle") < math.pi
    assert found == {"out": str(out), "frames": 5, "seed": 0}
    way, x = np.load(out), examples(run)
    assert way.shape == (5, *SHAPE)
    np.testing.assert_allclose(way[0], x[3], atol=5e-3)
    np.testing.assert_allclose(way[-1], x[7], atol=5e-3)
    fokker("interpolate", run, "--examples", 3, 7, "--frames", 5, "--out", tmp_path / "cut.npy", "--batch-size", 2)
    np.testing.assert_allclose(np.load(tmp_path / "cut.npy"), way, atol=1e-3)
    done = fokker("interpolate", run, "--examples", 3, 7, "--out", tmp_path / "way.png")
    assert "9 frames between examples 3 and 7, " in done.stdout
    assert (tmp_path / "way.png").read_bytes().startswith(b"\x89PNG")


def test_a_way_between_two_samples_ends_at_those_samples(fokker, run, tmp_path):
    seed = ("--seed", 5)
    assert fokker("interpolate", run, "--samples", 1, 4, "--out", tmp_path / "way.npy", *seed).exit_code == 0
    tight = "ode:rtol=1e-06,atol=1e-06"
    fokker("sample", run, "--out", tmp_path / "x.npy", "-n", 5, "--sampler", tight, "--final", "none", *seed)
    way, x = np.load(tmp_path / "way.npy"), np.load(tmp_path / "x.npy")
    np.testing.assert_allclose(way[[0, -1]], x[[1, 4]], atol=5e-3)


def test_one_class_along_the_way(fokker, labelled, tmp_path):
    out = tmp_path / "way.npz"
    done = fokker("interpolate", labelled, "--samples", 0, 1, "--out", out)
    assert (done.exit_code, done.stderr) == (
        2,
        "Error: The two have classes 0 and 1: give --label, the class of the whole way.\n",
    )
    assert fokker("interpolate", labelled, "--samples", 0, 3, "--out", out).exit_code == 0
    assert np.load(out)["label"].tolist() == [0] * 9
    options = ("--label", 2, "--out", out, "--force")
    assert fokker("interpolate", labelled, "--examples", 0, 1, *options).exit_code == 0
    found = np.load(out)
    assert found["label"].tolist() == [2] * 9
    np.testing.assert_allclose(found["x"][[0, -1]], examples(labelled)[:2], atol=5e-3)


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        (("likelihood", "--out", "a.txt"), 2, "Likelihoods are written as .csv, got a.txt."),
        (("likelihood", "-n", 99), 1, "There are {n} examples; 0 to 98 were asked for."),
        (("likelihood", "--first", 99), 1, "There are {n} examples; the first one that is asked for is 99."),
        (("likelihood", "--data", "moons"), 2, "The model was made for examples of shape (2, 3); this data has (2,)."),
        (("likelihood", "--data", "moons:transforms=[]"), 2, "--data takes no transforms here: those that are stored"),
        (("likelihood", "--data", "mons"), 2, "No data named 'mons'. Did you mean 'moons'?"),
        (("likelihood", "--rtol", "1e-9"), 2, "rtol must be at least 1.2e-06, the rounding of float32, and below 1;"),
        (("likelihood", "--label", 1), 2, "This model was trained without labels, so --label has no meaning;"),
        (("encode", "--out", "z.png"), 2, "A picture of latents cannot be decoded: end --out in .npy, .npz, "),
        (("encode", "--out", "z.xyz"), 2, "Samples cannot be written as '.xyz'"),
        (("encode", "--out", "{run}/run.toml/z.npy"), 1, "{run}/run.toml/z.npy cannot be written"),
        (("encode", "--out", "z.npy", "--checkpoint", 5), 1, "{run} has no checkpoint '5'; there are: 300."),
        (("decode", "none.npy", "--out", "x.npy"), 1, "none.npy cannot be read: No such file or directory."),
        (("decode", "{run}/run.toml", "--out", "x.npy"), 2, "{run}/run.toml cannot be read as '.toml': give an .npy"),
        (("decode", "{data}", "--out", "x.npy", "--device", "cuda:9"), 2, "There is no device 'cuda:9' here;"),
        (("interpolate", "--examples", 0, 99, "--out", "x.npy"), 1, "There are {n} examples; the first one that"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_one_line(fokker, run, tmp_path, monkeypatch, command, code, message):
    monkeypatch.chdir(tmp_path)
    names = {"run": run, "data": run.parent / "data.npz", "n": len(examples(run))}
    first, *rest = (str(word).format(**names) for word in command)
    done = fokker(first, run, *rest)
    assert done.stderr.startswith(f"Error: {message.format(**names)}"), done.stderr
    assert done.exit_code == code
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("likelihood", "--divergence", "exact", "--probes", 2), "--probes and --probe have no meaning"),
        (("likelihood", "--divergence", "exact", "--probe", "gaussian"), "--probes and --probe have no meaning"),
        (("interpolate", "--out", "x.npy"), "Give --examples I J, or --samples I J."),
        (("interpolate", "--out", "x.npy", "--examples", 0, 1, "--samples", 0, 1), "Give --examples I J, or --samples"),
        (
            ("interpolate", "--out", "x.npy", "--samples", 0, 1, "--split", "train"),
            "--data and --split have no meaning",
        ),
        (("decode", "z.npy", "--out", "x.npy", "--temperature", -1), "Invalid value for '--temperature'"),
    ],
    ids=str,
)
def test_options_that_mean_nothing_are_wrong_usage(fokker, run, command, message):
    first, *rest = command
    done = fokker(first, run, *rest)
    assert done.exit_code == 2 and message in done.stderr


def test_nothing_is_overwritten_unless_forced(fokker, run, tmp_path):
    np.save(tmp_path / "z.npy", np.zeros((1, *SHAPE), np.float32))
    for command in (
        ("likelihood", run, "-n", 2, "--out", tmp_path / "a.csv"),
        ("encode", run, "-n", 2, "--out", tmp_path / "a.npy"),
        ("decode", run, tmp_path / "z.npy", "--out", tmp_path / "b.npy"),
        ("interpolate", run, "--samples", 0, 1, "--out", tmp_path / "c.npy"),
    ):
        out = command[-1]
        out.write_text("mine")
        done = fokker(*command)
        assert done.exit_code == 1 and done.stderr.startswith(f"Error: {out} is there already")
        assert out.read_text() == "mine"
        assert fokker(*command, "--force").exit_code == 0
        assert out.read_bytes() != b"mine"


def test_an_example_that_cannot_be_followed_is_named():
    with pytest.raises(FokkerError, match=r"^Example 7 needs too many steps$"), naming(5, "Example"):
        raise IntegrationError(2, "needs too many steps")


@pytest.mark.parametrize("shape", [(1,), (1, 3, 2, 2)])
def test_numbers_and_volumes(fokker, tmp_path, shape):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(30, *shape)).astype(np.float32))
    sets = [word for value in ("network.width=16", "network.depth=1", "label=log-snr") for word in ("--set", value)]
    data, run = f"array:path='{tmp_path / 'x.npy'}'", tmp_path / "run"
    done = fokker("train", "--data", data, "--network", "mlp", "--steps", 5, "--device", "cpu", *sets, "--out", run)
    assert done.exit_code == 0, done.stderr
    assert result(fokker("likelihood", run, "--split", "train", "-n", 3, "--json"))["n"] == 3
    for name in ("way.png", "way.npy"):
        done = fokker("interpolate", run, "--split", "train", "--examples", 0, 1, "--out", tmp_path / name)
        assert done.exit_code == 0, done.stderr
    assert np.load(tmp_path / "way.npy").shape == (9, *shape)


def test_checkpoints_and_weights(fokker, run, tmp_path):
    found = [
        result(fokker("likelihood", run, "-n", 5, "--json", *options))["nats"]["mean"]
        for options in ((), ("--checkpoint", 300), ("--raw-weights",))
    ]
    assert found[0] == found[1] != found[2]


def test_another_source_and_the_other_split(fokker, run, tmp_path):
    shutil.copy(run.parent / "data.npz", tmp_path / "copy.npz")
    spec = f"array:path='{tmp_path / 'copy.npz'}',key=x,labels_key=label,test_share=0.4"
    means = [
        result(fokker("likelihood", run, "-n", 5, "--json", *options))["nats"]["mean"]
        for options in ((), ("--data", spec), ("--split", "train"))
    ]
    assert means[0] == means[1] != means[2]


def test_a_network_that_knows_levels_only_has_no_flow(fokker, tmp_path):
    run = trained(
        fokker,
        tmp_path,
        "perturbation=betas",
        "perturbation.steps=9",
        "label=index",
        "objective=ddpm",
        "sample.grid=knots",
        "sample.steps=5",
    )
    done = fokker("likelihood", run)
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: The probability flow passes all times, and this network is told the level")
    assert done.stderr.count("\n") == 1
    # with a rule for what lies between it has one, and latents lead back
    rule = ("--between", "interpolate")
    found = [
        result(fokker("likelihood", run, "-n", 5, "--json", "--between", each)) for each in ("interpolate", "round")
    ]
    assert all(math.isfinite(each["nats"]["mean"]) for each in found)
    assert found[0]["nats"]["mean"] != found[1]["nats"]["mean"]
    assert fokker("encode", run, "--out", tmp_path / "z.npz", "-n", 4, *rule).exit_code == 0
    assert fokker("decode", run, tmp_path / "z.npz", "--out", tmp_path / "x.npy", *rule).exit_code == 0
    np.testing.assert_allclose(np.load(tmp_path / "x.npy"), examples(run, 0, 4), rtol=0, atol=3e-2)
    assert fokker("interpolate", run, "--samples", 0, 1, "--out", tmp_path / "w.npy", *rule).exit_code == 0


def test_what_networks_of_all_times_are_told_between_levels_has_no_meaning(fokker, run):
    done = fokker("likelihood", run, "--between", "round")
    assert done.exit_code == 2 and done.stderr.startswith("Error: --between is for networks that are told the level")


@pytest.mark.parametrize("perturbation", ["betas", "sigmas:levels=20", "ve", "sub-vp", "cosine"])
def test_every_perturbation_has_a_flow(fokker, tmp_path, perturbation):
    run = trained(fokker, tmp_path, f"perturbation='{perturbation}'")
    assert fokker("encode", run, "--out", tmp_path / "z.npy", "-n", 4).exit_code == 0
    assert fokker("decode", run, tmp_path / "z.npy", "--out", tmp_path / "x.npy").exit_code == 0
    np.testing.assert_allclose(np.load(tmp_path / "x.npy"), examples(run, 0, 4), rtol=0, atol=3e-2)
    assert math.isfinite(result(fokker("likelihood", run, "-n", 4, "--json"))["nats"]["mean"])
