"""The scripts run, on fokker alone and for a moment; what they measure is read by people."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def printed(script, *arguments):
    """What a script prints as JSON, run without other packages on its path."""
    command = [sys.executable, HERE / script, *map(str, arguments), "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_the_steps_of_every_family_are_measured():
    """fokker's own rows are there, in all three families."""
    found = printed("steps.py", "--rounds", 1, "--steps", 3)
    assert {row["shape"] for row in found["rows"]} == {"64x2", "64x1x28x28", "16x3x64x64"}
    names = {row["what"] for row in found["rows"]}
    assert {"fokker ddim", "fokker ddpm", "fokker euler-maruyama", "fokker pc", "2 operations", "3 operations"} <= names
    assert {row["family"] for row in found["rows"] if "ratio" in row} == {"one-step", "two-step", "stochastic"}


def test_noise_is_measured_beside_one_draw():
    """A row for each shape."""
    rows = printed("noise.py", "--rounds", 1)
    assert "10000x2" in {row["shape"] for row in rows}
    assert all(row["ratio"] > 0 for row in rows)


def test_the_start_is_measured_beside_that_of_click():
    """Ratios are to an interpreter that imports click."""
    rows = printed("startup.py", "--rounds", 1)
    assert rows["python -c 'import click'"]["ratio"] == 1
    assert rows["fokker --help"]["ms"] > 0


def test_quality_is_measured_on_the_three_problems():
    """A row for each of them at each budget; `auto` is nearer to the flow than what was recorded of others."""
    rows = printed("quality.py", "flow")["rows"]
    assert {(row["law"], row["nfe"]) for row in rows} == {
        (law, nfe) for law in ("mix2", "ring8", "gmm64") for nfe in (5, 10, 20, 50, 100)
    }
    assert all(row["auto"]["15"] < row["recorded"] for row in rows)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A U-Net after one step."""
    out = tmp_path_factory.mktemp("share") / "run"
    options = ["--network", "unet", "--data", "digits", "--steps", "1", "--batch-size", "4", "--device", "cpu"]
    sizes = [word for value in ("network.channels=8", "network.blocks=1") for word in ("--set", value)]
    command = [Path(sys.executable).with_name("fokker"), "train", *options, *sizes, "--out", out, "--quiet"]
    subprocess.run(command, check=True, capture_output=True)
    return out


def test_the_share_of_the_network_is_a_share(run):
    """The network is inside of what is measured around it."""
    found = printed("network_share.py", run, "-n", 4, "--steps", 3, "--rounds", 1)
    assert found["calls"] == 4  # three steps and the end
    assert 0 < found["network"] < found["generate"] < found["command"]
