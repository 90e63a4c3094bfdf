"""Checkpoints: whole or not at all.

    step-00005000/  weights.safetensors  ema.safetensors  optimizer.safetensors  state.json  manifest.json

A checkpoint is written beside its place, flushed, given its manifest last, and moved in; `latest` is then replaced
in the same way. After a crash at any instant the old one or the new one loads. The manifest has the size and
SHA-256 of every file: safetensors by itself loads a flipped bit without a word.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from fokker.errors import RunError

__all__ = ["Checkpoint", "latest", "load", "save", "steps_saved", "write_atomic"]

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
        step: Number of steps taken.
        checkpoint: What to write; tensors may be on any device.
        keep: Older checkpoints beyond this number are removed, once the new one is in its place.

    Returns:
        The checkpoint's folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / f"step-{step:08d}"
    partial = folder / f".partial-{place.name}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    for name, group in checkpoint.tensors.items():
        # save_file refuses tensors that share memory or are not contiguous, such as channels-last weights
        whole = {k: v.detach().to("cpu").contiguous().clone() for k, v in group.items()}
        save_file(whole, partial / f"{name}.safetensors")
    (partial / "state.json").write_text(json.dumps(checkpoint.state, indent=1) + "\n")
    files = sorted(partial.iterdir())
    for file in files:
        _flush(file)
    manifest = {
        "schema": SCHEMA,
        "step": step,
        "files": {f.name: {"bytes": f.stat().st_size, "sha256": _sha256(f)} for f in files},
    }
    (partial / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    _flush(partial / "manifest.json")
    _flush(partial)
    if place.exists():
        # left by a run that was killed after this step: what it holds is the same, whole or damaged
        replaced = folder / f".replaced-{place.name}"
        shutil.rmtree(replaced, ignore_errors=True)
        place.rename(replaced)
        partial.rename(place)
        shutil.rmtree(replaced)
    else:
        partial.rename(place)
    _flush(folder)
    write_atomic(folder / "latest", place.name + "\n")
    for old in steps_saved(folder)[:-keep]:
        if old != step:
            shutil.rmtree(folder / f"step-{old:08d}")
    return place


def steps_saved(folder: Path) -> list[int]:
    """Steps of the checkpoints in their places, ascending."""
    if not folder.is_dir():
        return []
    return sorted(int(m.group(1)) for f in folder.iterdir() if (m := _NAME.fullmatch(f.name)))


def latest(folder: Path) -> Path | None:
    """The last whole checkpoint, or None where there is none."""
    pointer = folder / "latest"
    if pointer.is_file():
        place = folder / pointer.read_text().strip()
        if place.is_dir():
            return place
    saved = steps_saved(folder)  # killed between the move of the checkpoint and of the pointer
    return folder / f"step-{saved[-1]:08d}" if saved else None


def load(place: Path, *groups: str) -> Checkpoint:
    """Read a checkpoint after checking every file against the manifest.

    Args:
        place: The checkpoint's folder.
        groups: Groups of tensors to read; all that there are unless given.

    Raises:
        RunError: If a file is missing or is not what was written; the message names it.
    """
    advice = "Use an older checkpoint (--checkpoint), or train again."
    try:
        manifest = json.loads((place / "manifest.json").read_text())
        files = dict(manifest["files"])
        schema = int(manifest["schema"])
    except (OSError, ValueError, KeyError, TypeError):
        raise RunError(
            f"{place / 'manifest.json'} is missing or damaged, so the checkpoint is not whole. {advice}"
        ) from None
    if schema > SCHEMA:
        raise RunError(
            f"{place} was written by a newer fokker (schema {schema}; this one reads {SCHEMA}). Update fokker."
        )
    for name, expected in files.items():
        file = place / name
        if not file.is_file():
            raise RunError(f"{file} is missing. {advice}")
        if file.stat().st_size != expected["bytes"] or _sha256(file) != expected["sha256"]:
            raise RunError(f"{file} is not what was written: its checksum does not match the manifest. {advice}")
    there = [name.removesuffix(".safetensors") for name in files if name.endswith(".safetensors")]
    missing = [g for g in groups if g not in there]
    if missing:
        raise RunError(f"{place} has no {missing[0]}.safetensors; it has {', '.join(there)}.")
    return Checkpoint(
        {g: load_file(place / f"{g}.safetensors") for g in (groups or there)},
        json.loads((place / "state.json").read_text()),
    )


def write_atomic(file: Path, text: str) -> None:
    """Replace a small text file so that a reader sees the old or the new one, never a part."""
    partial = file.with_name(f".partial-{file.name}")
    partial.write_text(text)
    _flush(partial)
    partial.replace(file)
    _flush(file.parent)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
