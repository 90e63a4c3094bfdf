"""Every example once per epoch for any number of processes and workers; killed and resumed, the same weights."""

import os
import signal
import subprocess
import sys
import time

import pytest
import tomli_w
import torch
from click.testing import CliRunner
from made import N

from fokker.cli.app import App
from fokker.cli.main import cli
from fokker.plan import resolve
from fokker.run import checkpoint as checkpoints
from fokker.run.folder import open_run
from fokker.training.batches import Order, batches
from fokker.training.loop import resume, start

SOURCES = {
    "parquet": {"name": "hf", "path": "parquet", "array": "wave", "together": 2},
    "mapped": {"name": "hf", "path": "saved", "array": "wave", "streaming": False},
    "shards": {"name": "webdataset", "path": "shards", "array": "npy", "together": 2},
}


def spec(folder, which, **more):
    return {**SOURCES[which], "path": str(folder / SOURCES[which]["path"]), **more}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("world", [1, 2, 4])
@pytest.mark.parametrize("which", SOURCES)
def test_every_example_comes_once_per_epoch(source, folder, which, world, workers):
    fields = spec(folder, which, test_share=0.0)
    examples = source(fields.pop("name"), **fields).open()
    order = Order(len(examples), 8, 0, examples.blocks)
    steps, share = 2 * N // 8, 8 // world
    seen = [[] for _ in range(steps)]
    for rank in range(world):
        part = slice(rank * share, (rank + 1) * share)
        for step, batch in enumerate(batches(examples, order, 0, steps, part, workers)):
            seen[step] += batch.x[:, 0].int().tolist()
    for epoch in (seen[: steps // 2], seen[steps // 2 :]):
        assert sorted(i for step in epoch for i in step) == list(range(N))
    # and a step has the same examples however many share it
    assert seen == [examples.fetch(order.step(step)).x[:, 0].int().tolist() for step in range(steps)]


def test_a_step_mixes_row_groups_and_an_epoch_reads_each_once(source, folder, monkeypatch):
    from fokker_datasets.table import ParquetFiles

    read = []
    table = ParquetFiles._table
    monkeypatch.setattr(ParquetFiles, "_table", lambda self, block, c: read.append(block) or table(self, block, c))
    fields = spec(folder, "parquet", test_share=0.0)
    examples = source(fields.pop("name"), **fields).open()
    read.clear()
    list(batches(examples, Order(N, 8, 1, examples.blocks), 0, N // 8, slice(0, 8), 0))
    assert examples.blocks.sizes == (6, 6, 6, 6, 1, 6, 6, 3)
    # but for the one that stayed in memory from the opening
    assert len(set(read)) >= 7 and len(read) <= 8


def plan_of(host, folder, which, **train):
    settings = {"steps": 13, "batch_size": 8, "lr": 1e-2, "warmup": 0, "ema": 0.9, "device": "cpu"}
    settings |= {"log_every": 5, "checkpoint_every": 3, **train}
    network = {"name": "mlp", "width": 8, "depth": 1, "embedding_width": 8}
    return resolve(host.registry, {"data": spec(folder, which), "network": network, "train": settings})


def outcome(run):
    saved = checkpoints.load(checkpoints.latest(run / "checkpoints"))
    return saved, (run / "metrics.jsonl").read_bytes()


def assert_same(a, b):
    (one, lines), (other, others) = outcome(a), outcome(b)
    assert lines == others and one.state == other.state
    for group, tensors in one.tensors.items():
        for name, tensor in tensors.items():
            assert torch.equal(tensor, other.tensors[group][name]), (group, name)


@pytest.mark.parametrize(("which", "workers"), [("parquet", 2), ("shards", 0), ("mapped", 0)])
def test_killed_and_resumed_in_the_middle_of_an_epoch(host, folder, tmp_path, which, workers):
    """A real SIGKILL while it trains; weights, averages, optimizer and metrics are those of a run left alone."""
    plan = plan_of(host, folder, which, steps=1_000_000, decay="constant", workers=workers)
    start(host, plan, tmp_path / "parts")
    process = subprocess.Popen(
        [sys.executable, "-m", "fokker", "train", "--out", str(tmp_path / "parts"), "--resume", "--quiet"],
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        until = time.monotonic() + 100
        while checkpoints.latest(tmp_path / "parts" / "checkpoints") is None:
            assert process.poll() is None and time.monotonic() < until, process.communicate()[0].decode()
            time.sleep(0.01)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    reached = resume(host, tmp_path / "parts", {}).step
    steps = reached + 4
    assert (steps * 8) % len(plan.data.open()) and reached < 1_000_000
    for _ in resume(host, tmp_path / "parts", {"steps": steps}):
        pass
    for _ in start(host, plan_of(host, folder, which, steps=steps, decay="constant"), tmp_path / "whole"):
        pass
    assert_same(tmp_path / "parts", tmp_path / "whole")


def test_two_processes_are_one_training(host, folder, tmp_path):
    plan = plan_of(host, folder, "shards", steps=9, workers=1, label_dropout=0.0)
    for _ in start(host, plan, tmp_path / "one"):
        pass
    (tmp_path / "plan.toml").write_text(tomli_w.dumps(plan.table(host.registry)))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "fokker"]
    done = subprocess.run(
        [*launch, "train", str(tmp_path / "plan.toml"), "--out", str(tmp_path / "two"), "--quiet"],
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    one, two = (outcome(tmp_path / name)[0].tensors["weights"] for name in ("one", "two"))
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-3, atol=1e-4)


def test_the_command_line_plans_and_trains(host, folder, tmp_path):
    few = ["--steps", "2", "--batch-size", "4", "--device", "cpu", "--network", "mlp:width=8,depth=1"]
    for name, data in {
        "hf": f"hf:path='{folder / 'parquet'}',image=image,label=label",
        "pictures": f"hf:path='{folder / 'pictures'}',image=image",
        "shards": f"webdataset:path='{folder / 'shards'}/w-{{0..3}}.tar',image=png,label=cls",
    }.items():
        planned = CliRunner().invoke(cli, ["plan", "--data", data, *few], obj=App(loaded=host))
        assert planned.exit_code == 0 and "examples of shape 3 x 7 x 5" in planned.stdout
        run = ["train", "--data", data, *few, "--out", str(tmp_path / name)]
        done = CliRunner().invoke(cli, run, obj=App(loaded=host))
        assert done.exit_code == 0, done.stderr
        assert open_run(tmp_path / name, host).spec.event_shape == (3, 7, 5)
