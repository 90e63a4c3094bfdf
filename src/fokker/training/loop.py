"""The training loop: every step a pure function of the weights, the seed and the step's number.

Examples, times, noise and dropout of a step follow from the seed and its number alone, so a run that was killed at
any instant and resumed is, on one machine's CPU, the same run bit for bit.
"""

import dataclasses
import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from fokker import draw
from fokker.data import Batch, Examples
from fokker.errors import ConfigError, RunError, TrainingError
from fokker.events import CheckpointSaved, PreviewDrawn, StepLogged, TrainingFinished, TrainingStarted
from fokker.model import NetworkModel
from fokker.noise import PerSample, block_seed
from fokker.plan import Plan, check, fit, spec_of
from fokker.run import checkpoint as checkpoints
from fokker.run.checkpoint import Checkpoint
from fokker.run.folder import Run, create, open_run, read_lines, write_plan
from fokker.sampling import generate
from fokker.training.batches import Order, batches
from fokker.training.device import make_accelerator, pick_device
from fokker.training.rate import learning_rate
from fokker.training.settings import RESUMABLE, TrainSettings

if TYPE_CHECKING:
    from accelerate import Accelerator

    from fokker.plugins.host import Host

__all__ = ["Progress", "Training", "resume", "start"]

# streams of the seed; the order of the examples has 1, initial weights 2, fitting of transforms 3
_DROPOUT, _PREVIEW, _TIMES, _NOISE = 4, 5, 1 << 40, 1 << 41

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

    Raises:
        ConfigError: If the plan has a problem; nothing is written.
        RunError: If the folder is in use and `force` is not given.
    """
    _, problems = check(plan)
    if problems:
        more = f" ({len(problems) - 1} more; see 'fokker plan'.)" if len(problems) > 1 else ""
        raise ConfigError(f"{problems[0].where}: {problems[0].message}{more}")
    make_accelerator(plan.train)  # a device that is not there must not cost an existing run
    examples = plan.data.open("train")
    plan = fit(plan, examples)
    spec = spec_of(plan, examples)
    if _is_main():
        run = create(path, host, plan, spec, force=force)
    else:
        run = Run(path, plan, spec)
    return Training(host, run, examples)


def resume(host: "Host", path: Path, changes: Mapping[str, Any]) -> "Training":
    """Go on with a run from its last checkpoint.

    Args:
        host: The plugins.
        path: The run's folder.
        changes: Settings of `[train]` that are to differ.

    Raises:
        RunError: If a changed setting would make it another run.
    """
    run = open_run(path, host)
    for name, value in changes.items():
        if name not in RESUMABLE and getattr(run.plan.train, name) != value:
            raise RunError(
                f"A resumed run keeps its plan: train.{name} is {getattr(run.plan.train, name)!r} and cannot become "
                f"{value!r}. What may change: {', '.join(sorted(RESUMABLE))}."
            )
    if changes:
        train = dataclasses.replace(run.plan.train, **changes)
        run = Run(run.path, dataclasses.replace(run.plan, train=train), run.spec)
        write_plan(path, host, run.plan, run.spec)
    return Training(host, run, run.plan.data.open("train"))


class Training:
    """A run in training; iterate over it to train.

    Args:
        host: The plugins, which hear of events.
        run: The run; training goes on from its latest checkpoint.
        examples: The opened training split.
    """

    def __init__(self, host: "Host", run: Run, examples: Examples) -> None:
        self.host, self.run, self.examples = host, run, examples
        self.settings: TrainSettings = run.plan.train
        self.step = 0
        place = checkpoints.latest(run.checkpoints)
        self._restored = checkpoints.load(place) if place is not None else None
        if self._restored is not None:
            self.step = int(self._restored.state["step"])

    def __iter__(self) -> Iterator[Progress]:
        """Train to the end.

        Yields:
            The progress after every step.

        Raises:
            TrainingError: If a loss or gradient is not finite; the update is not applied.
        """
        s, plan, spec = self.settings, self.run.plan, self.run.spec
        accelerator = make_accelerator(s)
        world, rank = accelerator.num_processes, accelerator.process_index
        share = s.batch_size // world
        if s.batch_size % world or share % s.accumulate:
            raise ConfigError(
                f"train.batch_size = {s.batch_size} cannot be split over {world} processes and {s.accumulate} "
                "micro-batches."
            )
        model = plan.model(spec)
        backbone = model.backbone
        if s.channels_last and len(spec.event_shape) == 3:
            backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        averaged = None
        if s.ema:
            averaged = AveragedModel(backbone, multi_avg_fn=get_ema_multi_avg_fn(s.ema), use_buffers=True)
            averaged.to(accelerator.device)
        optimizer = _optimizer(s, backbone)
        prepared, wrapped = accelerator.prepare(backbone, optimizer)
        sums = {"loss": 0.0, "grad_norm": 0.0, "steps": 0}
        if self._restored is not None:
            sums.update(self._restore(self._restored, backbone, averaged, optimizer, accelerator))
            self._restored = None
        self._cut_logs()
        live = NetworkModel(
            torch.compile(prepared) if s.compile else prepared,  # type: ignore[arg-type]
            plan.perturbation,
            plan.parameterization,
            plan.label,
        )
        live.backbone.train()
        if accelerator.is_main_process:
            self.host.emit(TrainingStarted(self.run.path, s.steps))
        order = Order(len(self.examples), s.batch_size, s.seed)
        part = slice(rank * share, (rank + 1) * share)
        clock, skipped = time.perf_counter(), 0
        if self.step == 0 and s.preview_every and averaged is not None and accelerator.is_main_process:
            self._preview(live, averaged, accelerator)
        for batch in batches(self.examples, order, self.step, s.steps, part, s.workers):
            rate = learning_rate(s, self.step)
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss, losses, times = self._accumulate(live, batch, accelerator, part)
            norm = float(accelerator.clip_grad_norm_(prepared.parameters(), s.clip or math.inf))
            overflow = s.precision == "fp16" and math.isfinite(loss) and not math.isfinite(norm)
            skipped = skipped + 1 if overflow else 0
            if not math.isfinite(loss) or (not math.isfinite(norm) and not overflow) or skipped > _MAX_SKIPPED:
                raise TrainingError(self._not_finite(loss, losses, times, order, part))
            wrapped.step()
            wrapped.zero_grad()
            if averaged is not None and not overflow:
                averaged.update_parameters(backbone)
            self.step += 1
            sums["loss"] += loss
            sums["grad_norm"] += 0.0 if overflow else norm
            sums["steps"] += 1
            note, mean, pace = "", sums["loss"] / sums["steps"], 0.0
            if self.step % s.log_every == 0 or self.step == s.steps:
                now = time.perf_counter()
                pace, clock = sums["steps"] * s.batch_size / max(now - clock, 1e-9), now
                if accelerator.is_main_process:
                    self._log(sums, rate, pace)
                sums.update(loss=0.0, grad_norm=0.0, steps=0)
            if self.step % s.checkpoint_every == 0 or self.step == s.steps:
                if accelerator.is_main_process:
                    self._save(backbone, averaged, optimizer, accelerator, sums)
                note = "checkpoint"
            if s.preview_every and self.step % s.preview_every == 0:
                if accelerator.is_main_process:
                    began = time.perf_counter()
                    self._preview(live, averaged, accelerator)
                    clock += time.perf_counter() - began
                note = "preview"
            yield Progress(self.step, mean, pace, note)
        if accelerator.is_main_process:
            self.host.emit(TrainingFinished(self.run.path, self.step))

    def _accumulate(
        self, live: NetworkModel, batch: Batch, accelerator: "Accelerator", part: slice
    ) -> tuple[float, Tensor, Tensor]:
        """Add up the gradients of a step; returns its mean loss, and each example's loss and time."""
        s, plan, spec = self.settings, self.run.plan, self.run.spec
        device = accelerator.device
        positions = range(part.start, part.stop)
        micro = len(positions) // s.accumulate
        losses, all_times = [], []
        for k in range(s.accumulate):
            here = slice(k * micro, (k + 1) * micro)
            index = positions[here]
            noise = PerSample(s.seed, index, spec.event_shape, device=device, stream=_NOISE + self.step)
            clock = PerSample(s.seed, index, (), stream=_TIMES + self.step)
            u = clock.uniform(torch.empty(micro, dtype=torch.float64))
            times = plan.objective.times(plan.perturbation, u)
            x0 = plan.chain.forward(batch.x[here].to(device), noise)
            if s.channels_last and x0.ndim == 4:
                x0 = x0.contiguous(memory_format=torch.channels_last)
            cond = {"label": batch.cond["label"][here].to(device)} if spec.classes is not None else None
            rank = accelerator.process_index
            torch.manual_seed(block_seed(s.seed, (self.step * s.accumulate + k) & 0xFFFFFFFF, _DROPOUT + (rank << 8)))
            with _synchronised(accelerator, live.backbone, last=k == s.accumulate - 1):
                loss = plan.objective.loss(live, x0, times, noise, cond)
                # the optimizer sees the loss per dimension, so that lr and clip mean the same for data of any shape
                accelerator.backward(loss.mean() / (spec.numel * s.accumulate))
            losses.append(loss.detach())
            all_times.append(times)
        total = torch.cat(losses)
        mean = accelerator.reduce(total.mean(), reduction="mean")
        return float(mean), total, torch.cat(all_times)

    def _not_finite(self, loss: float, losses: Tensor, times: Tensor, order: Order, part: slice) -> str:
        what = "loss" if not math.isfinite(loss) else "gradient"
        bad = (~torch.isfinite(losses)).nonzero().flatten().tolist()
        j = int(bad[0]) if bad else int(losses.argmax())
        example = order.step(self.step)[part][j]
        saved = checkpoints.latest(self.run.checkpoints)
        place = f"the last good checkpoint is {saved.name}" if saved is not None else "there is no checkpoint yet"
        blame = "at" if bad else "largest loss at"
        return (
            f"The {what} of step {self.step + 1} is not finite ({blame} t = {float(times[j]):.4g}, example {example}); "
            f"the update was not applied and {place}. Lower train.lr, set train.clip, or look at that example."
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
        if not _is_main():
            return
        for name in ("metrics.jsonl", "timings.jsonl"):
            file = self.run.path / name
            kept = [json.dumps(line) + "\n" for line in read_lines(file) if line["step"] <= self.step]
            checkpoints.write_atomic(file, "".join(kept))

    def _save(
        self,
        backbone: nn.Module,
        averaged: AveragedModel | None,
        optimizer: torch.optim.Optimizer,
        accelerator: "Accelerator",
        sums: Mapping[str, float],
    ) -> None:
        tensors: dict[str, Mapping[str, Tensor]] = {"weights": backbone.state_dict()}
        if averaged is not None:
            tensors["ema"] = averaged.module.state_dict()
        tensors["optimizer"] = {
            f"{key}.{name}": value
            for name, parameter in backbone.named_parameters()
            for key, value in optimizer.state.get(parameter, {}).items()
        }
        state: dict[str, Any] = {"step": self.step, "sums": dict(sums)}
        if averaged is not None:
            state["ema_updates"] = int(averaged.n_averaged)
        if accelerator.scaler is not None:
            state["scaler"] = accelerator.scaler.state_dict()
        place = checkpoints.save(self.run.checkpoints, self.step, Checkpoint(tensors, state), keep=self.settings.keep)
        self.host.emit(CheckpointSaved(self.run.path, self.step, place))

    def _restore(
        self,
        saved: Checkpoint,
        backbone: nn.Module,
        averaged: AveragedModel | None,
        optimizer: torch.optim.Optimizer,
        accelerator: "Accelerator",
    ) -> dict[str, float]:
        """Put a checkpoint's tensors in their places; returns the sums since the last logged step."""
        backbone.load_state_dict(dict(saved.tensors["weights"]))
        if averaged is not None:
            averaged.module.load_state_dict(dict(saved.tensors["ema"]))
            averaged.n_averaged.fill_(saved.state["ema_updates"])
        for name, parameter in backbone.named_parameters():
            state = {
                key: saved.tensors["optimizer"][f"{key}.{name}"]
                for key in ("step", "exp_avg", "exp_avg_sq")
                if f"{key}.{name}" in saved.tensors["optimizer"]
            }
            for key, value in state.items():
                # the moments take the memory format of their parameter, as they do when the optimizer makes them
                state[key] = torch.empty_like(parameter).copy_(value) if value.ndim else value.to(parameter.device)
            if state:
                optimizer.state[parameter] = state
        if accelerator.scaler is not None and "scaler" in saved.state:
            accelerator.scaler.load_state_dict(dict(saved.state["scaler"]))
        return dict(saved.state["sums"])

    def _preview(self, live: NetworkModel, averaged: AveragedModel | None, accelerator: "Accelerator") -> None:
        plan, s = self.run.plan, self.settings
        backbone = averaged.module if averaged is not None else accelerator.unwrap_model(live.backbone)
        training = backbone.training
        backbone.eval()
        try:
            model = NetworkModel(backbone, plan.perturbation, plan.parameterization, plan.label)
            grid = plan.sample.grid.times(plan.perturbation, plan.sample.steps)
            seed = block_seed(s.seed, 0, _PREVIEW)
            chunks = generate(
                model,
                plan.chain,
                self.run.spec,
                plan.sample.sampler,
                grid,
                n=s.preview_n,
                seed=seed,
                final=plan.sample.final,
                device=accelerator.device,
            )
            x = torch.cat([chunk.x for chunk in chunks])
        finally:
            backbone.train(training)
        path = self.run.path / "previews" / f"step-{self.step:08d}.png"
        path.parent.mkdir(exist_ok=True)
        draw.samples(x).save(path)
        self.host.emit(PreviewDrawn(self.run.path, self.step, path))


def _optimizer(s: TrainSettings, backbone: nn.Module) -> torch.optim.Optimizer:
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    kind: type[torch.optim.Adam] = kinds[s.optimizer]
    # one pass over the parameters instead of a dozen; there is no such kernel for mps
    fused = pick_device(s.device).type in ("cpu", "cuda")
    return kind(backbone.parameters(), lr=s.lr, betas=s.betas, weight_decay=s.weight_decay or 0.0, fused=fused)


def _synchronised(accelerator: "Accelerator", module: nn.Module, *, last: bool) -> Any:
    """Gradients travel between processes with a step's last micro-batch only."""
    return nullcontext() if last else accelerator.no_sync(module)


def _append(file: Path, line: Mapping[str, float]) -> None:
    with file.open("a") as stream:
        stream.write(json.dumps(line) + "\n")


def _is_main() -> bool:
    return int(os.environ.get("RANK", "0")) == 0
