"""Ordinary differential equations, every row of a batch with steps of its own.

    dy/dt = f(t, y),    y(t + h) = y + h sum_i b_i k_i,    k_i = f(t + c_i h, y + h sum_j a_ij k_j)

by the pair of orders 5 and 4 of Dormand & Prince (1980, table 2, RK5(4)7M), whose last stage is the first of the next
step. A step is taken if the difference of the two solutions is within the tolerance, and its size sets the next one
(Hairer, Norsett & Wanner, 1993, section II.4, eq. 4.11 to 4.14 and the starting step).

Solvers that take a batch for one large system give all rows the same steps, so that a row depends on its neighbours
and waits for the worst of them. Here rows share nothing: each has its time, its step and its own decisions, and leaves
the batch when it arrives.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from fokker.errors import ConfigError, FokkerError
from fokker.perturbation import expand

__all__ = [
    "Derivative",
    "IntegrationError",
    "Solution",
    "Variables",
    "check_tolerances",
    "dormand_prince",
    "integrate",
    "passage",
]

Variables: TypeAlias = tuple[Tensor, ...]
"""What is integrated together: tensors (B, ...) of one floating dtype."""

_C = (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
_A: tuple[tuple[float, ...], ...] = (
    (),
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),  # the solution of order 5 itself
)
_ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)  # order 5 less order 4
_MIDDLE = (
    6025192743 / 30085553152 / 2,
    0.0,
    51252292925 / 65400821598 / 2,
    -2691868925 / 45128329728 / 2,
    187940372067 / 1594534317056 / 2,
    -1776094331 / 19743644256 / 2,
    11237099 / 235043384 / 2,
)  # the solution in the middle of a step, to order 4 (Shampine, 1986)
_SAFETY, _SHRINK, _GROW = 0.9, 0.2, 10.0
_LIMIT = 100_000
"""Evaluations of one row, after which the tolerance is taken for one that cannot be met."""


class Derivative(Protocol):
    """The right-hand side for some rows of the batch."""

    def __call__(self, t: Tensor, y: Variables, rows: Tensor) -> Variables:
        """dy/dt.

        Args:
            t: The time of each row, float64 on the host, (A,).
            y: Their variables, (A, ...) each.
            rows: Which rows of the batch they are, int64 on the host, (A,).

        Returns:
            Tensors shaped like `y`.
        """


class IntegrationError(FokkerError):
    """A row whose tolerance cannot be met.

    Args:
        row: Its place in the batch.
        what: What is wrong and what to do, a sentence that goes on after the name of the row.
    """

    def __init__(self, row: int, what: str) -> None:
        super().__init__(f"Row {row} of the batch {what}")
        self.row, self.what = row, what


@dataclass(frozen=True, eq=False)
class Solution:
    """The variables at the end.

    Args:
        y: Tensors (B, ...).
        evaluations: Of the right-hand side, per row, int64 on the host, (B,).
    """

    y: Variables
    evaluations: Tensor


def dormand_prince(
    f: Callable[[Tensor, Variables], Variables], t: Tensor, y: Variables, h: Tensor, k: Variables
) -> tuple[Variables, Variables, Variables]:
    """One step of each row.

    Args:
        f: The right-hand side, called six times with times (B,) and variables (B, ...).
        t: Where the steps start, float64 on the host, (B,).
        y: The variables there.
        h: How long they are, negative where time runs down, (B,).
        k: `f(t, y)`.

    Returns:
        The variables after the step, to order 5; their difference to the solution of order 4; and `f` there.
    """
    there, lengths, stages = _stages(f, t, y, h, k)
    nothing = tuple(torch.zeros_like(part) for part in y)
    return there, _moved(nothing, lengths, stages, _ERROR), stages[-1]


def _stages(
    f: Callable[[Tensor, Variables], Variables], t: Tensor, y: Variables, h: Tensor, k: Variables
) -> tuple[Variables, list[Tensor], list[Variables]]:
    """The variables after a step of each row, the lengths of the steps as they multiply, and the slopes."""
    lengths = [expand(h.to(part.device, part.dtype), part) for part in y]
    stages = [k]
    there = y
    for c, weights in zip(_C[1:], _A[1:], strict=True):
        there = _moved(y, lengths, stages, weights)
        stages.append(f(t + c * h, there))
    return there, lengths, stages


@torch.no_grad()
def integrate(
    f: Derivative,
    y: Variables,
    start: float,
    end: float,
    *,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    on_step: Callable[[float], None] | None = None,
) -> Solution:
    """Solve dy/dt = f(t, y) from `start` to `end`, up or down.

    A step's error is the largest over the variables of the root mean square, over a row's values, of

        |error| / (atol + rtol max(|y before|, |y after|))

    and the step is taken if that is at most 1.

    Args:
        f: The right-hand side; it is never asked outside of [start, end].
        y: The variables at the start, (B, ...) each; left untouched.
        start: Where time begins.
        end: Where it ends; not `start`.
        rtol: Relative tolerance of a step, at least ten times the rounding of the variables' dtype.
        atol: Absolute tolerance of a step, greater than 0.
        on_step: Called after every round of steps with the share that is done, in [0, 1].

    Raises:
        ConfigError: If a tolerance is out of range.
        IntegrationError: If a row's values are not finite, or its tolerance cannot be met.
    """
    check_tolerances(rtol, atol, y[0].dtype)
    total, sign = abs(end - start), 1.0 if end > start else -1.0
    low, high = min(start, end), max(start, end)
    count = len(y[0])
    out = tuple(torch.empty_like(part) for part in y)
    evaluations = torch.full((count,), 2)

    def at(passed: Tensor) -> Tensor:
        """Times after so much of the way; rounding leads to no time outside."""
        return (start + sign * passed).clamp(low, high)

    def inside(rows: Tensor, t: Tensor, y: Variables) -> Variables:
        """The right-hand side for these rows; a stage at the end of a step does not round beyond the last time."""
        return f(t.clamp(low, high), y, rows)

    # of the rows that are on their way: which they are, how far they are, and how they go on
    rows = torch.arange(count)
    passed = torch.zeros(count, dtype=torch.float64)
    k = f(at(passed), y, rows)
    h = _first_lengths(f, y, k, rows, total, at, sign, rtol, atol)
    cap = torch.full((count,), _GROW, dtype=torch.float64)
    while len(rows):
        rest = total - passed
        last = h >= rest * (1 - 1e-12)  # a rest that is all rounding is no step of its own
        h = torch.where(last, rest, h)
        moved, error, k_there = dormand_prince(partial(inside, rows), at(passed), y, sign * h, k)
        evaluations[rows] += len(_C) - 1
        size = _size(error, y, moved, rtol, atol)
        taken = size <= 1
        passed = torch.where(taken, torch.where(last, total, passed + h), passed)
        factor = _SAFETY * size ** (-1 / 5)
        h = h * factor.clamp(_SHRINK).minimum(cap)
        cap = torch.where(taken, _GROW, 1.0)  # the step after one that was too long does not grow
        y, k = _chosen(taken, moved, y), _chosen(taken, k_there, k)
        arrived = taken & last
        _refuse_hopeless(rows, at(passed), h, size, evaluations, ~arrived, total)
        if bool(arrived.any()):
            for whole, part in zip(out, y, strict=True):
                whole[rows[arrived].to(whole.device)] = part[arrived.to(part.device)]
            going = ~arrived
            rows, passed, h, cap = rows[going], passed[going], h[going], cap[going]
            y, k = (tuple(part[going.to(part.device)] for part in each) for each in (y, k))
        if on_step is not None:
            on_step(float(count - len(rows) + (passed / total).sum()) / count)
    return Solution(out, evaluations)


@torch.no_grad()
def passage(
    f: Derivative, y: Tensor, times: Sequence[float], *, rtol: float = 1e-5, atol: float = 1e-5
) -> Iterator[Tensor]:
    """Solve dy/dt = f(t, y) and tell the solution at times on the way, each as soon as all rows have passed it.

    The steps are those of `integrate` from the first time to the last, whatever lies between: a time inside of a step
    is answered by the polynomial of degree 4 through both ends, their slopes and the middle (Shampine, 1986), without
    an evaluation. A row whose slope is not finite is not a number from there on; the others do not notice.

    Args:
        f: The right-hand side; it is never asked outside of these times. It has one variable.
        y: The variable at the first of the times, (B, ...); left untouched.
        times: At least two, strictly rising or falling.
        rtol: See `integrate`.
        atol: See `integrate`.

    Yields:
        The variable at every further time, (B, ...), a tensor of its own.

    Raises:
        ConfigError: If a tolerance is out of range.
        IntegrationError: If it cannot be met.
    """
    check_tolerances(rtol, atol, y.dtype)
    start, end = times[0], times[-1]
    total, sign = abs(end - start), 1.0 if end > start else -1.0
    low, high = min(start, end), max(start, end)
    count, device = len(y), y.device

    def at(passed: Tensor) -> Tensor:
        return (start + sign * passed).clamp(low, high)

    def inside(rows: Tensor, t: Tensor, y: Variables) -> Variables:
        return f(t.clamp(low, high), y, rows)

    everyone = torch.arange(count)
    y = y.clone()
    passed = torch.zeros(count, dtype=torch.float64)
    (k,) = f(at(passed), (y,), everyone)
    k = k.clone()
    h = _first_lengths(f, (y,), (k,), everyone, total, at, sign, rtol, atol)
    cap = torch.full((count,), _GROW, dtype=torch.float64)
    evaluations = torch.full((count,), 2)
    # each row's last step: where it began, how long it was, and its polynomial's coefficients
    began, length = torch.zeros_like(passed), torch.ones_like(passed)
    curve = torch.stack([y, *[torch.zeros_like(y)] * 4])
    for time in times[1:]:
        target = total if time == end else abs(time - start)
        while len(rows := (passed < target).nonzero().flatten()):
            there = rows.to(device)
            y_0, k_0 = y[there], k[there]
            lost = ~k_0.flatten(1).isfinite().all(1).cpu()
            rest = total - passed[rows]
            last = h[rows] >= rest * (1 - 1e-12)
            step = torch.where(last, rest, h[rows])
            (y_1,), (scale,), stages = _stages(partial(inside, rows), at(passed[rows]), (y_0,), sign * step, (k_0,))
            evaluations[rows] += len(_C) - 1
            (error,) = _moved((torch.zeros_like(y_0),), [scale], stages, _ERROR)
            (middle,) = _moved((y_0,), [scale], stages, _MIDDLE)
            size = _size((error,), (y_0,), (y_1,), rtol, atol)
            taken = size <= 1
            h[rows] = step * (_SAFETY * size ** (-1 / 5)).clamp(_SHRINK).minimum(cap[rows])
            cap[rows] = torch.where(taken, _GROW, 1.0).double()
            _refuse_hopeless(rows, at(passed[rows]), h[rows], size, evaluations, ~taken & ~lost, total)
            done, mine = rows[taken], taken.to(device)
            began[done], length[done] = passed[done], step[taken]
            curve[:, there[mine]] = torch.stack(
                _quartic(y_0[mine], middle[mine], y_1[mine], scale[mine] * k_0[mine], scale[mine] * stages[-1][0][mine])
            )
            passed[done] = torch.where(last, total, passed[rows] + step)[taken]
            y[there[mine]], k[there[mine]] = y_1[mine], stages[-1][0][mine]
            y[there[lost.to(device)]], passed[rows[lost]] = torch.nan, total
            curve[:, there[lost.to(device)]] = torch.nan
        # a row's own end is its state to the last bit, not its polynomial's
        share = expand(((target - began) / length).to(device, y.dtype), y)
        between = curve[0] + share * (curve[1] + share * (curve[2] + share * (curve[3] + share * curve[4])))
        yield torch.where(expand((passed == target).to(device), y), y, between)


def _quartic(y_0: Tensor, middle: Tensor, y_1: Tensor, slope_0: Tensor, slope_1: Tensor) -> list[Tensor]:
    """Coefficients, from the constant up, of the polynomial on [0, 1] with these values and end slopes."""
    a, b = y_1 - y_0, middle - y_0
    return [
        y_0,
        slope_0,
        16 * b - 5 * a - 4 * slope_0 + slope_1,
        14 * a - 32 * b + 5 * slope_0 - 3 * slope_1,
        16 * b - 8 * a - 2 * slope_0 + 2 * slope_1,
    ]


def _moved(y: Variables, lengths: Sequence[Tensor], stages: Sequence[Variables], weights: Sequence[float]) -> Variables:
    """Y + h sum_i w_i k_i."""
    found = []
    for place, (part, h) in enumerate(zip(y, lengths, strict=True)):
        slope = sum(w * k[place] for w, k in zip(weights, stages, strict=True) if w)
        found.append(part + h * slope)
    return tuple(found)


def _chosen(which: Tensor, one: Variables, other: Variables) -> Variables:
    """Rows of the one where `which`, of the other elsewhere."""
    return tuple(torch.where(expand(which.to(a.device), a), a, b) for a, b in zip(one, other, strict=True))


def _size(error: Variables, y: Variables, moved: Variables, rtol: float, atol: float) -> Tensor:
    """How large errors are against the tolerance, float64 on the host, (B,); infinite where anything is not finite."""
    scaled = [e / (atol + rtol * torch.maximum(a.abs(), b.abs())) for e, a, b in zip(error, y, moved, strict=True)]
    return _norm(scaled).nan_to_num(nan=torch.inf)


def _norm(parts: Sequence[Tensor]) -> Tensor:
    """Largest root mean square over the variables, float64 on the host, (B,)."""
    squares = [part.flatten(1).square().mean(1).sqrt() for part in parts]
    return torch.stack(squares).amax(0).to("cpu", torch.float64)


def _first_lengths(
    f: Derivative,
    y: Variables,
    k: Variables,
    rows: Tensor,
    total: float,
    at: Callable[[Tensor], Tensor],
    sign: float,
    rtol: float,
    atol: float,
) -> Tensor:
    """Hairer, Norsett & Wanner's starting step, from the sizes of y, y' and y'' as one Euler step shows them."""
    scales = [atol + rtol * part.abs() for part in y]
    size = _norm([part / scale for part, scale in zip(y, scales, strict=True)])
    slope = _norm([part / scale for part, scale in zip(k, scales, strict=True)])
    tiny = 1e-6 * total
    h = torch.where((size < 1e-5) | (slope < 1e-5), tiny, 0.01 * size / slope).nan_to_num(tiny).clamp(tiny, total)
    there = tuple(part + sign * expand(h.to(part.device, part.dtype), part) * d for part, d in zip(y, k, strict=True))
    changed = f(at(h), there, rows)
    bend = _norm([(b - a) / scale for a, b, scale in zip(k, changed, scales, strict=True)]) / h
    steepest = torch.maximum(slope, bend).nan_to_num(torch.inf)
    long = torch.where(steepest <= 1e-15, (1e-3 * h).clamp(min=tiny), (0.01 / steepest) ** (1 / 5))
    return torch.minimum(100 * h, long).clamp(tiny, total)


def check_tolerances(rtol: float, atol: float, dtype: torch.dtype) -> None:
    """Refuse tolerances that have no meaning, or that the rounding of a dtype does not allow.

    Raises:
        ConfigError: If one is out of range.
    """
    least = 10 * torch.finfo(dtype).eps
    if not least <= rtol < 1:
        kind = str(dtype).removeprefix("torch.")
        raise ConfigError(f"rtol must be at least {least:.1e}, the rounding of {kind}, and below 1; got {rtol:g}.")
    if not 0 < atol < float("inf"):
        raise ConfigError(f"atol must be greater than 0, got {atol:g}.")


def _refuse_hopeless(
    rows: Tensor, t: Tensor, h: Tensor, size: Tensor, evaluations: Tensor, going: Tensor, total: float
) -> None:
    """Give up on rows whose steps vanish or never end.

    Raises:
        IntegrationError: For the first of them.
    """
    hopeless = going & ((h < 1e-14 * total) | (evaluations[rows] > _LIMIT))
    if bool(hopeless.any()):
        i = int(hopeless.nonzero()[0])
        if not bool(size[i].isfinite()):
            raise IntegrationError(int(rows[i]), f"has a derivative that is not finite near t = {float(t[i]):.6g}.")
        raise IntegrationError(
            int(rows[i]), f"needs too many steps for its tolerance near t = {float(t[i]):.6g}: raise rtol and atol."
        )
