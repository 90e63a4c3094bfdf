"""What every noise source should do: standard normal numbers that the seed and the sample's index alone decide."""

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt
from typing import Any

import torch
from torch import Tensor

from fokker.errors import ConfigError
from fokker.noise import Noise
from fokker.noise_source import NoiseSource
from fokker.testing.check import NotApplicable, Suite, expect
from fokker.testing.compare import close, same
from fokker.testing.generators import untouched
from fokker.testing.runs import descent
from fokker.testing.worlds import EVENT_SHAPES

__all__ = ["suite"]

_SEED, _BATCH, _SHAPE = 7, 5, (3,)
_MANY, _NUMBERS = 512, (6,)
"""Samples, and the numbers of each, of which moments are taken."""
_ERRORS = 5.0
"""Standard errors that a moment may be off by."""


def _opened(
    source: NoiseSource,
    index: Sequence[int] = range(_BATCH),
    shape: tuple[int, ...] = _SHAPE,
    *,
    seed: int = _SEED,
    separate: bool = False,
) -> Noise:
    return source.open(seed, index, shape, separate=separate)


def _like(n: int = _BATCH, shape: tuple[int, ...] = _SHAPE, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.zeros((n, *shape), dtype=dtype)


def _way(noise: Noise, x: Tensor, grid: Tensor | None = None) -> list[Tensor]:
    """A start, a draw for each step down a grid, and one at the last time: what a corrector draws."""
    times: list[float] = (descent() if grid is None else grid).tolist()
    steps = [noise(x, t, s) for t, s in pairwise(times)]
    return [*steps, noise(x, times[-1], times[-1])]


def _observe(source: NoiseSource) -> list[Any]:
    noise, x = _opened(source), _like()
    return [noise(x), *_way(noise, x), noise.uniform(x)]


suite = Suite(NoiseSource, observe=_observe)


@suite.check
def sample_i_is_sample_i(source: NoiseSource) -> None:
    """Gives a sample the same numbers alone, in another order, among others, and far from the first."""
    for first in (0, 12345):
        index = [first + i for i in range(_BATCH)]
        whole = _numbers(_opened(source, index), _BATCH)
        for rows in ([3], [1, 2], [4, 0, 3, 1, 2]):
            part = _numbers(_opened(source, [index[r] for r in rows]), len(rows))
            for k, (a, b) in enumerate(zip(part, whole, strict=True)):
                same(a, b[rows], f"draw {k} of the samples {[index[r] for r in rows]} in a batch of their own")


@suite.check
def replayable(source: NoiseSource) -> None:
    """Gives the same numbers for the same seed, and others for another."""
    first, second = (_numbers(_opened(source), _BATCH) for _ in range(2))
    for k, (a, b) in enumerate(zip(second, first, strict=True)):
        same(a, b, f"draw {k} of a source that was opened again")
    other = _numbers(_opened(source, seed=_SEED + 1), _BATCH)
    for k, (a, b) in enumerate(zip(other, first, strict=True)):
        expect(not bool((a == b).any()), f"draw {k} of another seed repeats numbers")


@suite.check
def global_generators_untouched(source: NoiseSource) -> None:
    """Draws from generators of its own."""
    with untouched():
        _numbers(_opened(source), _BATCH)


@suite.check
def any_event_shape(source: NoiseSource) -> None:
    """Gives numbers of the state's shape and dtype, whatever they are, and leaves the state as it is."""
    for shape in EVENT_SHAPES:
        for dtype in (torch.float32, torch.float64):
            x = _like(2, shape, dtype)
            noise = _opened(source, range(2), shape)
            for z in (noise(x), *_way(noise, x, descent(2)), noise.uniform(x), noise.rademacher(x)):
                found = tuple(z.shape), z.dtype
                expect(found == ((2, *shape), dtype), f"gives {found} for a state of {((2, *shape), dtype)}")
            expect(not bool(x.any()), "writes into the state")


@suite.check
def standard_normal(source: NoiseSource) -> str:
    """Has mean 0 and variance 1, and draws that do not know of each other: of steps, of samples, of numbers."""
    x = _like(_MANY, _NUMBERS)
    noise = _opened(source, range(_MANY), _NUMBERS)
    draws = torch.stack([noise(x), *_way(noise, x)])
    worst = 0.0
    for k, z in enumerate(draws):
        worst = max(worst, _moment(z, 0.0, 1.0, f"the mean of draw {k}"))
        worst = max(worst, _moment(z**2, 1.0, sqrt(2), f"the variance of draw {k}"))
        worst = max(worst, _moment(z[1:] * z[:-1], 0.0, 1.0, f"the covariance of neighbouring samples in draw {k}"))
        worst = max(worst, _moment(z[:, 1:] * z[:, :-1], 0.0, 1.0, f"the covariance of numbers in draw {k}"))
        for j in range(k):
            worst = max(worst, _moment(z * draws[j], 0.0, 1.0, f"the covariance of draws {j} and {k}"))
    return f"moments within {worst:.1f} standard errors"


@suite.check
def uniform_numbers(source: NoiseSource) -> None:
    """Has uniform numbers in [0, 1), of mean 1/2 and variance 1/12."""
    x = _like(_MANY, _NUMBERS)
    u = _opened(source, range(_MANY), _NUMBERS).uniform(x)
    expect(bool(((u >= 0) & (u < 1)).all()), f"gives uniform numbers from {float(u.min()):g} to {float(u.max()):g}")
    _moment(u, 1 / 2, sqrt(1 / 12), "the mean of uniform numbers")
    _moment((u - 0.5) ** 2, 1 / 12, sqrt(1 / 180), "the variance of uniform numbers")


@suite.check
def integrals(source: NoiseSource) -> None:
    """Pairs an increment with the path's time integral: Var z = 1, Var y = 1/3, Cov(z, y) = 1/2."""
    x = _like(_MANY, _NUMBERS)
    noise = _opened(source, range(_MANY), _NUMBERS)
    for t, s in ((0.9, 0.5), (0.5, 0.4)):
        z, y = noise.integral(x, t, s)
        _moment(z**2, 1.0, sqrt(2), "the variance of z")
        _moment(y**2, 1 / 3, sqrt(2) / 3, "the variance of y")
        _moment(z * y, 1 / 2, sqrt(1 / 3 + 1 / 4), "the covariance of z and y")


@suite.check(over={"in-two": 2, "in-six": 6})
def refines(source: NoiseSource, parts: int) -> None:
    """Gives a step what it gives its parts together, if it claims to follow a Brownian path."""
    if not source.claims.path:
        raise NotApplicable("it does not claim to follow a path")
    x, grid = _like(), descent(3)
    whole, fine = (list(_pairs(_opened(source), x, descent(n))) for n in (3, 3 * parts))
    for k in range(3):
        gained, integral, gone = torch.zeros_like(x), torch.zeros_like(x), 0.0
        for w, u, h in fine[k * parts : (k + 1) * parts]:
            gained, integral, gone = gained + w, integral + gained * h + u, gone + h
        where = f"over the step from {grid[k]:.3g} to {grid[k + 1]:.3g}"
        tolerance = 1e-6  # a path may round times
        close(whole[k][0], gained, f"the path's increment {where}, against that in {parts} parts,", atol=tolerance)
        close(whole[k][1], integral, f"the path's integral {where}, against that in {parts} parts,", atol=tolerance)


@suite.check
def known_path(source: NoiseSource) -> str:
    """Knows the path that it claims to follow: `path` is what the draws of steps are, whatever was asked before."""
    x, grid = _like(), descent(3)
    path = _opened(source).path(x)
    if not source.claims.path:
        expect(path is None, "has a path and claims none")
        return "none"
    expect(path is not None, "claims a path and has none")
    assert path is not None
    first = [value.clone() for value in path(0.8, 0.2)]
    times: list[float] = grid.tolist()
    for k, (w, u, _) in enumerate(_pairs(_opened(source), x, grid)):
        for found, drawn, what in zip(path(times[k], times[k + 1]), (w, u), ("increment", "integral"), strict=True):
            close(found, drawn, f"the path's {what} over step {k}, against what is drawn for it,", atol=1e-9)
    for found, before, what in zip(path(0.8, 0.2), first, ("increment", "integral"), strict=True):
        close(found, before, f"the path's {what} when it is asked again", atol=1e-9)
    return ""


@suite.check
def rows_on_their_own(source: NoiseSource) -> str:
    """Draws for some rows without a trace in what others will see, or says that it cannot."""
    x = _like()
    try:
        noise, alone = (_opened(source, separate=True) for _ in range(2))
        start = noise(x)
        same(alone(x), start, "the start of a source that was opened again")
        noise.rows(torch.tensor([1, 3]))(x[[1, 3]], 0.9, 0.8)
    except ConfigError as error:
        return f"refused: {error}"
    rows = torch.tensor([0, 4])
    found, expected = (n.rows(rows)(x[rows], 0.9, 0.7) for n in (noise, alone))
    same(found, expected, "a draw for rows 0 and 4, after others drew,")
    return ""


def _numbers(noise: Noise, n: int) -> list[Tensor]:
    x = _like(n)
    z, y = noise.integral(x, 0.95, 0.9)
    return [noise(x), z, y, *_way(noise, x), noise.uniform(x)]


def _pairs(noise: Noise, x: Tensor, grid: Tensor) -> list[tuple[Tensor, Tensor, float]]:
    """Increment and integral of each step of a grid, in time's own units, and its length."""
    times: list[float] = grid.tolist()
    found = []
    for t, s in pairwise(times):
        (z, y), h = noise.integral(x, t, s), t - s
        found.append((h**0.5 * z, h**1.5 * y, h))
    return found


def _moment(values: Tensor, expected: float, std: float, what: str) -> float:
    """How many standard errors a mean is off by.

    Raises:
        CheckFailed: If they are too many.
    """
    mean = float(values.double().mean())
    off = abs(mean - expected) / (std / sqrt(values.numel()))
    expect(off <= _ERRORS, f"{what} is {mean:.3g} where {expected:.3g} is due, {off:.1f} standard errors off")
    return off
