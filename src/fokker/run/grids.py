"""Grids that were tuned for a run, in its grids.json: one for each sampler and number of steps.

{"schema": 1, "grids": [{"sampler": "auto", "steps": 9, "nfe": 10, "noise": [3.4, ...], "distance": ..., ...}]}
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from fokker.errors import RunError
from fokker.partial import write_text

__all__ = ["FILE", "TunedGrid", "find_grid", "read_grids", "write_grid"]

FILE = "grids.json"
_SCHEMA = 1


@dataclass(frozen=True)
class TunedGrid:
    """Levels that were tuned, and how.

    Args:
        sampler: Spec of the sampler that they are for, every field spelled out.
        steps: Number of steps.
        nfe: Evaluations of the network per sample, the end included.
        final: How trajectories ended.
        noise: sigma / alpha after each step; the first step starts at t = 1.
        distance: Mean distance to the end of the probability flow, of latents that it was not chosen by.
        start: That of the grid that the search began with.
        start_grid: Spec of that grid.
        improved: Whether the search came out better; if not, the levels are those it began with.
        latents: Number of latents that it was chosen by, and of those that it was measured on.
        seed: Their seed.
        checkpoint: Whose weights they went through.
        raw_weights: Whether those were the weights themselves.
        evaluations: Of the network, one latent's way down counted by its evaluations.
    """

    sampler: str
    steps: int
    nfe: int
    final: str
    noise: tuple[float, ...]
    distance: float
    start: float
    start_grid: str
    improved: bool
    latents: int
    seed: int
    checkpoint: str
    raw_weights: bool
    evaluations: int


def read_grids(run: Path) -> list[TunedGrid]:
    """All that are stored in a run's folder.

    Raises:
        RunError: If the file is damaged, or written by a newer fokker.
    """
    file = run / FILE
    try:
        stored = json.loads(file.read_text())
        if stored["schema"] > _SCHEMA:
            raise RunError(f"{file} was written by a newer fokker (schema {stored['schema']}). Update fokker.")
        return [TunedGrid(**{**each, "noise": tuple(map(float, each["noise"]))}) for each in stored["grids"]]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunError(f"{file} cannot be read: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{file} is damaged ({error}); remove it, and tune again.") from None


def write_grid(run: Path, grid: TunedGrid) -> None:
    """Store a grid in the place of the one for the same sampler and number of steps; the others stay.

    Raises:
        RunError: If what is there is damaged, or the file cannot be written.
    """
    others = [each for each in read_grids(run) if (each.sampler, each.steps) != (grid.sampler, grid.steps)]
    grids = sorted([*others, grid], key=lambda each: (each.sampler, each.steps))
    text = json.dumps({"schema": _SCHEMA, "grids": [dataclasses.asdict(each) for each in grids]}, indent=1)
    write_text(run / FILE, text + "\n")


def find_grid(run: Path, sampler: str, steps: int) -> TunedGrid:
    """The grid for a sampler and a number of steps.

    Raises:
        RunError: If there is none, saying which there are and how to make it.
    """
    grids = read_grids(run)
    for each in grids:
        if (each.sampler, each.steps) == (sampler, steps):
            return each
    known: dict[str, list[str]] = {}
    for each in grids:
        known.setdefault(each.sampler, []).append(str(each.steps))
    there = "; ".join(f"{name} in {', '.join(counts)} steps" for name, counts in known.items()) or "none at all"
    raise RunError(
        f"{run} has no tuned grid for {sampler} in {steps} step{'s' if steps > 1 else ''} (there is: {there}). "
        f"'fokker tune {run} --grid --nfe N' makes one for auto, with --sampler for another sampler."
    )
