"""What happens while fokker trains and samples, told to plugins through the hook `fokker_events`.

This is the whole list. Events are facts, told after they came to pass; what a listener does with them changes nothing.
They are sent by the main process only, and hold no tensors: a listener needs no torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

__all__ = [
    "CheckpointSaved",
    "Event",
    "PreviewDrawn",
    "SamplesWritten",
    "SamplingFinished",
    "SamplingStarted",
    "StepLogged",
    "TrainingFinished",
    "TrainingStarted",
]


@dataclass(frozen=True)
class TrainingStarted:
    """Training is about to take its first step, or the first one after a resume.

    Args:
        run: The run's folder.
        steps: Number of steps of the whole training.
    """

    run: Path
    steps: int


@dataclass(frozen=True)
class StepLogged:
    """A line was added to `metrics.jsonl`.

    Args:
        run: The run's folder.
        step: Number of the step, from 1.
        values: What was logged, such as `loss`.
    """

    run: Path
    step: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class CheckpointSaved:
    """A checkpoint is whole and in its place.

    Args:
        run: The run's folder.
        step: Number of steps taken.
        path: The checkpoint's folder.
    """

    run: Path
    step: int
    path: Path


@dataclass(frozen=True)
class PreviewDrawn:
    """A preview was drawn.

    Args:
        run: The run's folder.
        step: Number of steps taken.
        path: The picture.
    """

    run: Path
    step: int
    path: Path


@dataclass(frozen=True)
class TrainingFinished:
    """Training took its last step and saved its last checkpoint.

    Args:
        run: The run's folder.
        step: Number of steps taken.
    """

    run: Path
    step: int


@dataclass(frozen=True)
class SamplingStarted:
    """Sampling is about to begin.

    Args:
        n: Number of samples asked for.
        sampler: The sampler as a spec, such as `ddim:eta=0.5`.
    """

    n: int
    sampler: str


@dataclass(frozen=True)
class SamplesWritten:
    """A block of samples was written.

    Args:
        done: Number of samples written so far.
        n: Number of samples asked for.
    """

    done: int
    n: int


@dataclass(frozen=True)
class SamplingFinished:
    """All samples are in their place.

    Args:
        out: The file or folder with the samples.
        n: Number of samples.
        nfe: Evaluations of the network per sample.
        seconds: Time it took.
    """

    out: Path
    n: int
    nfe: float
    seconds: float


Event: TypeAlias = (
    TrainingStarted
    | StepLogged
    | CheckpointSaved
    | PreviewDrawn
    | TrainingFinished
    | SamplingStarted
    | SamplesWritten
    | SamplingFinished
)
"""Any of the events above."""
