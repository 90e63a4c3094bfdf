"""What samples are measured against, and the value that nobody can be expected to beat.

    floor = E m(X, Y),    limit = the 95th percentile of m(X, Y),    X as many examples as there are samples

X is independent of the reference Y and has its law: a sampler whose value lies below the limit cannot be told from one
that is exact. For a likeness the limit is the 5th percentile.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fokker.data import Chain, DataSource, Examples, evenly_spread
from fokker.errors import ConfigError
from fokker.exact import ExactModel
from fokker.metric import Metric
from fokker.noise import Seeded, block_seed

__all__ = ["Floor", "Target", "floor", "of_data", "of_law"]

_REFERENCE = 2000
"""Examples of the reference, unless there are more samples."""
_SETS = 20
_POOL, _POOL_NUMEL = 20_000, 1 << 26
_STREAM = 1 << 45
"""Separates what is drawn here from other uses of a seed."""


@dataclass(frozen=True, eq=False)
class Target:
    """The data.

    Args:
        reference: What samples are compared with, in the data's own units, (M, *D).
        sets: Independent examples of the same law, as many as there are samples if there are so many, (N, *D) each.
        words: What it is.
    """

    reference: Tensor
    sets: Sequence[Tensor]
    words: str


@dataclass(frozen=True)
class Floor:
    """What a metric says of real data.

    Args:
        mean: Its mean.
        limit: The value that one set in twenty exceeds, or falls short of where more is better.
    """

    mean: float
    limit: float


def floor(metric: Metric, target: Target) -> Floor:
    """What the metric says of independent sets of the data itself."""
    values = torch.tensor([metric(x, target.reference) for x in target.sets], dtype=torch.float64)
    return Floor(float(values.mean()), float(values.quantile(0.05 if metric.claims.larger_is_closer else 0.95)))


def of_law(law: ExactModel, chain: Chain, n: int, *, seed: int = 0) -> Target:
    """Draws of an exact law.

    Args:
        law: The law, in the model's units.
        chain: The data's transforms, whose inverse is applied.
        n: Number of samples that will be measured.
        seed: Of the draws.
    """

    def draw(count: int, use: int) -> Tensor:
        return chain.inverse(law.draw(count, Seeded(block_seed(seed, use, _STREAM))).float())

    size = max(n, _REFERENCE)
    return Target(draw(size, 0), [draw(n, 1 + k) for k in range(_SETS)], f"{size} draws of the exact law")


def of_data(
    source: DataSource, n: int, *, split: Literal["train", "test"] = "test", label: int | None = None, seed: int = 0
) -> Target:
    """Examples of a split, and sets of the other split.

    Args:
        source: The data.
        n: Number of samples that will be measured.
        split: Where the reference comes from.
        label: Class of all examples.
        seed: Decides which examples make up the sets.

    Raises:
        ConfigError: If there are too few examples.
        DataError: If a split cannot be read.
    """
    reference = _pool(source.open(split), max(n, _REFERENCE), label)
    others = _pool(source.open("train" if split == "test" else "test"), None, label, least=n)
    sets = []
    for k in range(_SETS):
        generator = torch.Generator().manual_seed(block_seed(seed, k, _STREAM))
        sets.append(others[torch.randperm(len(others), generator=generator)[:n]])
    of_class = "" if label is None else f" of class {label}"
    words = f"{len(reference)} examples{of_class}, {split}"
    if len(others) < n:
        words += f"; the floor is that of {len(others)} examples, since the other split has no more"
    return Target(reference, sets, words)


def _pool(examples: Examples, size: int | None, label: int | None, *, least: int = 0) -> Tensor:
    """Examples evenly spread over a split, of a class if given."""
    total, numel = len(examples), max(1, torch.Size(examples.event_shape).numel())
    most = max(least, min(_POOL, _POOL_NUMEL // numel)) if size is None or label is not None else size
    count = min(total, most)
    batch = examples.fetch(evenly_spread(examples, count))
    if label is None or "label" not in batch.cond:
        return batch.x
    x = batch.x[batch.cond["label"] == label]
    if len(x) < 2:
        raise ConfigError(f"There are {len(x)} examples of class {label} to compare with; two are needed.")
    return x if size is None else x[:size]
