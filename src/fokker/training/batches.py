"""Which examples a step sees: a pure function of the seed and the step.

Every example comes once per epoch, in an order of its own. Position `p = step * batch_size + j` of the whole
training is the `p mod n`-th of epoch `p div n`, so a step may reach over the end of an epoch and no example is
dropped. Nothing depends on the number of processes or workers.
"""

from collections.abc import Iterator

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from fokker.data import Batch, Examples
from fokker.errors import FokkerError
from fokker.noise import block_seed

__all__ = ["Order", "batches"]

_STREAM = 1
"""Separates the order of the examples from other uses of the seed."""


class Order:
    """The order of the examples.

    Args:
        n: Number of examples.
        batch_size: Examples per step.
        seed: The training's seed.
    """

    def __init__(self, n: int, batch_size: int, seed: int) -> None:
        self.n, self.batch_size, self.seed = n, batch_size, seed
        self._epoch = -1
        self._permutation: list[int] = []

    def step(self, step: int) -> list[int]:
        """The examples of a step, counted from 0."""
        first = step * self.batch_size
        return [self._at(p) for p in range(first, first + self.batch_size)]

    def _at(self, position: int) -> int:
        epoch, offset = divmod(position, self.n)
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(block_seed(self.seed, epoch, _STREAM))
            self._permutation = torch.randperm(self.n, generator=generator).tolist()
            self._epoch = epoch
        return self._permutation[offset]


class _Steps(Sampler[list[int]]):
    def __init__(self, order: Order, start: int, stop: int, part: slice) -> None:
        self._order, self._start, self._stop, self._part = order, start, stop, part

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self._start, self._stop):
            yield self._order.step(step)[self._part]

    def __len__(self) -> int:
        return self._stop - self._start


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
    loader = DataLoader(
        _Read(examples),
        sampler=_Steps(order, start, stop, part),
        batch_size=None,
        num_workers=workers,
        # a generator of its own: the loader would draw a base seed from the global one
        generator=torch.Generator().manual_seed(0),
    )
    for batch in loader:
        if isinstance(batch, FokkerError):
            raise batch
        yield batch
