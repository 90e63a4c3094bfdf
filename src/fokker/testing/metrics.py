"""What every Metric should do."""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from fokker.errors import DataError
from fokker.metric import Metric
from fokker.testing.check import NotApplicable, Suite, expect
from fokker.testing.compare import close, same
from fokker.testing.generators import untouched
from fokker.testing.worlds import EVENT_SHAPES, normal

__all__ = ["suite"]

_SAMPLES, _REFERENCE = 48, 60
_EVENTS = ((2,), (1, 16), (1, 8, 8), (3, 32, 32))
"""Small examples of points, series and pictures; the first that a metric takes serves."""


def _observe(metric: Metric) -> list[Any]:
    """Its values for sets near each other, equal, and far apart."""
    x, y = _sets(metric)
    return [metric(x, y), metric(x, x), metric(x + 3, y)]


suite = Suite(Metric, observe=_observe)


@suite.check(over={"x".join(map(str, shape)): shape for shape in EVENT_SHAPES})
def sets_of_different_sizes(metric: Metric, shape: tuple[int, ...]) -> str:
    """Gives one finite number for sets of different sizes, in float32 and float64 alike."""
    x, y = _of(metric, shape)
    wide, narrow = metric(x, y), metric(x.float(), y.float())
    for value in (wide, narrow):
        expect(type(value) is float, f"gives a {type(value).__name__} where a float is due")
        expect(math.isfinite(value), f"gives {value}")
    close(narrow, wide, "the value in float32", rtol=1e-2, atol=1e-3 * abs(metric(x + 1, y)))
    return f"{wide:.3g}"


@suite.check
def farther_is_larger(metric: Metric) -> str:
    """Is larger for a set that is far away than for the set itself, and no smaller the farther it is.

    The reverse for one that claims that larger is closer.
    """
    _, y = _sets(metric)
    sign, falls = (-1, "rises") if metric.claims.larger_is_closer else (1, "falls")
    values = [metric(y + shift, y) for shift in (0.0, 1.0, 10.0)]
    told = " to ".join(f"{v:.4g}" for v in values)
    rounding = 1e-9 * max(map(abs, values))
    expect(
        sign * (values[2] - values[0]) > rounding,
        f"a set and itself, then shifted by 1 and by 10 standard deviations: {told}",
    )
    for nearer, farther in pairwise(values):
        expect(
            sign * (farther - nearer) >= -rounding,
            f"{falls} while a set is shifted away, by 0, 1 and 10: from {told}",
        )
    return told


@suite.check
def symmetric(metric: Metric) -> None:
    """Is the same when the sets are exchanged, if it claims to be symmetric."""
    _claimed(metric.claims.symmetric, "symmetric")
    x, y = _sets(metric)
    close(metric(y, x), metric(x, y), "claimed to be symmetric, the value with the sets exchanged", rtol=1e-8)


@suite.check
def zero_on_equal_sets(metric: Metric) -> str:
    """Vanishes where both sets hold the same examples, if it claims to."""
    _claimed(metric.claims.zero_on_equal_sets, "zero on equal sets")
    x, _ = _sets(metric)
    value = metric(x, x.clone())
    close(value, 0.0, "claimed to be zero, the value on equal sets", atol=1e-6 * abs(metric(x + 1, x)))
    return f"{value:.1g}"


@suite.check
def nonnegative(metric: Metric) -> str:
    """Is never below zero, if it claims not to be: tried on small sets of one law."""
    _claimed(metric.claims.nonnegative, "never negative")
    least = min(metric(x, y) for x, y in _pairs_of_one_law(metric))
    expect(least >= 0, f"claimed to be never negative, it is {least:.3g} on two sets of one law")
    return f"at least {least:.1g}"


@suite.check
def degree(metric: Metric) -> str:
    """Goes with the power of the data's scale that it claims."""
    claimed = metric.claims.degree
    if claimed is None:
        raise NotApplicable("it does not claim to go with a power of the data's scale")
    x, y = _sets(metric)
    near, wide = metric(x + 1, y), metric(8 * (x + 1), 8 * y)
    expect(near != 0 and wide / near > 0, f"claims degree {claimed}, and changes its sign or vanishes with the scale")
    measured = math.log(wide / near, 8)
    told = f"claims degree {claimed}, measured {measured:.4g}"
    expect(abs(measured - claimed) < 1e-6, told)
    return told


@suite.check
def any_order(metric: Metric) -> None:
    """Is the same for the examples in another order, if it claims to be."""
    _claimed(metric.claims.any_order, "the same for any order of the examples")
    x, y = _sets(metric)
    for name, shuffled in (("samples", (x.flip(0), y)), ("reference", (x, y.roll(7, 0)))):
        close(metric(*shuffled), metric(x, y), f"with the {name} in another order, the value", rtol=1e-8)


@suite.check
def any_shape(metric: Metric) -> None:
    """Is the same for the numbers of each example laid out otherwise, if it claims to be."""
    _claimed(metric.claims.any_shape, "the same for any layout of the numbers")
    x, y = normal(_SAMPLES, 12, seed=1), normal(_REFERENCE, 12, seed=2) + 0.5
    value = _taken(lambda: metric(x, y))
    for layout in ((3, 4), (1, 2, 6), (2, 1, 3, 2)):
        found = metric(x.reshape(-1, *layout), y.reshape(-1, *layout))
        close(found, value, f"for 12 numbers laid out as {layout}, the value", rtol=1e-8)


@suite.check
def deterministic(metric: Metric) -> None:
    """Is a function of the sets and its fields: the same every time, without a draw from a global generator."""
    x, y = _sets(metric)
    with untouched():
        values = [metric(x, y) for _ in range(3)]
    expect(len(set(values)) == 1, f"gives {' and '.join(f'{v:.6g}' for v in values)} for the same sets")


@suite.check
def input_untouched(metric: Metric) -> None:
    """Writes into neither of the sets."""
    x, y = _sets(metric)
    for name, given in (("samples", x), ("reference", y)):
        before = given.clone()
        metric(x, y)
        same(given, before, f"after a call, a value of the {name}")


@suite.check
def refuses_other_shapes(metric: Metric) -> None:
    """Refuses sets of examples of different shapes with a DataError."""
    x, y = _sets(metric)
    _refuses(metric, x, torch.cat([y, y], dim=-1), "examples of another shape in the reference")


@suite.check
def refuses_what_is_not_finite(metric: Metric) -> None:
    """Refuses a value that is not finite, in either set, with a DataError."""
    x, y = _sets(metric)
    for value in (math.nan, math.inf):
        off = x.clone()
        off.view(-1)[5] = value
        _refuses(metric, off, y, f"{value} among the samples")
        _refuses(metric, y, off, f"{value} in the reference")


def _claimed(claim: bool, what: str) -> None:
    if not claim:
        raise NotApplicable(f"it does not claim to be {what}")


def _taken(action: Callable[[], float]) -> float:
    """A value, unless the sets are of a kind that the metric refuses.

    Raises:
        NotApplicable: With the metric's own reason.
    """
    try:
        return action()
    except DataError as error:
        raise NotApplicable(f"refused: {error}") from error


def _of(metric: Metric, event: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Two sets of unlike laws.

    Raises:
        NotApplicable: If the metric refuses examples of this shape.
    """
    x, y = normal(_SAMPLES, *event, seed=1), 1.5 * normal(_REFERENCE, *event, seed=2) + 0.25
    _taken(lambda: metric(x.clone(), y.clone()))
    return x, y


def _sets(metric: Metric) -> tuple[Tensor, Tensor]:
    """Two sets of unlike laws, of examples of the first shape that the metric takes."""
    refusal: NotApplicable | None = None
    for event in _EVENTS:
        try:
            return _of(metric, event)
        except NotApplicable as error:
            refusal = refusal or error
    assert refusal is not None
    raise refusal


def _pairs_of_one_law(metric: Metric) -> Iterator[tuple[Tensor, Tensor]]:
    x, _ = _sets(metric)
    for seed in range(8):
        yield normal(*x.shape, seed=2 * seed), normal(*x.shape, seed=2 * seed + 1)


def _refuses(metric: Metric, samples: Tensor, reference: Tensor, what: str) -> None:
    try:
        value = metric(samples, reference)
    except DataError:
        return
    expect(False, f"takes {what} and gives {value:.6g} where a DataError is due")
