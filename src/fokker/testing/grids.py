"""What every Grid should do, on every perturbation and with every number of steps that it accepts."""

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from fokker.errors import ConfigError
from fokker.grid import Grid
from fokker.perturbation import Perturbation
from fokker.testing.check import NotApplicable, Suite, expect, refused
from fokker.testing.compare import close, for_all, same
from fokker.testing.strategies import perturbations
from fokker.testing.worlds import PERTURBATIONS

__all__ = ["suite"]

_STEPS = (1, 2, 3, 4, 7, 23, 150)


def _observe(grid: Grid) -> list[Any]:
    seen: list[Any] = []
    for p in PERTURBATIONS.values():
        try:
            seen.append(grid.times(p, 6))
        except ConfigError as error:
            seen.append(str(error))
    return seen


suite = Suite(Grid, observe=_observe)


@suite.check
def length(grid: Grid) -> str:
    """Gives N steps N + 1 times, float64 and on the host."""

    def holds(p: Perturbation, steps: int, times: Tensor) -> None:
        shape, kind = tuple(times.shape), f"{times.dtype} on {times.device}"
        expect(shape == (steps + 1,), f"times with N = {steps} on {p!r} have the shape {shape}, not {(steps + 1,)}")
        expect(kind == "torch.float64 on cpu", f"times with N = {steps} on {p!r} are {kind}, not torch.float64 on cpu")

    return _everywhere(grid, holds)


@suite.check
def decreasing(grid: Grid) -> str:
    """Gives strictly decreasing times in [0, 1]."""

    def holds(p: Perturbation, steps: int, times: Tensor) -> None:
        outside = ~((times >= 0) & (times <= 1))
        if bool(outside.any()):
            expect(False, f"N = {steps} on {p!r} has the time {times[outside][0].item():.17g}, outside [0, 1]")
        bad = (~(times.diff() < 0)).nonzero()
        if len(bad):
            k = int(bad[0])
            expect(
                False,
                f"N = {steps} on {p!r}: time {k} = {times[k].item():.6g} is followed by {times[k + 1].item():.6g}",
            )

    return _everywhere(grid, holds)


@suite.check
def ends(grid: Grid) -> str:
    """Begins and ends where it says."""

    def holds(p: Perturbation, steps: int, times: Tensor) -> None:
        for word, found, expected in zip(("first", "last"), times[[0, -1]], grid.ends(p, steps), strict=True):
            close(found, float(expected), f"the {word} time with N = {steps} on {p!r}", rtol=1e-9, atol=1e-12)

    return _everywhere(grid, holds)


@suite.check
def pure(grid: Grid) -> str:
    """Gives the same times again, whatever was asked in between, and draws nothing from torch's global generator."""

    def holds(p: Perturbation, steps: int, times: Tensor) -> None:
        expected = times.clone()
        before = torch.get_rng_state()
        refused(lambda: grid.times(p, steps + 1 if steps == 1 else steps - 1))
        same(grid.times(p, steps), expected, f"a time with N = {steps} on {p!r}, asked for again,")
        expect(torch.equal(torch.get_rng_state(), before), "draws from torch's global generator")

    return _everywhere(grid, holds)


def _everywhere(grid: Grid, holds: Callable[[Perturbation, int, Tensor], None]) -> str:
    accepted = 0

    def attempt(p: Perturbation, steps: int) -> None:
        nonlocal accepted
        times = refused(lambda: grid.times(p, steps))
        holds(p, steps, times)
        accepted += 1

    reason = NotApplicable("it refuses everything")
    for p in PERTURBATIONS.values():
        for steps in _STEPS:
            try:
                attempt(p, steps)
            except NotApplicable as refusal:
                reason = refusal
    if not accepted:
        raise reason
    with contextlib.suppress(NotApplicable):  # it may accept too few of these to be found by chance
        for_all(attempt, perturbations(), st.one_of(st.integers(1, 8), st.integers(1, 60)))
    return f"{accepted} grids"
