"""The training loop: steps, and what is written on the way.

A step is a pure function of the weights, the seed and its number (see `fokker.training.learner`), and everything that
is logged follows from the steps, so a run that was killed at any instant and resumed is, on one machine's CPU, the same
run bit for bit.
"""

import dataclasses
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fokker.data import Examples
from fokker.errors import ConfigError, RunError, TrainingError
from fokker.events import CheckpointSaved, PreviewDrawn, StepLogged, TrainingFinished, TrainingStarted
from fokker.noise import block_seed
from fokker.partial import cannot_write, flush, write_text
from fokker.plan import Plan, check, fit, spec_of
from fokker.run import checkpoint as checkpoints
from fokker.run.folder import Run, create, open_run, read_lines, refuse_taken, write_plan
from fokker.sampling import generate
from fokker.start import start_from
from fokker.training.batches import Order, batches
from fokker.training.device import is_main, make_accelerator
from fokker.training.learner import Gradient, Learner
from fokker.training.rate import learning_rate
from fokker.training.settings import RESUMABLE
from fokker.width import measure_width

if TYPE_CHECKING:
    from fokker.plugins.host import Host

__all__ = ["Progress", "Training", "resume", "start"]

_PREVIEW = 5
"""A stream of the seed; `fokker.training.learner` lists all."""

_MAX_SKIPPED = 100
"""Consecutive fp16 steps whose scaled gradients overflow before training is given up; the scale halves each time."""


@dataclass(frozen=True)
class Progress:
    """Where a training is.

    Args:
        step: Steps taken.
        loss: Mean loss since the last logged step, summed over dimensions, nats where the objective has a unit.
        examples_per_second: Rate since the last logged step.
        note: What was just written, if anything: `checkpoint` or `preview`.
    """

    step: int
    loss: float
    examples_per_second: float
    note: str = ""


def start(host: "Host", plan: Plan, path: Path, *, force: bool = False) -> "Training":
    """Begin a run.

    Args:
        host: The plugins, which hear of events.
        plan: The resolved plan.
        path: The run's folder.
        force: Replace the run that is there.

    Raises:
        ConfigError: If the plan has a problem; nothing is written.
        RunError: If the folder is in use and `force` is not given.
    """
    refuse_taken(path, force=force)
    _, problems = check(plan)
    if problems:
        more = f" ({len(problems) - 1} more; see 'fokker plan'.)" if len(problems) > 1 else ""
        raise ConfigError(f"{problems[0].where}: {problems[0].message}{more}")
    accelerator = make_accelerator(plan.train)  # a device that is not there must not cost an existing run
    examples = plan.data.open("train")
    plan = fit(plan, examples)
    width = measure_width(plan.chain, examples, plan.train.seed)
    plan = dataclasses.replace(plan, sample=plan.sample.on_data(lambda: width))
    spec = dataclasses.replace(spec_of(plan, examples), width=width)
    # the folder is refused by every process or by none, and ready before any looks into it
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        create(path, host, plan, spec, force=force)
    accelerator.wait_for_everyone()
    return Training(host, Run(path, plan, spec), examples)


def resume(host: "Host", path: Path, changes: Mapping[str, Any]) -> "Training":
    """Go on with a run from its last checkpoint.

    Args:
        host: The plugins, which hear of events.
        path: The run's folder.
        changes: Settings of `[train]` that are to differ.

    Raises:
        ConfigError: If a changed setting is out of range.
        RunError: If a changed setting or the data of today would make it another run.
    """
    run = open_run(path, host)
    for name, value in changes.items():
        if name not in RESUMABLE and getattr(run.plan.train, name) != value:
            raise RunError(
                f"A resumed run keeps its plan: train.{name} is {getattr(run.plan.train, name)!r} and cannot become "
                f"{value!r}. What may change: {', '.join(sorted(RESUMABLE))}."
            )
    train = dataclasses.replace(run.plan.train, **changes)
    run = Run(run.path, dataclasses.replace(run.plan, train=train), run.spec)
    examples = run.plan.data.open("train")
    if spec_of(run.plan, examples) != run.spec:
        raise RunError(
            f"{path} was trained on other data: examples of shape {run.spec.event_shape}, now {examples.event_shape}, "
            f"or other classes or conditions. Bring the data back, or train a new run."
        )
    training = Training(host, run, examples)
    if train.steps < training.step:
        raise RunError(f"{path} has taken {training.step} steps already; train.steps cannot become {train.steps}.")
    if changes and is_main():
        write_plan(path, host, run.plan, run.spec)
    return training


class Training:
    """A run in training; iterate over it to train.

    Every iteration goes on from the run's latest checkpoint.

    Args:
        host: The plugins, which hear of events.
        run: The run.
        examples: The opened training split.
    """

    def __init__(self, host: "Host", run: Run, examples: Examples) -> None:
        self.host, self.run, self.examples = host, run, examples
        self.settings = run.plan.train
        place = checkpoints.latest(run.checkpoints)
        self.step = 0 if place is None else checkpoints.step_of(place)

    def __iter__(self) -> Iterator[Progress]:
        """Train to the end.

        Yields:
            The progress after every step.

        Raises:
            TrainingError: If a loss or gradient is not finite; the update is not applied.
            RunError: If the checkpoint to go on from is damaged, or if something cannot be written.
            DataError: If an example cannot be read.
        """
        learner = Learner(self.run.plan, self.run.spec)
        try:
            yield from self._train(learner)
        finally:
            learner.close()

    def _train(self, learner: Learner) -> Iterator[Progress]:
        s = self.settings
        sums = self._restore(learner)
        if learner.is_main:
            self._cut_logs()
            self.host.emit(TrainingStarted(self.run.path, s.steps))
            if self.step == 0 and s.preview_every:
                self._preview(learner)
        order = Order(len(self.examples), s.batch_size, s.seed, self.examples.blocks)
        clock, since, skipped = time.perf_counter(), self.step, 0
        for batch in batches(self.examples, order, self.step, s.steps, learner.part, s.workers):
            gradient = learner.gradient(self.step, batch)
            skipped = skipped + 1 if gradient.overflow else 0
            if not gradient.finite or skipped > _MAX_SKIPPED:
                raise TrainingError(self._not_finite(learner, gradient, order))
            rate = learning_rate(s, self.step)
            learner.update(gradient, rate)
            self.step += 1
            sums["loss"] += gradient.loss
            sums["grad_norm"] += 0.0 if gradient.overflow else gradient.norm
            sums["steps"] += 1
            note, mean = "", sums["loss"] / sums["steps"]
            now = time.perf_counter()
            pace = (self.step - since) * s.batch_size / max(now - clock, 1e-9)
            last = self.step == s.steps
            if last or self.step % s.log_every == 0:
                clock, since = now, self.step
                if learner.is_main:
                    self._log(sums, rate, pace)
                sums = dict.fromkeys(sums, 0.0)
            if last or self.step % s.checkpoint_every == 0:
                if learner.is_main:
                    self._save(learner, sums)
                note = "checkpoint"
            if s.preview_every and self.step % s.preview_every == 0:
                if learner.is_main:
                    began = time.perf_counter()
                    self._preview(learner)
                    clock += time.perf_counter() - began
                note = "preview"
            yield Progress(self.step, mean, pace, note)
        if learner.is_main:
            self.host.emit(TrainingFinished(self.run.path, self.step))

    def _restore(self, learner: Learner) -> dict[str, float]:
        """Go back to the latest checkpoint; returns the sums since the last logged step."""
        sums = {"loss": 0.0, "grad_norm": 0.0, "steps": 0.0}
        place = checkpoints.latest(self.run.checkpoints)
        if place is None:
            self.step = 0
            return sums
        saved = checkpoints.load(place)
        if saved.state["examples"] != len(self.examples):
            raise RunError(
                f"{self.run.path} was trained on {saved.state['examples']} examples, the data has {len(self.examples)} "
                "now. Bring the data back, or train a new run."
            )
        learner.restore(saved, place)
        self.step = int(saved.state["step"])
        return {**sums, **saved.state["sums"]}

    def _not_finite(self, learner: Learner, gradient: Gradient, order: Order) -> str:
        losses, times = learner.gather(gradient)
        bad = (~torch.isfinite(losses)).nonzero().flatten().tolist()
        j = int(bad[0]) if bad else int(losses.argmax())
        what = "loss" if bad else "gradient"
        where = "at" if bad else "largest loss at"
        place = checkpoints.latest(self.run.checkpoints)
        saved = "there is no checkpoint yet" if place is None else f"the last good checkpoint is {place.name}"
        return (
            f"The {what} of step {self.step + 1} is not finite ({where} t = {float(times[j]):.4g}, example "
            f"{order.step(self.step)[j]}); the update was not applied and {saved}. Lower train.lr or train.clip, or "
            "look at that example."
        )

    def _log(self, sums: Mapping[str, float], rate: float, pace: float) -> None:
        n = sums["steps"]
        line = {
            "step": self.step,
            "epoch": self.step * self.settings.batch_size / len(self.examples),
            "loss": sums["loss"] / n,
            "loss_per_dim": sums["loss"] / n / self.run.spec.numel,
            "grad_norm": sums["grad_norm"] / n,
            "lr": rate,
        }
        _append(self.run.path / "metrics.jsonl", line)
        _append(
            self.run.path / "timings.jsonl",
            {"step": self.step, "examples_per_second": pace, "unix_time": time.time()},
        )
        self.host.emit(StepLogged(self.run.path, self.step, line))

    def _cut_logs(self) -> None:
        """Forget what was logged after the checkpoint that training goes on from."""
        for name in ("metrics.jsonl", "timings.jsonl"):
            kept = [json.dumps(line) + "\n" for line in read_lines(self.run.path / name) if line["step"] <= self.step]
            write_text(self.run.path / name, "".join(kept))

    def _save(self, learner: Learner, sums: Mapping[str, float]) -> None:
        metrics = self.run.path / "metrics.jsonl"
        try:
            flush(metrics)  # the lines before a checkpoint are not written again
        except OSError as error:
            raise cannot_write(metrics, error) from error
        state = {"step": self.step, "examples": len(self.examples), "sums": dict(sums)}
        place = checkpoints.save(self.run.checkpoints, self.step, learner.snapshot(state), keep=self.settings.keep)
        self.host.emit(CheckpointSaved(self.run.path, self.step, place))

    def _preview(self, learner: Learner) -> None:
        from fokker import draw  # matplotlib takes as long to load as a small training

        plan, s = self.run.plan, self.settings
        with learner.sampling() as model:
            chunks = generate(
                model,
                plan.chain,
                self.run.spec,
                plan.sample.sampler,
                plan.sample.grid.times(plan.perturbation, plan.sample.steps),
                n=s.preview_n,
                seed=block_seed(s.seed, 0, _PREVIEW),
                init=start_from(plan.sample.init, plan),
                final=plan.sample.final,
                data=plan.data,
                device=learner.accelerator.device,
            )
            x = torch.cat([chunk.x for chunk in chunks])
        path = self.run.path / "previews" / f"step-{self.step:08d}.png"
        path.parent.mkdir(exist_ok=True)
        draw.samples(x, path, source=plan.data)
        self.host.emit(PreviewDrawn(self.run.path, self.step, path))


def _append(file: Path, line: Mapping[str, float]) -> None:
    try:
        with file.open("a") as stream:
            stream.write(json.dumps(line) + "\n")
    except OSError as error:
        raise cannot_write(file, error) from error
