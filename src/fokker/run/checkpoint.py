"""Checkpoints: whole or not at all.

    step-00005000/  weights.safetensors  ema.safetensors  optimizer.safetensors  state.json  manifest.json

A checkpoint is written beside its place, flushed, given its manifest last, and moved in; `latest` is then replaced
in the same way. After a crash at any instant the old one or the new one loads. The manifest has the size and
SHA-256 of every file: safetensors by itself loads a flipped bit without a word.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from fokker.errors import RunError
from fokker.partial import cannot_write, flush, write_text

__all__ = ["Checkpoint", "latest", "load", "save", "step_of", "steps_saved"]

SCHEMA = 1
_NAME = re.compile(r"step-(\d{8,})")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a checkpoint holds.

    Args:
        tensors: Named groups of tensors, one file each: `weights`, `ema`, `optimizer`.
        state: Everything else, JSON.
    """

    tensors: Mapping[str, Mapping[str, Tensor]]
    state: Mapping[str, Any]


def save(folder: Path, step: int, checkpoint: Checkpoint, *, keep: int) -> Path:
    """Write a checkpoint and make it the latest.

    Args:
        folder: The run's `checkpoints` folder.
        step: Number of steps taken; more than the latest checkpoint has.
        checkpoint: What to write; tensors may be on any device.
        keep: Older checkpoints beyond this number are removed, once the new one is the latest.

    Returns:
        The checkpoint's folder.

    Raises:
        RunError: If it cannot be written, as on a full disk; the latest checkpoint is then the one before.
        ValueError: If the latest checkpoint has as many steps.
    """
    place = folder / f"step-{step:08d}"
    if place.exists() and latest(folder) == place:
        raise ValueError(f"{place} is the latest checkpoint and would not be there while it is replaced")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        partial = folder / f".partial-{place.name}"
        partial.mkdir()
        _write(partial, step, checkpoint)
        if place.exists():  # moved in by a run that was killed before it became the latest
            _remove(place)
        partial.rename(place)
        flush(folder)
        write_text(folder / "latest", f"{place.name}\n")
        saved = steps_saved(folder)
        # what has more steps was left behind by the run that was killed
        for old in [s for s in saved if s > step] + [s for s in saved if s <= step][:-keep]:
            _remove(folder / f"step-{old:08d}")
    except OSError as error:
        raise cannot_write(place, error) from error
    except SafetensorError as error:  # how the library reports a full disk
        raise RunError(f"{place} cannot be written: {error}.") from error
    return place


def _write(place: Path, step: int, checkpoint: Checkpoint) -> None:
    for name, group in checkpoint.tensors.items():
        # save_file refuses tensors that share memory or are not contiguous, such as channels-last weights
        whole = {k: v.detach().to("cpu").contiguous().clone() for k, v in group.items()}
        save_file(whole, place / f"{name}.safetensors")
    (place / "state.json").write_text(json.dumps(checkpoint.state, indent=1) + "\n")
    files = sorted(place.iterdir())
    for file in files:
        flush(file)
    manifest = {
        "schema": SCHEMA,
        "step": step,
        "files": {f.name: {"bytes": f.stat().st_size, "sha256": _sha256(f)} for f in files},
    }
    (place / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    flush(place / "manifest.json")
    flush(place)


def _remove(place: Path) -> None:
    """Remove a checkpoint; killed meanwhile, it leaves no part of one under a checkpoint's name."""
    away = place.with_name(f".removed-{place.name}")
    place.rename(away)
    shutil.rmtree(away)


def _sweep(folder: Path) -> None:
    """Remove what a crash has left; nobody else writes here."""
    for left in [*folder.glob(".partial-*"), *folder.glob(".removed-*")]:
        shutil.rmtree(left)
    for left in folder.glob(".latest.*.partial"):
        left.unlink()


def steps_saved(folder: Path) -> list[int]:
    """Steps of the checkpoints in their places, ascending."""
    if not folder.is_dir():
        return []
    return sorted(int(m.group(1)) for f in folder.iterdir() if (m := _NAME.fullmatch(f.name)))


def step_of(place: Path) -> int:
    """Steps of the checkpoint in a folder that `latest` has named."""
    return int(place.name.removeprefix("step-"))


def latest(folder: Path) -> Path | None:
    """The last whole checkpoint, or None where there is none."""
    pointer = folder / "latest"
    if pointer.is_file():
        name = pointer.read_text(errors="replace").strip()
        if _NAME.fullmatch(name) and (folder / name).is_dir():
            return folder / name
    saved = steps_saved(folder)  # killed between the move of the first checkpoint and of the pointer
    return folder / f"step-{saved[-1]:08d}" if saved else None


def load(place: Path, *groups: str) -> Checkpoint:
    """Read a checkpoint after checking every file against the manifest.

    Args:
        place: The checkpoint's folder.
        groups: Groups of tensors to read; all that there are unless given.

    Raises:
        RunError: If a file is missing or is not what was written; the message names it.
    """
    advice = f"An older checkpoint can be sampled with --checkpoint, and resumed from once {place} is removed."
    try:
        manifest = json.loads((place / "manifest.json").read_text())
        schema = int(manifest["schema"])
        files = {name: (int(f["bytes"]), str(f["sha256"])) for name, f in manifest["files"].items()}
        files["state.json"]  # there is no checkpoint without
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise RunError(
            f"{place / 'manifest.json'} is missing or damaged, so the checkpoint is not whole. {advice}"
        ) from None
    if schema > SCHEMA:
        raise RunError(
            f"{place} was written by a newer fokker (schema {schema}; this one reads {SCHEMA}). Update fokker."
        )
    for name, (size, digest) in files.items():
        file = place / name
        if not file.is_file():
            raise RunError(f"{file} is missing. {advice}")
        if file.stat().st_size != size or _sha256(file) != digest:
            raise RunError(f"{file} is not what was written: its checksum does not match the manifest. {advice}")
    there = [name.removesuffix(".safetensors") for name in files if name.endswith(".safetensors")]
    missing = [g for g in groups if g not in there]
    if missing:
        raise RunError(f"{place} has no {missing[0]}.safetensors; it has {', '.join(there)}.")
    return Checkpoint(
        {g: load_file(place / f"{g}.safetensors") for g in (groups or there)},
        json.loads((place / "state.json").read_text()),
    )


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
