"""Noise schedules that were searched for a run, in its plugins/fokker-wavegrad/noise-schedules.json."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from fokker.errors import RunError
from fokker.partial import write_text
from fokker.run.folder import plugin_folder

__all__ = ["Schedule", "find_schedule", "read_schedules", "write_schedule"]

_FILE = "noise-schedules.json"


@dataclass(frozen=True)
class Schedule:
    """A schedule that was found, and how.

    Args:
        sampler: Spec of the sampler that it is for, every field spelled out.
        betas: beta_1 to beta_N.
        distance: Mean log-spectral distance of the crops that it was chosen by, dB.
        linear: That of linear betas in as many levels.
        crops: Number of crops of the training split.
        tried: Number of schedules that were tried.
        seed: Of the tries and of the noise.
        checkpoint: Whose weights were used.
    """

    sampler: str
    betas: tuple[float, ...]
    distance: float
    linear: float
    crops: int
    tried: int
    seed: int
    checkpoint: str


def read_schedules(run: Path) -> list[Schedule]:
    """All that are stored in a run's folder.

    Raises:
        RunError: If the file is damaged.
    """
    file = plugin_folder(run, "fokker-wavegrad") / _FILE
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        return [Schedule(**{**each, "betas": tuple(map(float, each["betas"]))}) for each in stored["schedules"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{file} is damaged ({error}); remove it, and search again.") from None


def write_schedule(run: Path, schedule: Schedule) -> None:
    """Store a schedule in the place of the one for the same sampler and number of levels; the others stay.

    Raises:
        RunError: If what is there is damaged, or the file cannot be written.
    """
    key = schedule.sampler, len(schedule.betas)
    others = [each for each in read_schedules(run) if (each.sampler, len(each.betas)) != key]
    found = sorted([*others, schedule], key=lambda each: (each.sampler, len(each.betas)))
    folder = plugin_folder(run, "fokker-wavegrad")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder} cannot be made: {error.strerror or error}.") from None
    text = json.dumps({"schedules": [dataclasses.asdict(each) for each in found]}, indent=1)
    write_text(folder / _FILE, text + "\n")


def find_schedule(run: Path, sampler: str, steps: int) -> Schedule:
    """The schedule for a sampler and a number of steps.

    Raises:
        RunError: If there is none, saying which there are and how to make it.
    """
    there = read_schedules(run)
    for each in there:
        if each.sampler == sampler and len(each.betas) == steps + 1:
            return each
    known = ", ".join(f"{each.sampler} with {len(each.betas)} levels" for each in there) or "none at all"
    raise RunError(
        f"{run} has no noise schedule of {steps + 1} levels for {sampler} (there is: {known}). 'fokker noise-schedule "
        f"{run} --levels {steps + 1}' searches one for ddpm, with --sampler for another sampler."
    )
