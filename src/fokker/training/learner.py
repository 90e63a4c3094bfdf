"""What is trained: a network, the moving average of its weights and its optimizer, on one device of one process.

A step is a pure function of the weights, the seed and the step's number: times, noise and dropout follow from the seed
and the number alone, whatever came before in the process.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fokker.data import Batch
from fokker.errors import ConfigError
from fokker.model import NetworkModel
from fokker.network import DataSpec
from fokker.noise import PerSample, block_seed
from fokker.plan import Plan
from fokker.run.checkpoint import Checkpoint
from fokker.run.folder import put_weights
from fokker.training.average import moving_average
from fokker.training.device import make_accelerator
from fokker.training.settings import TrainSettings

__all__ = ["Gradient", "Learner"]

# streams of the seed; the order of the examples has 1, initial weights 2, fitting of transforms 3, previews 5
_DROPOUT, _TIMES, _NOISE, _LABELS = 4, 1 << 40, 1 << 41, 1 << 42


@dataclass(frozen=True, eq=False)
class Gradient:
    """What a step has found before its update.

    Args:
        loss: Mean loss over the examples of all processes.
        norm: Norm of the gradient of the loss per dimension, before clipping.
        losses: Loss of each example of this process, (B,).
        times: Their times, float64 on the host, (B,).
        overflow: Whether nothing but the scaled gradients of fp16 was too large; the update is then left out.
    """

    loss: float
    norm: float
    losses: Tensor
    times: Tensor
    overflow: bool

    @property
    def finite(self) -> bool:
        """Whether loss and gradient are finite, or will be once the scale of fp16 has come down."""
        return math.isfinite(self.loss) and (math.isfinite(self.norm) or self.overflow)


class Learner:
    """A network in training.

    Args:
        plan: The plan, with fitted transforms.
        spec: Shape and classes of its data.

    Raises:
        ConfigError: If the device is not there, or if a step cannot be split over the processes.
    """

    def __init__(self, plan: Plan, spec: DataSpec) -> None:
        self._plan, self._spec, self._settings = plan, spec, plan.train
        s = plan.train
        self.accelerator = make_accelerator(s)
        world, rank = self.accelerator.num_processes, self.accelerator.process_index
        share = s.batch_size // world
        if s.batch_size % (world * s.accumulate):
            raise ConfigError(
                f"train.batch_size = {s.batch_size} cannot be split over {world} processes and {s.accumulate} "
                "micro-batches."
            )
        self.part = slice(rank * share, (rank + 1) * share)
        self.backbone = plan.model(spec).backbone.to(self.accelerator.device)
        if s.channels_last and len(spec.event_shape) == 3:
            self.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = moving_average(self.backbone, s.ema) if s.ema else None
        self.optimizer = _optimizer(s, self.backbone, self.accelerator.device)
        self._prepared, self._wrapped = self.accelerator.prepare(self.backbone, self.optimizer)
        self._live = self._model(torch.compile(self._prepared) if s.compile else self._prepared)
        self._live.backbone.train()

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes."""
        return bool(self.accelerator.is_main_process)

    def gradient(self, step: int, batch: Batch) -> Gradient:
        """Compute the loss of a step and add its gradient to the weights'.

        Args:
            step: Steps taken before.
            batch: This process's share of its examples.
        """
        s, accelerator = self._settings, self.accelerator
        positions = range(self.part.start, self.part.stop)
        micro = len(positions) // s.accumulate
        losses, times = [], []
        for k in range(s.accumulate):
            here = slice(k * micro, (k + 1) * micro)
            part = Batch(batch.x[here], {name: value[here] for name, value in batch.cond.items()})
            # gradients travel between processes with a step's last micro-batch only
            last = k == s.accumulate - 1
            travel: AbstractContextManager[Any] = nullcontext() if last else accelerator.no_sync(self._live.backbone)
            stream = _DROPOUT + (accelerator.process_index << 8)
            torch.manual_seed(block_seed(s.seed, (step * s.accumulate + k) & 0xFFFFFFFF, stream))
            with travel:
                loss, t = self._loss(step, part, positions[here])
                # the optimizer sees the loss per dimension, so that lr and clip mean the same for data of any shape
                accelerator.backward(loss.mean() / (self._spec.numel * s.accumulate))
            losses.append(loss.detach())
            times.append(t)
        total = torch.cat(losses)
        mean = float(accelerator.reduce(total.mean(), reduction="mean"))
        norm = float(accelerator.clip_grad_norm_(self._prepared.parameters(), s.clip or math.inf))
        overflow = s.precision == "fp16" and math.isfinite(mean) and not math.isfinite(norm)
        return Gradient(mean, norm, total, torch.cat(times), overflow)

    def _loss(self, step: int, batch: Batch, positions: range) -> tuple[Tensor, Tensor]:
        """Loss and time of each example; `positions` are those of the examples in their step."""
        s, plan, spec, device = self._settings, self._plan, self._spec, self.accelerator.device
        noise = PerSample(s.seed, positions, spec.event_shape, device=device, stream=_NOISE + step)
        clock = PerSample(s.seed, positions, (), stream=_TIMES + step)
        u = clock.uniform(torch.empty(len(positions), dtype=torch.float64))
        t = plan.objective.times(plan.perturbation, u)
        x0 = plan.chain.forward(batch.x.to(device), noise)
        if s.channels_last and x0.ndim == 4:
            x0 = x0.contiguous(memory_format=torch.channels_last)
        cond = {name: batch.cond[name].to(device) for name in spec.condition}
        if spec.classes is not None:
            cond["label"] = self._labels(step, batch, positions).to(device)
        return plan.objective.loss(self._live, x0, t, noise, cond or None), t

    def _labels(self, step: int, batch: Batch, positions: range) -> Tensor:
        """The examples' classes, some of them replaced by "no label", int64 on the host, (B,)."""
        labels, share = batch.cond["label"], self._settings.label_dropout
        if not share:
            return labels
        lots = PerSample(self._settings.seed, positions, (), stream=_LABELS + step)
        dropped = lots.uniform(torch.empty(len(positions), dtype=torch.float64)) < share
        return torch.where(dropped, self._spec.classes, labels)  # type: ignore[arg-type]

    def update(self, gradient: Gradient, rate: float) -> None:
        """Apply a gradient.

        Args:
            gradient: The last one.
            rate: The learning rate.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self._wrapped.step()
        self._wrapped.zero_grad()
        if self.average is not None and not gradient.overflow:
            self.average.update_parameters(self.backbone)

    def gather(self, gradient: Gradient) -> tuple[Tensor, Tensor]:
        """Losses and times of a step's examples of all processes, in their order, on the host."""
        losses, times = gradient.losses, gradient.times
        if self.accelerator.num_processes > 1:
            losses, times = self.accelerator.gather((losses, times.to(losses.device)))
        return losses.cpu(), times.cpu()

    @contextmanager
    def sampling(self) -> Iterator[NetworkModel]:
        """The model that samples are drawn from, the average if there is one, in evaluation mode."""
        if self.average is not None:
            yield self._model(self.average.module)
            return
        self.backbone.eval()
        try:
            yield self._model(self.backbone)
        finally:
            self.backbone.train()

    def _model(self, backbone: Any) -> NetworkModel:
        plan = self._plan
        return NetworkModel(backbone, plan.perturbation, plan.parameterization, plan.label)

    def snapshot(self, state: Mapping[str, Any]) -> Checkpoint:
        """Everything that the next step depends on.

        Args:
            state: What is to be kept with it, JSON.
        """
        tensors: dict[str, Mapping[str, Tensor]] = {"weights": self.backbone.state_dict()}
        own: dict[str, Any] = {}
        if self.average is not None:
            tensors["ema"] = self.average.module.state_dict()
            own["ema_updates"] = int(self.average.n_averaged)
        tensors["optimizer"] = {
            f"{key}.{name}": value
            for name, parameter in self.backbone.named_parameters()
            for key, value in self.optimizer.state.get(parameter, {}).items()
        }
        if self.accelerator.scaler is not None:
            own["scaler"] = self.accelerator.scaler.state_dict()
        return Checkpoint(tensors, {**state, **own})

    def restore(self, saved: Checkpoint, place: Path) -> None:
        """Put a snapshot back.

        Args:
            saved: The snapshot.
            place: Where it comes from, for messages.

        Raises:
            RunError: If it is another network's.
        """
        put_weights(self.backbone, saved.tensors["weights"], place)
        if self.average is not None:
            put_weights(self.average.module, saved.tensors["ema"], place)
            self.average.n_averaged.fill_(saved.state["ema_updates"])
        moments = saved.tensors["optimizer"]
        for name, parameter in self.backbone.named_parameters():
            state = {}
            for key in ("step", "exp_avg", "exp_avg_sq"):
                value = moments.get(f"{key}.{name}")
                if value is not None and key == "step":
                    state[key] = value.to(parameter.device if self.optimizer.defaults["fused"] else "cpu")
                elif value is not None:
                    # in the memory format of the parameter, as the optimizer makes them itself
                    state[key] = torch.empty_like(parameter).copy_(value)
            if state:
                self.optimizer.state[parameter] = state
        if self.accelerator.scaler is not None and "scaler" in saved.state:
            self.accelerator.scaler.load_state_dict(dict(saved.state["scaler"]))

    def close(self) -> None:
        """Leave the group of processes, if there is one."""
        self.accelerator.end_training()


def _optimizer(s: TrainSettings, backbone: nn.Module, device: torch.device) -> torch.optim.Optimizer:
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    kind: type[torch.optim.Adam] = kinds[s.optimizer]
    # one pass over the parameters instead of a dozen; there is no such kernel for mps
    fused = device.type in ("cpu", "cuda")
    return kind(backbone.parameters(), lr=s.lr, betas=s.betas, weight_decay=s.weight_decay or 0.0, fused=fused)
