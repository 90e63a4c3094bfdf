"""Data sources with one defect each."""

import dataclasses
import time

import numpy as np
import torch

from fokker import component
from fokker.data import Batch, Blocks, DataSource, Examples, Transform
from fokker.testing.worlds import normal
from fokker_data.toy import Ring
from fokker_data.transforms import Dequantise, Logit, Range


@component
class Bytes(DataSource):
    """Random bytes in [0, 1], event shape (1, 2, 2), in three classes."""

    n: int = 30
    transforms: tuple[Transform, ...] = (Dequantise(), Logit())

    def open(self, split="train"):
        return Stored(self.n, 0 if split == "train" else 1)


class Stored(Examples):
    event_shape = (1, 2, 2)
    classes = 3

    def __init__(self, n, seed):
        self.label = torch.arange(n) % self.classes
        self.x = (torch.special.ndtr(normal(n, *self.event_shape, seed=seed)).float() * 255).round() / 255

    def __len__(self):
        return len(self.x)

    def fetch(self, index):
        chosen = torch.tensor(index)
        return Batch(self.x[chosen], {"label": self.label[chosen]})


def opened_as(change):
    """The source whose opened split is changed by this function after it is made."""

    @component
    class Mutant(Bytes):
        def open(self, split="train"):
            examples = super().open(split)
            change(examples)
            return examples

    return Mutant()


def fetched_as(change):
    """The source whose batches are what this function makes of the examples and the positions."""

    class Changed(Stored):
        def fetch(self, index):
            return change(self, list(index), super().fetch(index))

    @component
    class Mutant(Bytes):
        def open(self, split="train"):
            return Changed(self.n, 0 if split == "train" else 1)

    return Mutant()


def shuffle(examples):
    order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(time.perf_counter_ns()))
    examples.x = examples.x[order]


def shuffle_with_numpy(examples):
    np.random.seed(0)
    examples.x = examples.x[torch.from_numpy(np.random.permutation(len(examples)))]


def count_from_one(examples):
    examples.label += 1


def forget_classes(examples):
    examples.classes = None


def flatten(examples):
    examples.x = examples.x.flatten(1)


def poison(examples):
    examples.x[-1] = torch.nan


def in_order_of_the_file(examples, index, batch):
    return Batch(examples.x[sorted(index)], {"label": examples.label[sorted(index)]})


def views(examples, index, batch):
    run = range(index[0], index[0] + len(index))
    return Batch(examples.x[run.start : run.stop], batch.cond) if index == list(run) else batch


def batch_statistics(examples, index, batch):
    return Batch(batch.x / batch.x.max(), batch.cond)


@component
class Wrapping(Bytes):
    def open(self, split="train"):
        class Wrapped(Stored):
            def fetch(self, index):
                return super().fetch([i % len(self) for i in index])

        return Wrapped(self.n, 0)


@component
class OffByOne(Dequantise):
    """Dequantises, and rounds up on the way back."""

    def inverse(self, y):
        return ((self.levels * y).floor() + 1).clamp(0, self.levels - 1) / (self.levels - 1)


@component
class Silent(Range):
    """Changes the range without a log-determinant."""

    def log_det(self, x):
        return x.new_zeros(len(x))


@component
class Deaf(Ring):
    """Takes a radius and draws with another."""

    def open(self, split="train"):
        return super(Deaf, dataclasses.replace(self, radius=1.0)).open(split)


@component
class Mistaken(Ring):
    """Names the law of a ring that is a tenth wider."""

    def law(self, perturbation):
        return Ring(modes=self.modes, radius=1.1 * self.radius, std=self.std).law(perturbation)


def in_blocks(*sizes, together=2):
    """The source that names these blocks."""
    return opened_as(lambda examples: setattr(examples, "blocks", Blocks(sizes, together)))


SOUND = Bytes()

MUTANTS = {
    "is shuffled differently whenever it is opened": (SOUND, opened_as(shuffle), "reproducible[train]"),
    "is shuffled by numpy's global generator": (SOUND, opened_as(shuffle_with_numpy), "global-generators"),
    "counts labels from 1": (SOUND, opened_as(count_from_one), "conditions"),
    "has labels and names no classes": (SOUND, opened_as(forget_classes), "conditions"),
    "names another event shape than it gives": (SOUND, opened_as(flatten), "examples[train]"),
    "holds a nan": (SOUND, opened_as(poison), "examples[test]"),
    "gives float64": (SOUND, opened_as(lambda e: setattr(e, "x", e.x.double())), "examples[train]"),
    "reads in the order of the file": (SOUND, fetched_as(in_order_of_the_file), "indexed"),
    "scales by the maximum of the batch": (SOUND, fetched_as(batch_statistics), "indexed"),
    "gives views of what it stores": (SOUND, fetched_as(views), "owned"),
    "forgets the last block": (in_blocks(10, 15, 5), in_blocks(10, 15), "blocks[train]"),
    "names a block without examples": (in_blocks(30), in_blocks(30, 0), "blocks[test]"),
    "mixes no blocks": (in_blocks(30), in_blocks(30, together=0), "blocks[train]"),
    "starts again behind the last example": (SOUND, Wrapping(), "past-the-end"),
    "has a transform that is off by one level": (SOUND, Bytes(transforms=(OffByOne(),)), "inverse"),
    "has a transform without its log-determinant": (SOUND, Bytes(transforms=(Silent(),)), "log-det"),
    "names the law of another ring": (Ring(), Mistaken(), "law"),
    "takes a radius and has its own": (Ring(), Deaf(), "field[radius]"),
}
