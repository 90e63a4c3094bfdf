"""Which examples a step sees: a pure function of the seed and the step.

Every example comes once per epoch, in an order of its own. Position `p = step * batch_size + j` of the whole
training is the `p mod n`-th of epoch `p div n`, so a step may reach over the end of an epoch and no example is
dropped. Nothing depends on the number of processes or workers.

Where examples lie in blocks (`fokker.data.Blocks`), an epoch goes through the blocks in an order of its own, some at a
time, and mixes the examples of those. The examples of a step are then sorted by their positions, so that the share of
a process, and of each of its workers, lies in few of the blocks.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from fokker.data import Batch, Blocks, Examples
from fokker.errors import FokkerError
from fokker.noise import block_seed

__all__ = ["Order", "batches"]

_STREAM = 1
"""Separates the order of the examples from other uses of the seed."""
_WINDOWS = 1 << 43
"""The first of the streams that mix the examples of some blocks, one for each of an epoch's windows."""


class Order:
    """The order of the examples.

    Args:
        n: Number of examples.
        batch_size: Examples per step.
        seed: The training's seed.
        blocks: How they lie in their files; None if any is as near as any other.
    """

    def __init__(self, n: int, batch_size: int, seed: int, blocks: Blocks | None = None) -> None:
        self.n, self.batch_size, self.seed = n, batch_size, seed
        self._order = _Windows(blocks, seed) if blocks is not None else _Whole(n, seed)
        self._sorted = blocks is not None

    def step(self, step: int) -> list[int]:
        """The examples of a step, counted from 0."""
        position, stop = step * self.batch_size, (step + 1) * self.batch_size
        found: list[int] = []
        while position < stop:
            epoch, offset = divmod(position, self.n)
            taken = self._order.following(epoch, offset)[: stop - position]
            found += np.sort(taken).tolist() if self._sorted else taken.tolist()
            position += len(taken)
        return found


class _Whole:
    """Epochs whose examples are mixed all at once."""

    def __init__(self, n: int, seed: int) -> None:
        self._n, self._seed = n, seed
        self._epoch = -1
        self._permutation = np.zeros(0, np.int64)

    def following(self, epoch: int, offset: int) -> NDArray[np.int64]:
        """The examples of an epoch from an offset on."""
        if epoch != self._epoch:
            self._permutation = _permutation(self._n, block_seed(self._seed, epoch, _STREAM))
            self._epoch = epoch
        return self._permutation[offset:]


class _Windows:
    """Epochs that mix the examples of some blocks at a time; no more than those are held in memory."""

    def __init__(self, blocks: Blocks, seed: int) -> None:
        self._sizes, self._together, self._seed = np.array(blocks.sizes, np.int64), blocks.together, seed
        self._starts = np.concatenate([[0], self._sizes.cumsum()])
        self._epoch = self._window = -1
        self._blocks = self._ends = self._permutation = np.zeros(0, np.int64)

    def following(self, epoch: int, offset: int) -> NDArray[np.int64]:
        """The examples of an epoch from an offset on, up to the end of its window."""
        if epoch != self._epoch:
            self._blocks = _permutation(len(self._sizes), block_seed(self._seed, epoch, _STREAM))
            firsts = np.arange(0, len(self._blocks), self._together)
            self._ends = np.add.reduceat(self._sizes[self._blocks], firsts).cumsum()
            self._epoch, self._window = epoch, -1
        window = int(np.searchsorted(self._ends, offset, side="right"))
        if window != self._window:
            here = self._blocks[window * self._together : (window + 1) * self._together]
            members = np.concatenate([np.arange(self._starts[b], self._starts[b + 1]) for b in here])
            mixed = _permutation(len(members), block_seed(self._seed, epoch, _WINDOWS + window))
            self._permutation, self._window = members[mixed], window
        return self._permutation[len(self._permutation) - (int(self._ends[window]) - offset) :]


def _permutation(n: int, seed: int) -> NDArray[np.int64]:
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed)).numpy()


class _Steps(Sampler[list[int]]):
    """The examples of each step in turn, a process's share of them, cut into pieces of neighbours."""

    def __init__(self, order: Order, start: int, stop: int, part: slice, pieces: int) -> None:
        self._order, self._start, self._stop, self._part, self._pieces = order, start, stop, part, pieces

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self._start, self._stop):
            share, k = self._order.step(step)[self._part], self._pieces
            for i in range(k):
                yield share[len(share) * i // k : len(share) * (i + 1) // k]

    def __len__(self) -> int:
        return (self._stop - self._start) * self._pieces


class _Read(Dataset[Batch | FokkerError]):
    def __init__(self, examples: Examples) -> None:
        self._examples = examples

    def __getitem__(self, index: list[int]) -> Batch | FokkerError:
        try:
            return self._examples.fetch(index)
        except FokkerError as error:  # raised in a worker, it would come out with the worker's traceback as its text
            return error


def batches(examples: Examples, order: Order, start: int, stop: int, part: slice, workers: int) -> Iterator[Batch]:
    """Read the examples of the steps from `start` to `stop`.

    Args:
        examples: The opened split.
        order: Which examples a step sees.
        start: First step, counted from 0.
        stop: One past the last step.
        part: This process's share of each step's examples.
        workers: Processes that read ahead.

    Yields:
        The examples of each step.

    Raises:
        DataError: If an example cannot be read.
    """
    # The loader deals out its indices in turn: with as many pieces as workers, a worker always has the same piece, so
    # that two of them seldom read one block. No piece is empty: it would have no examples to tell the shape by.
    share = len(range(*part.indices(order.batch_size)))
    pieces = workers if examples.blocks is not None and 1 < workers <= share else 1
    loader = DataLoader(
        _Read(examples),
        sampler=_Steps(order, start, stop, part, pieces),
        batch_size=None,
        num_workers=workers,
        # a generator of its own: the loader would draw a base seed from the global one
        generator=torch.Generator().manual_seed(0),
    )
    read: list[Batch] = []
    for batch in loader:
        if isinstance(batch, FokkerError):
            raise batch
        read.append(batch)
        if len(read) == pieces:
            yield _joined(read)
            read = []


def _joined(parts: list[Batch]) -> Batch:
    if len(parts) == 1:
        return parts[0]
    cond = {name: torch.cat([p.cond[name] for p in parts]) for name in parts[0].cond}
    return Batch(torch.cat([p.x for p in parts]), cond)
