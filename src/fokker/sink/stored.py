"""Reading back what a sink has written."""

import itertools
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fokker.errors import ConfigError, DataError, FokkerError
from fokker.sink.shards import shards
from fokker.sink.sink import Floats, Integers

__all__ = ["Stored", "read_back"]


@dataclass(frozen=True, eq=False)
class Stored:
    """Samples or latents of a file.

    Args:
        x: The values, (n, *D), float32.
        labels: Class labels, int64, (n,), where the file has some.
        first: Absolute index of the first one, where the file tells it, else 0.
    """

    x: Floats
    labels: Integers | None
    first: int = 0


def read_back(path: Path, event_shape: Sequence[int]) -> Stored:
    """Read a file or folder of the formats of `open_sink`, but for pictures.

    Args:
        path: An .npy, .npz, .safetensors or .csv file, or a folder of shards.
        event_shape: Shape `*D` that one sample must have.

    Raises:
        ConfigError: If the suffix is none of these.
        DataError: If there is nothing, or if it is damaged, not numeric, not finite, or of another shape.
    """
    shape = tuple(event_shape)
    try:
        if path.is_dir():
            found = _shards(path)
        else:
            match path.suffix.lower():
                case ".npy":
                    found = Stored(np.load(path), None)
                case ".npz":
                    found = _npz(path)
                case ".safetensors":
                    found = _safetensors(path)
                case ".csv":
                    found = _csv(path, shape)
                case suffix:
                    raise ConfigError(
                        f"{path} cannot be read as '{suffix}': give an .npy, .npz, .safetensors or .csv file, or a "
                        f"folder of shards."
                    )
    except FokkerError:
        raise
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    except Exception as error:  # damaged headers and archives raise anything
        cause = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise DataError(f"{path} is damaged or no file of plain numbers ({cause}).") from error
    return _checked(found, path, shape)


def _npz(path: Path) -> Stored:
    with np.load(path) as archive:
        return Stored(archive["x"], archive["label"] if "label" in archive.files else None)


def _safetensors(path: Path) -> Stored:
    from safetensors import safe_open

    with safe_open(path, "np") as file:
        names, about = file.keys(), file.metadata() or {}
        labels = file.get_tensor("label") if "label" in names else None
        return Stored(file.get_tensor("x"), labels, int(about.get("first", 0)))


def _csv(path: Path, shape: tuple[int, ...]) -> Stored:
    with path.open(encoding="utf-8") as file, warnings.catch_warnings():
        warnings.simplefilter("error")  # what numpy says of a file without numbers
        names = file.readline().strip().split(",")
        table: NDArray[np.float64] = np.loadtxt(file, delimiter=",", ndmin=2)
    labels = table[:, -1].astype(np.int64) if names[-1] == "label" else None
    x = table if labels is None else table[:, :-1]
    if x.shape[1] != prod(shape):
        raise DataError(f"{path} holds samples of {x.shape[1]} values; shape {shape} has {prod(shape)}.")
    return Stored(x.astype(np.float32).reshape(-1, *shape), labels)


def _shards(path: Path) -> Stored:
    there = shards(path)
    if not there:
        raise DataError(f"{path} holds no shards.")
    for before, after in itertools.pairwise(there):
        if after.first != before.last + 1:
            raise DataError(f"{path} lacks samples {before.last + 1} to {after.first - 1}.")
    labels = None
    if json.loads((path / "manifest.json").read_text(encoding="utf-8"))["labels"]:
        files = [s.path.with_name(s.path.name.replace("samples", "labels", 1)) for s in there]
        labels = np.concatenate([np.load(file) for file in files])
    return Stored(np.concatenate([np.load(s.path) for s in there]), labels, there[0].first)


def _checked(found: Stored, path: Path, shape: tuple[int, ...]) -> Stored:
    x = found.x
    if x.dtype.kind not in "biuf":
        raise DataError(f"{path} holds {x.dtype}: real numbers are needed.")
    if x.shape[1:] != shape or not len(x):
        raise DataError(f"{path} holds an array of shape {x.shape}: (n, {', '.join(map(str, shape))}) is needed.")
    if found.labels is not None and found.labels.shape != (len(x),):
        raise DataError(f"{path} holds {len(x)} samples and labels of shape {found.labels.shape}.")
    x = x.astype(np.float32, copy=False)
    if not np.isfinite(x).all():
        row = int(np.argwhere(~np.isfinite(x))[0][0])
        raise DataError(f"{path}: row {row} (counted from 0) holds a value that is not finite.")
    return Stored(x, None if found.labels is None else found.labels.astype(np.int64, copy=False), found.first)
