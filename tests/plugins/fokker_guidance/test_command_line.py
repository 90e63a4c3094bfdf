"""What a user types: samples of a run, guided by its own held-out examples, by files, and by a function."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from fokker.cli.app import App
from fokker.cli.main import cli
from fokker.plugins.host import load_plugins


@pytest.fixture(scope="module")
def fokker():
    host = load_plugins()

    def call(*args):
        return CliRunner().invoke(cli, [str(a) for a in args], obj=App(loaded=host))

    return call


@pytest.fixture(scope="module")
def digits(fokker, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "digits"
    settings = ("--set", "network.channels=8", "--batch-size", 8)
    done = fokker("train", "demo", "--out", run, "--steps", 3, "--device", "cpu", "--quiet", *settings)
    assert done.exit_code == 0, done.stderr
    return run


def sample(fokker, run, out, guidance, *options):
    guided = [part for spec in guidance for part in ("--guidance", spec)]
    return fokker("sample", run, "--out", out, "-n", 3, "--steps", 6, "--json", "--force", *guided, *options)


def test_inpainting_keeps_the_known_half_of_held_out_digits(fokker, digits, tmp_path):
    out = tmp_path / "a.npy"
    done = sample(fokker, digits, out, ["inpaint:mask=left"])
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["nfe"] == 7
    from fokker import build

    held = build(load_plugins(), "data", "digits").open("test").fetch(range(3)).x.numpy()
    assert np.abs(np.load(out) - held)[..., :4].max() < 1e-3
    assert np.abs(np.load(out) - held)[..., 4:].max() > 0.1


def test_every_method_samples_by_its_name(fokker, digits, tmp_path):
    (tmp_path / "bright.py").write_text("def bright(x):\n    return 3 * x.flatten(1).mean(1)\n")
    np.save(tmp_path / "sums.npy", np.kron(np.eye(2), np.ones(32)))
    plain = tmp_path / "plain.npy"
    assert sample(fokker, digits, plain, []).exit_code == 0
    for spec in (
        "linear:operator=average-2,noise=0.0",
        f"linear:operator='{tmp_path}/sums.npy',values=[10.0,20.0],noise=1.0",
        "pigdm:operator=top,noise=0.1",
        f"pigdm:operator='{tmp_path}/sums.npy',values=[10.0,20.0],spread=full",
        "dps:operator=border,noise=0.5",
        f"posterior:likelihood='{tmp_path}/bright.py:bright'",
    ):
        done = sample(fokker, digits, tmp_path / "a.npy", [spec])
        assert done.exit_code == 0, (spec, done.stderr)
        assert not np.array_equal(np.load(tmp_path / "a.npy"), np.load(plain))


def test_an_unknown_region_is_one_line(fokker, digits, tmp_path):
    done = sample(fokker, digits, tmp_path / "a.npy", ["inpaint:mask=middle"])
    assert done.exit_code == 2
    assert "There is no region 'middle'; give a file of a mask, or one of left, right," in done.stderr
    assert "Traceback" not in done.stderr


def test_colours_need_channels(fokker, digits, tmp_path):
    done = sample(fokker, digits, tmp_path / "a.npy", ["colorize"])
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1].endswith(
        "A grey level is a mean of two channels at least; examples of shape (1, 8, 8) have one."
    )
