"""What a training writes and tells, and how it ends where it must not go on."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from fokker import events
from fokker.component import component
from fokker.errors import ConfigError, RunError, TrainingError
from fokker.objective import Denoising, Objective
from fokker.run import checkpoint as checkpoints
from fokker.training.batches import Order
from fokker.training.loop import resume, start


def test_the_run_folder(host, make_plan, metrics, tmp_path):
    plan = make_plan(steps=12, log_every=5, checkpoint_every=4, keep=2, preview_every=8)
    states = list(start(host, plan, tmp_path / "run"))
    assert sorted(f.name for f in (tmp_path / "run").iterdir()) == [
        "checkpoints",
        "metrics.jsonl",
        "previews",
        "run.toml",
        "timings.jsonl",
    ]
    assert checkpoints.steps_saved(tmp_path / "run" / "checkpoints") == [8, 12]
    assert [line["step"] for line in metrics(tmp_path / "run")] == [5, 10, 12]
    notes = {state.step: state.note for state in states if state.note}
    assert notes == {4: "checkpoint", 8: "preview", 12: "checkpoint"}
    assert [state.step for state in states] == list(range(1, 13))
    assert all(state.examples_per_second > 0 for state in states)
    rates = [json.loads(line) for line in (tmp_path / "run" / "timings.jsonl").read_text().splitlines()]
    assert [line["step"] for line in rates] == [5, 10, 12]
    assert [line["examples_per_second"] for line in rates] == [states[k].examples_per_second for k in (4, 9, 11)]


def test_metrics_are_means_since_the_line_before(host, make_plan, metrics, tmp_path):
    settings = {"steps": 6, "decay": "cosine", "batch_size": 10}
    list(start(host, make_plan(log_every=1, **settings), tmp_path / "each"))
    list(start(host, make_plan(log_every=4, **settings), tmp_path / "some"))
    each, some = metrics(tmp_path / "each"), metrics(tmp_path / "some")
    assert [line["step"] for line in some] == [4, 6]
    assert [line["epoch"] for line in some] == [0.8, 1.2]
    for line, part in zip(some, (each[:4], each[4:]), strict=True):
        assert line.keys() == {"step", "epoch", "loss", "loss_per_dim", "grad_norm", "lr"}
        for name in ("loss", "grad_norm"):
            assert line[name] == pytest.approx(np.mean([e[name] for e in part]), rel=1e-12)
        assert line["loss_per_dim"] == pytest.approx(line["loss"] / 3)
        assert line["lr"] == part[-1]["lr"]
    assert each[0]["lr"] == pytest.approx(0.01)
    assert each[3]["lr"] == pytest.approx(0.01 * (1 + math.cos(math.pi / 2)) / 2)


def test_listeners_hear_of_everything_in_order(host_with, make_plan, metrics, tmp_path):
    heard = []
    host = host_with(fokker_events=lambda event: heard.append(event))
    path = tmp_path / "run"
    list(start(host, make_plan(steps=6, log_every=3, checkpoint_every=4, preview_every=5), path))
    assert heard == [
        events.TrainingStarted(path, 6),
        events.PreviewDrawn(path, 0, path / "previews" / "step-00000000.png"),
        events.StepLogged(path, 3, metrics(path)[0]),
        events.CheckpointSaved(path, 4, path / "checkpoints" / "step-00000004"),
        events.PreviewDrawn(path, 5, path / "previews" / "step-00000005.png"),
        events.StepLogged(path, 6, metrics(path)[1]),
        events.CheckpointSaved(path, 6, path / "checkpoints" / "step-00000006"),
        events.TrainingFinished(path, 6),
    ]
    assert all(event.path.exists() for event in heard if hasattr(event, "path"))


SEEN = []
"""Examples and times that `Bad` was given, one pair a step."""


@component
class Bad(Objective):
    """Denoising, whose loss or gradient is not finite at a step's earliest time, from the sixth step on."""

    where: str = "loss"

    def times(self, perturbation, u):
        return Denoising().times(perturbation, u)

    def loss(self, model, x0, t, noise, cond=None):
        loss = Denoising().loss(model, x0, t, noise, cond)
        SEEN.append((x0, t, loss.detach()))
        if len(SEEN) <= 5:
            return loss
        bad = t == t.min()
        if self.where == "loss":
            return torch.where(bad, math.nan, loss)
        return loss + torch.where(bad, (loss * 0).sqrt(), 0)  # adds 0, whose derivative is 0 / 0


@pytest.fixture
def bad(host_with):
    SEEN.clear()
    return host_with(fokker_register=lambda registry: registry.objective("bad", Bad))


@pytest.mark.parametrize(("where", "blamed"), [("loss", "at"), ("gradient", "largest loss at")])
@pytest.mark.parametrize("every", [2, 100])
def test_what_is_not_finite_stops_the_run(bad, make_plan, metrics, tmp_path, where, blamed, every):
    plan = make_plan(network="plain", log_every=1, checkpoint_every=every)
    training = start(bad, dataclasses.replace(plan, objective=Bad(where=where)), tmp_path / "run")
    with pytest.raises(TrainingError) as caught:
        list(training)
    x0, times, losses = SEEN[-1]
    j = int(times.argmin()) if where == "loss" else int(losses.argmax())
    example = Order(50, 8, 0).step(5)[j]
    data = training.examples.fetch(range(50)).x
    torch.testing.assert_close(x0[j], ((data - data.mean(0)) / data.std(0, correction=0))[example])
    saved = "the last good checkpoint is step-00000004" if every == 2 else "there is no checkpoint yet"
    assert str(caught.value) == (
        f"The {where} of step 6 is not finite ({blamed} t = {float(times[j]):.4g}, example {example}); the update was "
        f"not applied and {saved}. Lower train.lr or train.clip, or look at that example."
    )
    assert len(SEEN) == 6
    assert training.step == 5
    assert [line["step"] for line in metrics(tmp_path / "run")] == [1, 2, 3, 4, 5]
    place = checkpoints.latest(tmp_path / "run" / "checkpoints")
    if every == 2:
        assert all(
            bool(t.isfinite().all()) for group in checkpoints.load(place).tensors.values() for t in group.values()
        )
    else:
        assert place is None


def test_weights_that_have_run_away_stop_the_run(host, make_plan, tmp_path):
    with pytest.raises(TrainingError, match=r"of step \d is not finite .* Lower train\.lr"):
        list(start(host, make_plan(lr=1e30, steps=9, checkpoint_every=1), tmp_path / "run"))
    place = checkpoints.latest(tmp_path / "run" / "checkpoints")
    assert checkpoints.load(place).state["step"] == checkpoints.step_of(place) >= 1


def test_nothing_is_written_of_a_plan_with_a_problem(host, make_plan, tmp_path):
    for settings, message in (
        ({"objective": "ddpm"}, "objective: The objective 'ddpm' trains on the levels of a table"),
        ({"device": "qpu"}, "There is no device 'qpu' here"),
        ({"precision": "fp16"}, "needs a cuda device"),
    ):
        with pytest.raises(ConfigError, match=message):
            start(host, make_plan(**settings), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_plan_with_a_problem_costs_no_existing_run(host, make_plan, tmp_path):
    list(start(host, make_plan(), tmp_path / "run"))
    before = {f: f.read_bytes() for f in (tmp_path / "run").rglob("*") if f.is_file()}
    for settings in ({"objective": "ddpm"}, {"device": "qpu"}):
        with pytest.raises(ConfigError):
            start(host, make_plan(**settings), tmp_path / "run", force=True)
    with pytest.raises(RunError, match="already holds a run; go on with --resume, replace it with --force"):
        start(host, make_plan(), tmp_path / "run")
    assert {f: f.read_bytes() for f in (tmp_path / "run").rglob("*") if f.is_file()} == before


def test_force_begins_anew(host, make_plan, outcome, tmp_path):
    path = tmp_path / "run"
    list(start(host, make_plan(seed=1, steps=20, preview_every=10), path))
    (path / "notes.txt").write_text("mine")
    list(start(host, make_plan(), path, force=True))
    list(start(host, make_plan(), tmp_path / "fresh"))
    assert outcome(path) == outcome(tmp_path / "fresh")
    assert not (path / "previews").exists()
    assert checkpoints.steps_saved(path / "checkpoints") == [4, 8, 10]
    assert (path / "notes.txt").read_text() == "mine"


def test_a_batch_that_cannot_be_shared_is_refused(host, make_plan, tmp_path, monkeypatch):
    from accelerate import Accelerator

    monkeypatch.setattr(Accelerator, "num_processes", 3)
    with pytest.raises(ConfigError, match="batch_size = 8 cannot be split over 3 processes and 2 micro-batches"):
        list(start(host, make_plan(accumulate=2), tmp_path / "run"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_a_full_disk_is_one_line(host, make_plan, tmp_path):
    file = tmp_path / "run" / "metrics.jsonl"
    for every, cause in ((100, "No space left on device"), (4, "Invalid argument")):
        with pytest.raises(RunError) as caught:
            for state in start(host, make_plan(checkpoint_every=every), tmp_path / "run", force=True):
                if state.step == 3:
                    file.unlink()
                    file.symlink_to("/dev/full")  # whose writes fail for want of room, and which cannot be flushed
        assert str(caught.value) == f"{file} cannot be written: {cause}."
    file.unlink()
    assert [state.step for state in resume(host, tmp_path / "run", {})] == list(range(1, 11))


def test_a_finished_run_has_nothing_to_do(host, make_plan, outcome, tmp_path):
    list(start(host, make_plan(), tmp_path / "run"))
    before = outcome(tmp_path / "run")
    assert list(resume(host, tmp_path / "run", {})) == []
    assert outcome(tmp_path / "run") == before
