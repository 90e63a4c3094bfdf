"""Tar shards by position: where each sample's files begin, found once from the headers; no content is read.

A sample is a run of neighbouring files whose names agree up to the first dot of the last part, and the rest of the name
says which of them it is: `a/0001.jpg` and `a/0001.cls` are `jpg` and `cls` of the sample `a/0001` (the convention of
the library webdataset, whose function splits the names).
"""

import os
import tarfile
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from webdataset.tariterators import base_plus_ext

from fokker.errors import DataError
from fokker_datasets.store import Store
from fokker_datasets.value import MEND, Value

__all__ = ["Shards"]

_OPEN = 64
"""Shards that are open at a time."""
_BLOCK = 512


@dataclass(frozen=True, eq=False)
class _Shard:
    """A shard's samples: where the value and the label begin and how long they are; length -1: missing, -2: twice."""

    path: Path
    values: NDArray[np.int64]
    labels: NDArray[np.int64]


class Shards(Store):
    """Tar files; a block is a shard.

    Args:
        files: Their paths.
        value: What the values are.
        suffixes: Which of a sample's files the value is: the first of these that is there.
        label: Which one the label is, if any.
        skip: Whether a broken shard is left out, or kept up to where it breaks.

    Raises:
        DataError: If a shard is broken and `skip` is not given, or nothing is left.
    """

    def __init__(
        self, files: Sequence[Path], value: Value, suffixes: tuple[str, ...], label: str | None, skip: bool
    ) -> None:
        self._value, self._suffixes, self._label = value, suffixes, label
        self._shards: list[_Shard] = []
        self._handles: OrderedDict[tuple[int, int], int] = OrderedDict()
        lost = []
        for path in files:
            found: list[tuple[tuple[int, int], tuple[int, int]]] = []
            try:
                for sample in _samples(path):
                    found.append((_first(sample, suffixes), _first(sample, () if label is None else (label,))))
            except DataError as error:
                if not skip:
                    raise
                kept = f"; the {len(found)} samples before that are kept" if found else ""
                lost.append(str(error).replace(f": {MEND}", kept))
            if found:
                table = np.array(found, np.int64)
                self._shards.append(_Shard(path, table[:, 0], table[:, 1]))
        if not self._shards:
            raise DataError(lost[0] if lost else f"{files[0]} and {len(files) - 1} more shards hold no samples.")
        self.sizes, self.lost = tuple(len(s.values) for s in self._shards), tuple(lost)

    def read(self, block: int, rows: Sequence[int], shape: tuple[int, ...] | None) -> NDArray[np.float32]:
        """Some samples of a shard."""
        shard = self._shards[block]
        x: NDArray[np.float32] | None = None
        for i, row in enumerate(rows):
            one = self._value.decode(self._bytes(block, shard.values, row, self._suffixes), _Name(self, block, row))
            if shape is not None and one.shape != shape:
                raise self._value.misfit(self.name(block, row), one.shape, shape)
            if x is None:
                x = np.empty((len(rows), *one.shape), np.float32)
            x[i] = one
        return np.empty((0, *(shape or ())), np.float32) if x is None else x

    def labels(self, block: int) -> Sequence[Any] | None:
        """The label of every sample: a whole number, or a word."""
        if self._label is None:
            return None
        found: list[Any] = []
        for row, (_, length) in enumerate(self._shards[block].labels):
            if length < 0:
                found.append(None)
                continue
            try:
                text = self._bytes(block, self._shards[block].labels, row, (self._label,)).decode("utf-8").strip()
            except ValueError:
                found.append(None)
                continue
            found.append(_number(text))
        return found

    def place(self, block: int) -> tuple[str, int]:
        """The shard's name."""
        return self._shards[block].path.name, 0

    def name(self, block: int, row: int) -> str:
        """The shard and the sample's name in it, from the header before its value."""
        shard = self._shards[block]
        place, length = (int(v) for v in shard.values[row])
        if length < 0:
            return f"{shard.path}, sample {row} (counted from 0)"
        try:
            header = os.pread(self._handle(block), _BLOCK, place - _BLOCK)
            name = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape").name
        except (OSError, tarfile.TarError):
            return f"{shard.path}, sample {row} (counted from 0)"
        return f"{shard.path}, {name}"

    def _bytes(self, block: int, places: NDArray[np.int64], row: int, suffixes: tuple[str, ...]) -> bytes:
        place, length = (int(v) for v in places[row])
        if length < 0:
            has = "has no" if length == -1 else "has more than one"
            raise DataError(f"{self.name(block, row)} {has} .{' or .'.join(suffixes)}: {MEND}")
        try:
            data = os.pread(self._handle(block), length, place)
        except OSError as error:
            raise DataError(f"{self.name(block, row)} cannot be read ({error.strerror}): {MEND}") from error
        if len(data) != length:
            raise DataError(f"{self._shards[block].path} is shorter than when it was opened: bring it back.")
        return data

    def _handle(self, block: int) -> int:
        key = (os.getpid(), block)  # a process that was forked has handles of its own
        if key not in self._handles:
            while len(self._handles) >= _OPEN:
                _, handle = self._handles.popitem(last=False)
                os.close(handle)
            try:
                self._handles[key] = os.open(self._shards[block].path, os.O_RDONLY)
            except OSError as error:
                path = self._shards[block].path
                raise DataError(f"{path} cannot be read ({error.strerror}): bring it back.") from error
        self._handles.move_to_end(key)
        return self._handles[key]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handles": OrderedDict()}

    def __del__(self) -> None:
        for handle in self.__dict__.get("_handles", {}).values():
            os.close(handle)


class _Name(str):
    """A sample's name, read from its shard when somebody wants to see it."""

    def __new__(cls, store: Shards, block: int, row: int) -> "_Name":
        self = super().__new__(cls)
        self._of = (store, block, row)
        return self

    _of: tuple[Shards, int, int]

    def __str__(self) -> str:
        store, block, row = self._of
        return store.name(block, row)

    def __format__(self, spec: str) -> str:
        return str(self)


def _number(text: str) -> Any:
    """A whole number where the text is one, else the text; None for none."""
    try:
        return int(text)
    except ValueError:
        return text or None


def _first(sample: dict[str, tuple[int, int]], suffixes: tuple[str, ...]) -> tuple[int, int]:
    return next((sample[s] for s in suffixes if s in sample), (0, -1))


def _samples(path: Path) -> Iterator[dict[str, tuple[int, int]]]:
    """The samples of a shard in turn: place and length of each of their files by its suffix.

    Raises:
        DataError: If it is no tar, or breaks off; the samples before that have come by then.
    """
    key: str | None = None
    sample: dict[str, tuple[int, int]] = {}
    for name, place, length in _files(path):
        prefix, suffix = base_plus_ext(name)
        if prefix is None:
            continue
        if prefix != key:
            if sample:
                yield sample
            key, sample = prefix, {}
        suffix = suffix.lower()
        sample[suffix] = (place, -2 if suffix in sample else length)
    if sample:
        yield sample


def _files(path: Path) -> Iterator[tuple[str, int, int]]:
    """Name, place and length of each file of a tar; those that describe the shard itself are passed over."""
    try:
        size = os.path.getsize(path)
        with path.open("rb") as file:
            packed = file.read(2)
            if packed in (b"\x1f\x8b", b"BZ"):
                raise DataError(f"{path} is packed, so that nothing in it has a place: unpack it to a plain .tar.")
            file.seek(0)
            with tarfile.open(fileobj=file, mode="r:") as tar:
                for member in tar:
                    tar.members = []  # type: ignore[attr-defined]  # they would all be kept
                    if member.isreg() and not member.name.split("/")[0].startswith("__"):
                        if member.offset_data + member.size > size:
                            raise tarfile.ReadError("unexpected end of data")
                        yield member.name, member.offset_data, member.size
                end = tar.offset
            file.seek(end)
            mark = file.read(_BLOCK)
            if mark != bytes(_BLOCK):
                what = "it ends without the mark of its end" if not mark else f"there is no header at byte {end}"
                raise tarfile.ReadError(what)
    except (OSError, tarfile.TarError) as error:
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        cause = "it breaks off" if cause == "empty header" else cause
        raise DataError(f"{path} is cut off, damaged or no tar ({cause}): {MEND}") from error
