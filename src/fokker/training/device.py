"""Devices and precisions, through accelerate."""

import os
from typing import TYPE_CHECKING

import torch

from fokker.errors import ConfigError
from fokker.training.settings import TrainSettings

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["is_main", "make_accelerator", "pick_device"]


def pick_device(name: str) -> torch.device:
    """The device of a name; `auto` is cuda, then mps, then cpu.

    Raises:
        ConfigError: If there is no such device here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        there = [k for k, ok in (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available())) if ok]
        raise ConfigError(f"There is no device {name!r} here; use auto, {', '.join([*there, 'cpu'])}.") from None
    return device


def make_accelerator(settings: TrainSettings) -> "Accelerator":
    """An accelerator for these settings.

    Raises:
        ConfigError: If the device is not there or cannot compute in this precision, or if processes were launched to
            share the weights, which fokker does not.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    device = pick_device(settings.device)
    if settings.precision == "fp16" and device.type != "cuda":
        raise ConfigError(f"train.precision = 'fp16' needs a cuda device, not {device}; use bf16 or fp32.")
    if "WORLD_SIZE" not in os.environ:
        # accelerate keeps the first accelerator's precision and device for the whole process
        AcceleratorState._reset_state(reset_partial_state=True)
    if device.index is not None and device.type == "cuda":
        torch.cuda.set_device(device)
    accelerator = Accelerator(
        cpu=device.type == "cpu",
        mixed_precision={"fp32": "no"}.get(settings.precision, settings.precision),
    )
    kind = accelerator.distributed_type.value
    if kind != "NO" and not kind.startswith("MULTI_"):
        raise ConfigError(f"fokker trains with copies of the whole network (DDP); accelerate was asked for {kind}.")
    return accelerator


def is_main() -> bool:
    """Whether this is the process that writes and speaks, of those that were launched together."""
    return int(os.environ.get("RANK", "0")) == 0
