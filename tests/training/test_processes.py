"""Two processes train what one does, and only the first one writes."""

import os
import subprocess
import sys

import pytest
import tomli_w
import torch

from fokker.run import checkpoint as checkpoints
from fokker.training.loop import start


@pytest.mark.parametrize(
    "what",
    [{}, {"parameterization": "energy", "objective": "sliced:weighting=sigma2"}],
    ids=["first derivatives", "second derivatives"],
)
def test_two_processes_are_one_training(what, host, make_plan, metrics, tmp_path):
    settings = {"steps": 9, "accumulate": 2, "clip": 1.0, "workers": 1, "preview_every": 6, "checkpoint_every": 5}
    plan = make_plan(network="plain", **settings, **what)
    list(start(host, plan, tmp_path / "one"))
    (tmp_path / "plan.toml").write_text(tomli_w.dumps(plan.table(host.registry)))
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "fokker",
        "train",
    ]
    done = subprocess.run(
        [*launch, str(tmp_path / "plan.toml"), "--out", str(tmp_path / "two")],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'two'}\n"
    assert done.stderr.count("training 100%") == 1

    one, two = metrics(tmp_path / "one"), metrics(tmp_path / "two")
    assert [line["step"] for line in two] == [5, 9]
    for a, b in zip(one, two, strict=True):
        assert a == pytest.approx(b, rel=1e-4)
    folders = [checkpoints.load(checkpoints.latest(tmp_path / name / "checkpoints")) for name in ("one", "two")]
    for group in ("weights", "ema", "optimizer"):
        a, b = (folder.tensors[group] for folder in folders)
        assert a.keys() == b.keys()
        for name in a:
            torch.testing.assert_close(b[name], a[name], rtol=1e-3, atol=1e-4)
    files = [sorted(f.relative_to(tmp_path / name) for f in (tmp_path / name).rglob("*")) for name in ("one", "two")]
    assert files[0] == files[1]
    assert len((tmp_path / "two" / "timings.jsonl").read_text().splitlines()) == 2
