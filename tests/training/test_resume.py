"""Resume is the same run: bit for bit on one machine's CPU."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from fokker.errors import ConfigError, RunError
from fokker.run import checkpoint as checkpoints
from fokker.run.folder import open_run
from fokker.training.loop import resume, start


class Stop(Exception):
    pass


def stop_at(training, step):
    """Train up to a step, then let an exception come out of the iterator."""
    steps = iter(training)
    for state in steps:
        if state.step == step:
            with contextlib.suppress(Stop):
                steps.throw(Stop())
            return
    raise AssertionError(f"there is no step {step}")


def train(training):
    return [state.step for state in training]


WIDE = {"decay": "cosine", "warmup": 3, "clip": 0.5}
DEEP = {
    "network": "batch-norm",
    "shape": (2, 5, 6),
    "labels": 3,
    "label_dropout": 0.3,
    "optimizer": "adamw",
    "accumulate": 2,
}


@pytest.mark.parametrize(
    ("settings", "precision", "workers"),
    [
        (WIDE, "fp32", 0),
        (WIDE, "fp32", 2),
        (WIDE, "bf16", 0),
        (WIDE, "bf16", 2),
        (DEEP, "fp32", 0),
        (DEEP, "bf16", 2),
    ],
)
def test_an_interrupted_run_is_the_same_run(host, make_plan, outcome, tmp_path, precision, workers, settings):
    plan = make_plan(steps=13, precision=precision, workers=workers, **settings)
    assert train(start(host, plan, tmp_path / "whole")) == list(range(1, 14))
    # step 7 is none of the steps that are logged or saved, and its examples come from two epochs
    assert 50 % 8 and 6 * 8 < 50 < 7 * 8
    stop_at(start(host, plan, tmp_path / "parts"), 7)
    torch.manual_seed(7)  # nothing may depend on what the process did before
    stop_at(resume(host, tmp_path / "parts", {}), 11)
    assert train(resume(host, tmp_path / "parts", {})) == list(range(9, 14))
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")


def test_previews_do_not_change_the_run(host, make_plan, outcome, tmp_path):
    for ema in (0.9, 0.0):
        settings = {"network": "batch-norm", "shape": (1, 4, 4), "ema": ema, "steps": 7}
        train(start(host, make_plan(**settings), tmp_path / f"without-{ema}"))
        train(start(host, make_plan(preview_every=2, **settings), tmp_path / f"with-{ema}"))
        assert outcome(tmp_path / f"with-{ema}") == outcome(tmp_path / f"without-{ema}")
        assert not (tmp_path / f"without-{ema}" / "previews").exists()
        pictures = sorted(f.name for f in (tmp_path / f"with-{ema}" / "previews").iterdir())
        assert pictures == [f"step-{step:08d}.png" for step in (0, 2, 4, 6)]


def test_a_run_without_a_checkpoint_begins_again(host, make_plan, outcome, tmp_path):
    train(start(host, make_plan(), tmp_path / "whole"))
    stop_at(start(host, make_plan(), tmp_path / "parts"), 3)
    training = resume(host, tmp_path / "parts", {})
    assert training.step == 0
    assert train(training) == list(range(1, 11))
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")


def test_iterating_again_goes_on_from_the_checkpoint(host, make_plan, outcome, tmp_path):
    train(start(host, make_plan(), tmp_path / "whole"))
    training = start(host, make_plan(), tmp_path / "parts")
    stop_at(training, 6)
    assert train(training) == list(range(5, 11))
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")
    assert train(training) == []


def test_a_line_that_was_cut_off_is_forgotten(host, make_plan, outcome, tmp_path):
    plan = make_plan(log_every=3)
    train(start(host, plan, tmp_path / "whole"))
    stop_at(start(host, plan, tmp_path / "parts"), 6)
    for name in ("metrics.jsonl", "timings.jsonl"):
        with (tmp_path / "parts" / name).open("a") as file:
            file.write('{"step": 9, "lo')
    train(resume(host, tmp_path / "parts", {}))
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")
    assert len((tmp_path / "parts" / "timings.jsonl").read_text().splitlines()) == 4


def test_a_checkpoint_that_never_became_the_latest_is_taken_again(host, make_plan, outcome, tmp_path):
    train(start(host, make_plan(), tmp_path / "whole"))
    stop_at(start(host, make_plan(), tmp_path / "parts"), 9)
    (tmp_path / "parts" / "checkpoints" / "latest").write_text("step-00000004\n")
    assert train(resume(host, tmp_path / "parts", {})) == list(range(5, 11))
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")


def test_more_steps_are_the_longer_run(host, make_plan, outcome, tmp_path):
    train(start(host, make_plan(steps=20), tmp_path / "whole"))
    train(start(host, make_plan(steps=10), tmp_path / "parts"))
    assert train(resume(host, tmp_path / "parts", {"steps": 20})) == list(range(11, 21))
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")
    assert open_run(tmp_path / "parts", host).plan == open_run(tmp_path / "whole", host).plan


def test_what_would_make_it_another_run_is_refused(host, make_plan, tmp_path):
    path = tmp_path / "run"
    train(start(host, make_plan(), path))
    before = (path / "run.toml").read_bytes()
    with pytest.raises(RunError, match=r"train.lr is 0.01 and cannot become 0.02. What may change: .*steps"):
        resume(host, path, {"lr": 0.02})
    with pytest.raises(RunError, match=r"has taken 10 steps already; train\.steps cannot become 9"):
        resume(host, path, {"steps": 9})
    with pytest.raises(ConfigError, match=r"TrainSettings\.log_every"):
        resume(host, path, {"log_every": 0})
    assert (path / "run.toml").read_bytes() == before
    make_plan(n=51)
    with pytest.raises(RunError, match="was trained on 50 examples, the data has 51 now"):
        train(resume(host, path, {"steps": 20}))
    make_plan(shape=(4,))
    with pytest.raises(RunError, match=r"examples of shape \(3,\), now \(4,\)"):
        resume(host, path, {})


def test_what_may_change_changes_no_step(host, make_plan, outcome, tmp_path):
    train(start(host, make_plan(), tmp_path / "whole"))
    stop_at(start(host, make_plan(), tmp_path / "parts"), 6)
    changes = {"workers": 1, "checkpoint_every": 3, "keep": 1, "preview_every": 5, "preview_n": 1}
    train(resume(host, tmp_path / "parts", changes))
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")
    assert checkpoints.steps_saved(tmp_path / "parts" / "checkpoints") == [10]
    assert open_run(tmp_path / "parts", host).plan.train.workers == 1


def test_a_killed_process_is_the_same_run(host, make_plan, outcome, tmp_path):
    """A real SIGKILL, at any instant: while examples are read, a step is taken, or something is written."""
    settings = {"network": "mlp", "workers": 2, "checkpoint_every": 3, "log_every": 7}
    plan = make_plan(steps=1_000_000, **settings)
    start(host, plan, tmp_path / "parts")
    process = subprocess.Popen(
        [sys.executable, "-m", "fokker", "train", "--out", str(tmp_path / "parts"), "--resume"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    metrics = tmp_path / "parts" / "metrics.jsonl"
    until = time.monotonic() + 300
    while not metrics.exists() or len(metrics.read_bytes().splitlines()) < 3:
        assert process.poll() is None and time.monotonic() < until, process.communicate()[0].decode()
        time.sleep(0.01)
    time.sleep(np.random.default_rng().uniform(0, 0.05))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    reached = resume(host, tmp_path / "parts", {}).step
    assert 21 <= reached + 3
    steps = 7 * (reached // 7 + 2)
    assert train(resume(host, tmp_path / "parts", {"steps": steps})) == list(range(reached + 1, steps + 1))
    train(start(host, make_plan(steps=steps, **settings), tmp_path / "whole"))
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")
