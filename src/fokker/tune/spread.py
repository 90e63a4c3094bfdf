"""How far data is spread: what noise levels are chosen by.

    sigma_data    standard deviation of all values about their common mean
    largest       largest distance of two examples, what technique 1 takes for the largest noise (Song & Ermon, 2020)

Distances are looked at block by block: n examples take n values of memory besides themselves, never n^2.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from fokker.data import Chain, Examples
from fokker.errors import DataError
from fokker.noise import Seeded, block_seed

__all__ = ["Largest", "Spread", "largest_distance", "read", "spread"]

MAX_VALUES = 1 << 26
"""Values held in memory, 256 MB: of larger data, examples that are evenly spread over it."""

BUDGET = 4e10
"""Multiplications for distances, some seconds: where comparing all pairs takes more, draws of examples are compared."""

_BLOCK = 2048
_READ = 4096
_DRAWS = 8
_SEED = block_seed(0, 0, 7)  # the numbers are the data's: no seed of a training changes them

Tell = Callable[[float, float, str], None]
"""Told how much is done of the total, and what is being done."""


@dataclass(frozen=True)
class Largest:
    """The largest distance of two examples.

    Args:
        distance: The largest one found, a distance of two examples of the data.
        error: 0 where all pairs were compared; otherwise the standard deviation between draws of what each found.
        pairs: Pairs of which it is the largest.
        exact: Whether these are all pairs of the examples.
    """

    distance: float
    error: float
    pairs: int
    exact: bool


@dataclass(frozen=True)
class Spread:
    """What is measured of data in the model's units.

    Args:
        examples: Examples that there are.
        read: Examples that were looked at.
        dim: Values of an example.
        mean: Mean over all values.
        sigma_data: Standard deviation of all values about it.
        sigma_data_error: Its standard error.
        largest: The largest distance of two examples.
    """

    examples: int
    read: int
    dim: int
    mean: float
    sigma_data: float
    sigma_data_error: float
    largest: Largest


def read(examples: Examples, chain: Chain, tell: Tell = lambda done, total, words: None) -> Tensor:
    """Examples in the model's units, (n, dim) float32: all, or as many as `MAX_VALUES` holds, evenly spread.

    Args:
        examples: The opened split.
        chain: Its transforms, fitted.
        tell: Told how it goes.

    Raises:
        DataError: If there are fewer than two examples, or one cannot be read.
    """
    n = len(examples)
    if n < 2:
        raise DataError(f"Noise levels follow from distances of examples; this data has {n}, and two are the fewest.")
    dim = math.prod(examples.event_shape)
    count = min(n, max(2, MAX_VALUES // dim))
    x = torch.empty(count, dim)
    for first in range(0, count, _READ):
        rows = range(first, min(first + _READ, count))
        batch = examples.fetch([i * n // count for i in rows]).x
        x[first : rows.stop] = chain.forward(batch, Seeded(block_seed(_SEED, first, 0))).flatten(1)
        tell(rows.stop, count, "reading")
    return x


def spread(x: Tensor, examples: int, tell: Tell = lambda done, total, words: None) -> Spread:
    """Measure examples.

    Args:
        x: Examples in the model's units, (n, dim).
        examples: Number of examples of the data that they are from.
        tell: Told how it goes.

    Raises:
        DataError: If all values are the same.
    """
    n, dim = x.shape
    mean = float(torch.stack([block.double().sum() for block in x.split(_READ)]).sum()) / x.numel()
    square = torch.cat([(block.double() - mean).square().mean(1) for block in x.split(_READ)])
    sigma_data = float(square.mean().sqrt())
    if sigma_data == 0:
        raise DataError("All values of this data are the same; there is nothing to take noise levels from.")
    # the standard error of the mean square, over 2 sigma_data
    error = float(square.std()) / math.sqrt(n) / (2 * sigma_data)
    largest = largest_distance(x, tell=tell)
    if n < examples:
        largest = Largest(largest.distance, largest.error or _between_draws(x, tell), largest.pairs, exact=False)
    return Spread(examples, n, dim, mean, sigma_data, error, largest)


def largest_distance(x: Tensor, budget: float = BUDGET, tell: Tell = lambda done, total, words: None) -> Largest:
    """The largest distance of two examples.

    No two examples are further apart than the sum of their distances to the centre. In few dimensions this leaves a
    handful that can be the pair, and all pairs are compared whatever n is. Where too many are left, eight draws of
    examples are compared with themselves, and from the best pair on, always the furthest of all examples is taken.

    Args:
        x: Examples, (n, dim), n >= 2.
        budget: Multiplications that comparing may take.
        tell: Told how it goes.
    """
    n, dim = x.shape
    x = x - x.double().mean(0).to(x.dtype)  # products of centred examples lose no digits to a common offset
    radius = x.norm(dim=1)
    order = radius.argsort(descending=True, stable=True)
    best = _ascend(x, int(order[0]))
    # examples whose partner, were it the outermost one, could be further away than the best pair
    outer = order[: int((radius[order] + radius[order[0]] >= best * (1 - 1e-6)).sum())]
    if len(outer) ** 2 * dim <= 2 * budget:
        a, b = _compare(x[outer], radius[outer], best, tell)
        return Largest(_distance(x, int(outer[a]), int(outer[b])), 0.0, n * (n - 1) // 2, exact=True)
    draws = _draws(x, budget)
    found = []
    for k, rows in enumerate(draws):
        a, b = _compare(x[rows], radius[rows], 0.0, lambda done, total, words: None)
        found.append((_distance(x, int(rows[a]), int(rows[b])), int(rows[a])))
        tell(k + 1, len(draws), "comparing draws of examples")
    distances = torch.tensor([d for d, _ in found], dtype=torch.float64)
    ascended = _ascend(x, max(found)[1])
    pairs = sum(len(rows) * (len(rows) - 1) // 2 for rows in draws)
    return Largest(max(best, ascended, max(found)[0]), float(distances.std()), pairs, exact=False)


def _between_draws(x: Tensor, tell: Tell) -> float:
    """Standard deviation between draws of the largest distance in each."""
    draws = _draws(x, BUDGET)
    found = [largest_distance(x[rows], tell=tell).distance for rows in draws]
    return float(torch.tensor(found, dtype=torch.float64).std())


def _draws(x: Tensor, budget: float) -> list[Tensor]:
    """Disjoint draws of examples, as many in each as can be compared."""
    n, dim = x.shape
    each = max(2, min(n // _DRAWS, int(math.sqrt(2 * budget / _DRAWS / dim))))
    order = torch.randperm(n, generator=torch.Generator().manual_seed(_SEED))
    return [rows for rows in order[: each * _DRAWS].split(each) if len(rows) > 1]


def _compare(x: Tensor, radius: Tensor, best: float, tell: Tell) -> tuple[int, int]:
    """The positions of the two furthest examples, block by block."""
    order = radius.argsort(descending=True, stable=True)
    x, radius = x[order], radius[order]
    square = radius.square()
    pair = (0, len(x) - 1)
    top = max(best * (1 - 1e-5), 0.0) ** 2
    starts = range(0, len(x), _BLOCK)
    for i in starts:
        for j in range(i, len(x), _BLOCK):
            if float(radius[i] + radius[j]) ** 2 < top:
                break  # the examples lie in order: nothing further in is further apart
            a, b = slice(i, i + _BLOCK), slice(j, j + _BLOCK)
            squares = square[a, None] + square[None, b] - 2 * x[a] @ x[b].T
            value, at = squares.flatten().max(0)
            if float(value) > top:
                top = float(value)
                row, column = divmod(int(at), squares.shape[1])
                pair = (i + row, j + column)
        tell(min(i + _BLOCK, len(x)), len(x), "comparing examples")
    return int(order[pair[0]]), int(order[pair[1]])


def _ascend(x: Tensor, start: int) -> float:
    """From an example to the furthest one, and on from there, until the distance grows no more."""
    here, best = start, 0.0
    while True:
        distances = torch.cat([(block - x[here]).norm(dim=1) for block in x.split(_READ)])
        there = int(distances.argmax())
        distance = _distance(x, here, there)
        if distance <= best:
            return best
        here, best = there, distance


def _distance(x: Tensor, a: int, b: int) -> float:
    return float((x[a].double() - x[b].double()).norm())
