"""Rows in blocks on disk, and the examples of a split among them.

    store      every row of the files, broken or not, at (block, row)
    survey     what was found on looking through it: the shape, the labels, what is broken
    examples   the rows of a split that are whole, by their positions

A row keeps its split whatever else is broken, and a training reads rows by position: so where it begins again, it sees
the same ones.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fokker.data import Batch, Blocks, Examples, Split
from fokker.errors import DataError
from fokker_data.stored import positions
from fokker_datasets.value import MEND

__all__ = ["Store", "StoredRows", "Survey", "examples_of", "survey"]

_CHUNK = 64
"""Rows that are decoded together while looking for broken ones."""
_GOLDEN = 0x9E3779B97F4A7C15  # 2^64 divided by the golden ratio
_NAMED = 3
"""Broken files and rows that a note names; the others are counted."""


class Store(ABC):
    """Rows in blocks; read-only, and the same in every process that it is sent to.

    Args:
        sizes: Number of rows of each block.
        near: Whether a row costs no more to read than its share of its block.
        lost: What is said of each file that is left out as a whole.
        classes: Number of classes, where the files say it.
    """

    sizes: tuple[int, ...]
    near: bool = False
    lost: tuple[str, ...] = ()
    classes: int | None = None

    @abstractmethod
    def read(self, block: int, rows: Sequence[int], shape: tuple[int, ...] | None) -> NDArray[np.float32]:
        """Some rows of a block, in this order, (rows, *D).

        Args:
            block: Number of the block.
            rows: Rows in it.
            shape: The shape that each must have; None takes any, of one row.

        Raises:
            DataError: If one is broken; file and row are named.
        """

    @abstractmethod
    def labels(self, block: int) -> Sequence[Any] | None:
        """The label of every row of a block as it is stored, None where there is none; None without labels.

        Raises:
            DataError: If they cannot be read.
        """

    @abstractmethod
    def place(self, block: int) -> tuple[str, int]:
        """Name of a block's file, without its folder, and the number of rows before the block in it."""

    @abstractmethod
    def name(self, block: int, row: int) -> str:
        """What a row is called in messages: its file, and where in it."""


@dataclass(frozen=True, eq=False)
class Survey:
    """What was found on looking through a store.

    Args:
        shape: Shape of an example.
        classes: Number of classes; None without labels.
        labels: Class of every row of each block, -1 where it is broken.
        whole: Whether a row is whole, for each row of each block.
        broken: What is said of the first broken rows.
        looked: Whether every row was looked at.
    """

    shape: tuple[int, ...]
    classes: int | None
    labels: tuple[NDArray[np.int32], ...]
    whole: tuple[NDArray[np.bool_], ...]
    broken: tuple[str, ...]
    looked: bool

    @property
    def count(self) -> int:
        """Number of broken rows."""
        return sum(int((~w).sum()) for w in self.whole)


@dataclass
class _Findings:
    """Broken rows as they are found; without `skip` the first one is raised."""

    skip: bool
    whole: list[NDArray[np.bool_]]
    said: list[str] = field(default_factory=list)

    def broken(self, block: int, rows: Sequence[int] | slice, error: DataError) -> None:
        if not self.skip:
            raise error
        if self.whole[block][rows].any() and len(self.said) < _NAMED:
            self.said.append(str(error))
        self.whole[block][rows] = False


def survey(store: Store, skip: bool, shape: tuple[int, ...] | None = None) -> Survey:
    """Look through a store: the labels, the first row's shape, and with `skip` every row once.

    Args:
        store: The store.
        skip: Whether broken rows are left out.
        shape: Shape of an example where it is known.

    Raises:
        DataError: If a label cannot be a class, or nothing is whole.
    """
    found = _Findings(skip, [np.ones(size, np.bool_) for size in store.sizes])
    labels, classes = _classes(store, found)
    for block, row in _rows(found.whole) if shape is None else ():
        try:
            shape = store.read(block, [row], None).shape[1:]
            break
        except DataError as error:
            found.broken(block, [row], error)
    if skip and shape is not None:
        for block, size in enumerate(store.sizes):
            for first in range(0, size, _CHUNK):
                _look(store, found, block, range(first, min(first + _CHUNK, size)), shape)
    if shape is None or not any(w.any() for w in found.whole):
        raise DataError((found.said or list(store.lost) or ["There are no rows."])[0])
    return Survey(shape, classes, tuple(labels), tuple(found.whole), tuple(found.said), skip)


def _rows(whole: Sequence[NDArray[np.bool_]]) -> Iterator[tuple[int, int]]:
    return ((block, row) for block, w in enumerate(whole) for row in range(len(w)) if w[row])


def _look(store: Store, found: _Findings, block: int, rows: range, shape: tuple[int, ...]) -> None:
    try:
        store.read(block, rows, shape)
    except DataError:
        for row in rows:
            try:
                store.read(block, [row], shape)
            except DataError as error:
                found.broken(block, [row], error)


def _classes(store: Store, found: _Findings) -> tuple[list[NDArray[np.int32]], int | None]:
    """The class of every row, and the number of classes."""
    names: dict[str, int] = {}
    labels, highest, kinds = [], -1, set()
    for block, size in enumerate(store.sizes):
        codes = np.full(size, -1, np.int32)
        labels.append(codes)
        try:
            stored = store.labels(block)
        except DataError as error:
            found.broken(block, slice(None), error)
            continue
        if stored is None:
            return [], None
        for row, label in enumerate(stored):
            if isinstance(label, str):
                codes[row] = names.setdefault(label, len(names))
            elif isinstance(label, int) and 0 <= label < (store.classes or 2**31 - 1):
                codes[row] = label
                highest = max(highest, label)
            else:
                said = (
                    "has no label" if label is None else f"has the label {label!r}, labels are whole numbers 0, 1, ..."
                )
                found.broken(block, [row], DataError(f"{store.name(block, row)} {said}: {MEND}"))
                continue
            kinds.add(isinstance(label, str))
    if len(kinds) > 1:
        raise DataError(f"{store.name(0, 0).split(',')[0]} and what belongs to it have words and numbers for labels.")
    if not names:
        return labels, store.classes or highest + 1
    ranks = np.empty(len(names) + 1, np.int32)
    ranks[[names[name] for name in sorted(names)]] = np.arange(len(names))
    ranks[-1] = -1  # where a row has none
    return [ranks[codes] for codes in labels], len(names)


def examples_of(
    store: Store, found: Survey, split: Split, *, test_share: float, together: int, where: str
) -> "StoredRows":
    """The whole rows of a split.

    Args:
        store: The store.
        found: What is known of it.
        split: The split.
        test_share: Share of rows in the test split, spread evenly, in [0, 1).
        together: Number of blocks that are mixed at a time.
        where: What the data is called in messages.

    Raises:
        DataError: If the split is empty.
    """
    kept = []
    for block, whole in enumerate(found.whole):
        test = _in_test(*store.place(block), len(whole), test_share)
        rows = np.flatnonzero(whole & (test if split == "test" else ~test)).astype(np.int32)
        if len(rows):
            kept.append((block, rows))
    if not kept:
        count = sum(int(w.sum()) for w in found.whole)
        raise DataError(
            f"{where}: the {split} split is empty ({count:,} whole examples, test_share={test_share:g}): "
            f"{'raise' if split == 'test' else 'lower'} test_share or take the other split."
        )
    return StoredRows(store, found, kept, together)


def _in_test(file: str, first: int, n: int, share: float) -> NDArray[np.bool_]:
    """Which of n neighbouring rows of a file are in the test split: a share of every run of them, to within a few.

    It depends on the file's name and the row's number in it alone, so no other file moves one to another split.
    """
    start = int.from_bytes(hashlib.blake2b(file.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "big")
    turn = np.arange(first, first + n, dtype=np.uint64) * np.uint64(_GOLDEN) + np.uint64(start)  # modulo 2^64
    return turn < np.uint64(round(share * 2**64)) if share else np.zeros(n, np.bool_)


class StoredRows(Examples):
    """Rows of a store as examples.

    Args:
        store: The store.
        found: What is known of it.
        kept: The blocks that hold examples, with the rows that do.
        together: Number of blocks that are mixed at a time.
    """

    def __init__(
        self, store: Store, found: Survey, kept: Sequence[tuple[int, NDArray[np.int32]]], together: int
    ) -> None:
        self.event_shape = found.shape
        self.classes = found.classes
        self.notes = _notes(store, found) if found.looked else ()
        self.blocks = None if store.near else Blocks(tuple(len(rows) for _, rows in kept), together)
        self._store, self._kept, self._labels = store, kept, found.labels
        self._ends = np.cumsum([len(rows) for _, rows in kept])

    def __len__(self) -> int:
        """Number of examples."""
        return int(self._ends[-1])

    def fetch(self, index: Sequence[int]) -> Batch:
        """Read the examples at these positions, in this order; every block once.

        Args:
            index: Positions in [0, len), repeats allowed.

        Raises:
            DataError: If one cannot be read; its file and row are named.
        """
        wanted = positions(index, len(self))
        x = np.empty((len(wanted), *self.event_shape), np.float32)
        label = np.empty(len(wanted), np.int64)
        places = np.searchsorted(self._ends, wanted, side="right")
        found, first = np.unique(places, return_index=True)
        for k in found[first.argsort()]:  # in the order of a training, which is done with the blocks of its last window
            here = np.flatnonzero(places == k)
            block, rows = self._kept[k]
            chosen = rows[wanted[here] - (self._ends[k] - len(rows))]
            x[here] = self._store.read(block, chosen.tolist(), self.event_shape)
            if self.classes is not None:
                label[here] = self._labels[block][chosen]
        cond = {} if self.classes is None else {"label": torch.from_numpy(label)}
        return Batch(torch.from_numpy(x), cond)


def _notes(store: Store, found: Survey) -> tuple[str, ...]:
    said = [*store.lost, *found.broken]
    if not said:
        return (f"skip=true left out nothing: all of {sum(store.sizes):,} rows are whole.",)
    counts = [(len(store.lost), "file"), (found.count, "row")]
    what = " and ".join(f"{n:,} {word}{'' if n == 1 else 's'}" for n, word in counts if n)
    shown = " ".join(text.removesuffix(MEND).rstrip(": ") + ";" for text in said[:_NAMED]).rstrip(";")
    more = len(store.lost) + found.count - min(len(said), _NAMED)
    return (f"skip=true left out {what}: {shown}{f'; and {more:,} more' if more else ''}.",)
