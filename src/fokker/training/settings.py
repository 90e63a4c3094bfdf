"""The settings of a training, the table `[train]` of a plan."""

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Interval, Lt

from fokker.component import component
from fokker.errors import ConfigError

__all__ = ["RESUMABLE", "TrainSettings"]


@component
class TrainSettings:
    """How long, how fast, and how often something is written.

    Args:
        steps: Number of optimizer steps.
        batch_size: Examples per optimizer step, over all processes and micro-batches.
        accumulate: Micro-batches that a step's examples are split into, to save memory.
        optimizer: `adam` or `adamw`.
        lr: Largest learning rate.
        weight_decay: Decoupled weight decay of `adamw`; 0.01 unless given.
        betas: Decay rates of the optimizer's moments.
        warmup: Steps over which the learning rate rises linearly from 0; 100 unless given, none for `one-cycle`.
        decay: Learning rate after the warm-up: `constant`, `cosine` to 0 at the last step, or `one-cycle` (Smith &
            Topin, 2018), which has a warm-up of its own, 30 % of the steps.
        clip: Largest norm of the gradient of the loss per dimension; 0 clips nothing.
        labels: Whether the network is told the examples' class labels.
        label_dropout: Probability with which an example is shown without its label, so that the network learns the data
            without classes too; what classifier-free guidance and samples without a class need.
        ema: Decay per step of the exponential moving average of the weights; 0 keeps none.
        precision: Of the network's arithmetic; parameters stay float32.
        channels_last: Whether image networks run in channels-last memory format, which is faster on most devices.
        compile: Whether the network goes through `torch.compile`.
        device: `auto` (cuda, then mps, then cpu), or a device's name.
        seed: Decides initial weights, order of the examples, times, noise, dropout and dropped labels.
        workers: Processes that read examples ahead; 0 reads in the training process.
        log_every: Steps between lines of metrics.jsonl.
        checkpoint_every: Steps between checkpoints; the last step always has one.
        keep: Number of checkpoints kept.
        preview_every: Steps between previews; 0 draws none.
        preview_n: Samples in a preview.
    """

    steps: Annotated[int, Ge(1)] = 6000
    batch_size: Annotated[int, Ge(1)] = 512
    accumulate: Annotated[int, Ge(1)] = 1
    optimizer: Literal["adam", "adamw"] = "adam"
    lr: Annotated[float, Gt(0)] = 4e-3
    weight_decay: Annotated[float, Ge(0)] | None = None
    betas: tuple[Annotated[float, Interval(ge=0, lt=1)], Annotated[float, Interval(ge=0, lt=1)]] = (0.9, 0.999)
    warmup: Annotated[int, Ge(0)] | None = None
    decay: Literal["constant", "cosine", "one-cycle"] = "cosine"
    clip: Annotated[float, Ge(0)] = 1.0
    labels: bool = False
    label_dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.0
    ema: Annotated[float, Ge(0), Lt(1)] = 0.999
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    channels_last: bool = True
    compile: bool = False
    device: str = "auto"
    seed: int = 0
    workers: Annotated[int, Ge(0)] = 0
    log_every: Annotated[int, Ge(1)] = 50
    checkpoint_every: Annotated[int, Ge(1)] = 1000
    keep: Annotated[int, Ge(1)] = 3
    preview_every: Annotated[int, Ge(0)] = 0
    preview_n: Annotated[int, Ge(1)] = 64

    def __post_init__(self) -> None:
        if self.optimizer == "adamw" and self.weight_decay is None:
            object.__setattr__(self, "weight_decay", 0.01)
        if self.optimizer == "adam" and self.weight_decay is not None:
            raise ConfigError(
                "train.weight_decay has no effect on 'adam'; set train.optimizer = 'adamw' or leave it out."
            )
        if self.label_dropout and not self.labels:
            raise ConfigError(
                "train.label_dropout has no effect without labels; set train.labels = true or leave it out."
            )
        if self.warmup is None:
            object.__setattr__(self, "warmup", 0 if self.decay == "one-cycle" else 100)
        if self.decay == "one-cycle" and self.warmup:
            raise ConfigError(
                "train.warmup has no effect on 'one-cycle', which has a warm-up of its own; leave it out."
            )
        if self.batch_size % self.accumulate:
            raise ConfigError(
                f"train.batch_size = {self.batch_size} cannot be split into train.accumulate = {self.accumulate} "
                "equal parts."
            )


RESUMABLE = frozenset(
    {"steps", "device", "workers", "log_every", "checkpoint_every", "keep", "preview_every", "preview_n"}
)
"""Settings that may differ when a run is resumed: they do not change what a step does (`steps` moves the end)."""
