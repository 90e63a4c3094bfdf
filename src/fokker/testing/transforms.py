"""What every Transform should do.

What a transform maps is found by trying: a set of values is its own if `fit` takes examples of it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import prod
from typing import Any, TypeAlias

import torch
from torch import Tensor

from fokker.data import Transform
from fokker.errors import FokkerError
from fokker.noise import Noise, Seeded, Time, Zero
from fokker.testing import components
from fokker.testing.check import NotApplicable, Suite, expect
from fokker.testing.compare import close, same
from fokker.testing.generators import untouched
from fokker.testing.jacobian import log_determinants
from fokker.testing.worlds import EVENT_SHAPES, normal

__all__ = ["DOMAINS", "suite"]

Values: TypeAlias = Callable[[tuple[int, ...]], Tensor]
"""Examples of a domain by their shape (B, *D), float64."""

_Taken: TypeAlias = tuple[Transform, Tensor]

_ROWS = 6
_EVENTS = ((2,), (1,), (3,), (3, 2, 2), (1, 2, 3))
"""Small events of one, two and three channels."""


def _reals(shape: tuple[int, ...]) -> Tensor:
    channel = torch.arange(1, shape[1] + 1, dtype=torch.float64).reshape(-1, *[1] * (len(shape) - 2))
    return channel * (normal(*shape, seed=1) + 0.5)  # each channel has its own mean and spread


def _positive(shape: tuple[int, ...]) -> Tensor:
    return _reals(shape).exp()


def _unit(shape: tuple[int, ...]) -> Tensor:
    x: Tensor = torch.special.ndtr(normal(*shape, seed=2))
    for row, value in enumerate((0.0, 1 / 255, 1.0)):  # the ends, and the smallest level of a byte
        x[row].view(-1)[0] = value
    return x


def _levels(shape: tuple[int, ...]) -> Tensor:
    return _bytes(shape) / 255


def _bits(shape: tuple[int, ...]) -> Tensor:
    return _unit(shape).round()


def _bytes(shape: tuple[int, ...]) -> Tensor:
    return (255 * _unit(shape)).round()


DOMAINS: Mapping[str, Values] = {
    "reals": _reals,
    "positive": _positive,
    "unit": _unit,
    "levels": _levels,
    "bits": _bits,
    "bytes": _bytes,
}
"""The line, its positive half, [0, 1], k/255, {0, 1}, and 0, ..., 255."""


class _Given(Noise):
    """Uniform draws that are given: all the same number, or a tensor like the state; normal draws are zero."""

    def __init__(self, u: float | Tensor) -> None:
        self._u = u

    def __call__(self, x: Tensor, t: Time | None = None, s: Time | None = None) -> Tensor:
        return torch.zeros_like(x)

    def uniform(self, x: Tensor) -> Tensor:
        return self._u if isinstance(self._u, Tensor) else torch.full_like(x, self._u)

    def rows(self, index: Tensor) -> Noise:
        return self


def _observe(transform: Transform) -> list[Any]:
    """What it makes of small examples of every domain, and what it says of those that it refuses."""
    seen: list[Any] = []
    for values in DOMAINS.values():
        for event in _EVENTS:
            x = values((_ROWS, *event))
            try:
                fitted = transform.fit(x)
                y = fitted.forward(x, Seeded(0))
                seen += [y, fitted.inverse(y), fitted.log_det(x)]
            except FokkerError as error:
                seen.append(str(error))
    return seen


suite = Suite(Transform, observe=_observe)


@suite.check(over=DOMAINS)
def inverse(transform: Transform, values: Values) -> str:
    """Leads back to what went in, at the ends and whatever was drawn, in float32 and float64."""
    fitted, x = _fitted(transform, [values])
    draws = {"0": _Given(0.0), "1/2": Zero(), "almost 1": _Given(1 - 2**-24), "random": Seeded(0)}
    worst = 0.0
    for dtype, rtol in ((torch.float32, 1e-5), (torch.float64, 1e-9)):
        given = x.to(dtype)
        for drawn, noise in draws.items():
            back = fitted.inverse(fitted.forward(given, noise))
            what = f"with draws of {drawn} in {str(dtype).removeprefix('torch.')}, what comes back"
            close(back, given, what, atol=rtol * float(x.abs().max()))
            worst = max(worst, float((back - given).abs().max()))
    return f"off by {worst:.1g} at most"


@suite.check(over=DOMAINS)
def log_det(transform: Transform, values: Values) -> None:
    """Has the log-determinant of its Jacobian by autograd, per example."""
    fitted, x = _fitted(transform, [values])
    measured = log_determinants(lambda row: fitted.forward(row, Zero()), x)
    close(fitted.log_det(x), measured, "the log-determinant", rtol=1e-6, atol=1e-6 * prod(x.shape[1:]))


@suite.check(over=DOMAINS)
def cell(transform: Transform, values: Values) -> None:
    """Fills with its draws the cell that log_cell has the volume of, and draws nothing where that is None."""
    fitted, x = _fitted(transform, [values])
    claimed = fitted.log_cell(x)
    draws = not torch.equal(fitted.forward(x, _Given(0.25)), fitted.forward(x, _Given(0.75)))
    if claimed is None:
        expect(not draws, "it draws, and log_cell says of no cell that it fills")
        return
    expect(draws, "log_cell says of a cell, and nothing is drawn to fill it")
    middle = torch.full_like(x[0], 0.5)
    for row, log_volume in zip(x, claimed + fitted.log_det(x), strict=True):
        reached = log_determinants(lambda u, row=row: fitted.forward(row[None], _Given(u)), middle[None])[0]  # type: ignore[misc]
        close(log_volume, reached, "log_cell + log_det", rtol=1e-6, atol=1e-6 * row.numel())


@suite.check(over=DOMAINS)
def maps_what_it_fits(transform: Transform, values: Values) -> None:
    """Makes finite values of all examples that `fit` takes; `fit` refuses others with a DataError."""
    fitted, x = next(_taken(transform, [values], _EVENTS))
    y = fitted.forward(x, Seeded(0))
    off = x[~y.isfinite()]
    if len(off):
        expect(False, f"fit takes {float(off[0]):.6g}, and forward makes {float(y[~y.isfinite()][0])} of it")


@suite.check(over={"x".join(map(str, shape)): shape for shape in EVENT_SHAPES})
def event_shape(transform: Transform, shape: tuple[int, ...]) -> None:
    """Keeps the shape of any event, and has one log-determinant for each example."""
    fitted, x = _fitted(transform, events=[shape])
    y = fitted.forward(x, Seeded(0))
    back = fitted.inverse(y)
    expect(y.shape == x.shape, f"forward makes events of shape {tuple(y.shape[1:])} of events of shape {shape}")
    close(back, x, "what comes back", atol=1e-9 * float(x.abs().max()))
    found = fitted.log_det(x).shape
    expect(tuple(found) == (_ROWS,), f"log_det has the shape {tuple(found)} where ({_ROWS},) is due")


@suite.check
def alone(transform: Transform) -> None:
    """Maps an example as it does in a batch."""
    fitted, x = _fitted(transform)
    noise = Zero()
    maps = {"forward": lambda v: fitted.forward(v, noise), "inverse": fitted.inverse, "log_det": fitted.log_det}
    for name, apply in maps.items():
        given = fitted.forward(x, noise) if name == "inverse" else x
        together = apply(given)
        for row in range(_ROWS):
            scale = float(together.abs().max())
            close(apply(given[row : row + 1])[0], together[row], f"{name} of example {row} alone", atol=1e-12 * scale)


@suite.check
def input_untouched(transform: Transform) -> None:
    """Writes into none of the tensors that it is given."""
    fitted, x = _fitted(transform)
    y = fitted.forward(x.clone(), Seeded(0))
    maps = {
        "fit": (transform.fit, x),
        "forward": (lambda v: fitted.forward(v, Seeded(0)), x),
        "inverse": (fitted.inverse, y),
        "log_det": (fitted.log_det, x),
    }
    for name, (apply, given) in maps.items():
        handed = given.clone()
        apply(handed)
        same(handed, given, f"after {name}, what it was given")


@suite.check
def fitted_once(transform: Transform) -> None:
    """Stays as it is when it is fitted again, on any examples; `fit` gives the same each time."""
    fitted, x = _fitted(transform)
    expect(transform.fit(x) == fitted, f"fit gives {fitted!r} once, and {transform.fit(x)!r} the next time")
    for examples in (x, x[: _ROWS // 2]):
        again = fitted.fit(examples)
        expect(again == fitted, f"fitted again, {fitted!r} becomes {again!r}: a run's transforms would not be its own")


@suite.check
def stored(transform: Transform) -> None:
    """Is plain once it is fitted too: it can be compared, and written and read again."""
    fitted, _ = _fitted(transform)
    if fitted is transform:
        raise NotApplicable("fit fills in nothing")
    for check in components.suite.checks(fitted, repr(fitted)):
        if check.name in ("frozen", "round-trip"):
            check()


@suite.check
def replayable(transform: Transform) -> None:
    """Draws from the noise it is given and from nothing else: the same noise gives the same values."""
    fitted, x = _fitted(transform)
    with untouched():
        first = fitted.forward(x, Seeded(0))
        again = fitted.forward(x, Seeded(0))
        back = fitted.inverse(first)
        same(again, first, "with the same noise, a value")
        same(fitted.inverse(first), back, "brought back a second time, a value")
        same(fitted.log_det(x), fitted.log_det(x), "the log-determinant, asked for a second time,")


def _taken(transform: Transform, domains: Iterable[Values], events: Iterable[tuple[int, ...]]) -> Iterator[_Taken]:
    """The transform fitted on examples that it takes, with the examples.

    Raises:
        NotApplicable: At the end, if it took none.
    """
    refusal = ""
    took = False
    for values in domains:
        for event in events:
            x = values((_ROWS, *event))
            try:
                fitted = transform.fit(x)
                fitted.forward(x, Seeded(0))
            except FokkerError as error:
                refusal = refusal or str(error)
            else:
                took = True
                yield fitted, x
    if not took:
        raise NotApplicable(f"refused: {refusal}")


def _fitted(
    transform: Transform,
    domains: Iterable[Values] = tuple(DOMAINS.values()),
    events: Iterable[tuple[int, ...]] = _EVENTS,
) -> _Taken:
    """The transform fitted on the first examples that it takes and makes finite values of, with the examples.

    Raises:
        NotApplicable: If there are none.
    """
    for fitted, x in _taken(transform, domains, events):
        if fitted.forward(x, Seeded(0)).isfinite().all():
            return fitted, x
    raise NotApplicable("forward makes values of them that are not finite")
