"""Comparisons that fail with a sentence, and properties of anything that hypothesis can draw."""

from collections.abc import Callable
from typing import Any

import hypothesis
import torch
from hypothesis import HealthCheck, Phase
from hypothesis.strategies import SearchStrategy
from torch import Tensor

from fokker.testing.check import CheckFailed, NotApplicable

__all__ = ["close", "examples", "for_all", "same"]

EXAMPLES = 25
"""Examples of a property with drawn values."""


def close(actual: Tensor | float, expected: Tensor | float, what: str, *, rtol: float = 0.0, atol: float = 0.0) -> None:
    """Fail unless two values agree: |actual - expected| <= atol + rtol |expected|, with equal shapes, all finite.

    Args:
        actual: What was measured.
        expected: What it should be.
        what: Names the value at the beginning of the sentence.
        rtol: Relative tolerance.
        atol: Absolute tolerance.

    Raises:
        CheckFailed: With the worst element.
    """
    __tracebackhide__ = True
    # a Python float is a double; as a tensor it would get torch's default precision
    a, e = (
        torch.tensor(v, dtype=torch.float64) if isinstance(v, float) else torch.as_tensor(v) for v in (actual, expected)
    )
    if a.shape != e.shape:
        raise CheckFailed(f"{what} has the shape {tuple(a.shape)} where {tuple(e.shape)} was expected")
    if not a.numel():
        return
    a, e = a.detach().double().cpu().flatten(), e.detach().double().cpu().flatten()
    off = torch.where(a == e, torch.zeros_like(a), (a - e).abs())  # equal infinities differ by nothing
    excess = (off - atol - rtol * torch.where(e.isinf(), torch.zeros_like(e), e.abs())).nan_to_num(nan=torch.inf)
    worst = int(excess.argmax())
    if excess[worst] > 0:
        gap = "" if off[worst].isnan() else f", off by {off[worst].item():.2g}"
        raise CheckFailed(f"{what} is {a[worst].item():.8g} where {e[worst].item():.8g} was expected{gap}")


def same(actual: Tensor, expected: Tensor, what: str) -> None:
    """Fail unless two tensors are equal bit for bit, with equal shape and dtype.

    Raises:
        CheckFailed: With the worst element.
    """
    __tracebackhide__ = True
    if actual.dtype != expected.dtype:
        raise CheckFailed(f"{what} has the dtype {actual.dtype} where {expected.dtype} was expected")
    close(actual, expected, what)


def for_all(body: Callable[..., None], *drawn: SearchStrategy[Any], examples: int = EXAMPLES) -> None:
    """Call `body` with examples of what the strategies draw; the simplest one that fails is told.

    Examples do not depend on chance, and nothing is stored; hypothesis tries constants of the loaded modules, too.
    What a body assumes away (`hypothesis.assume`, or a `NotApplicable`) is drawn again.

    Args:
        body: Raises `CheckFailed` where the property does not hold; its message should name the drawn values.
        drawn: One strategy for each argument.
        examples: How many.

    Raises:
        CheckFailed: For the simplest example found.
        NotApplicable: If every example was assumed away.
    """
    __tracebackhide__ = True

    def attempt(*values: Any) -> None:
        try:
            body(*values)
        except NotApplicable:
            hypothesis.reject()

    _drive(attempt, drawn, examples, tuple(Phase))


def examples(strategy: SearchStrategy[Any], n: int) -> list[Any]:
    """Up to `n` different draws of a strategy, by the rules of `for_all`."""
    found: list[Any] = []
    _drive(found.append, (strategy,), n, (Phase.generate,))
    return found


def _drive(
    body: Callable[..., None], drawn: tuple[SearchStrategy[Any], ...], count: int, phases: tuple[Phase, ...]
) -> None:
    __tracebackhide__ = True
    settings = hypothesis.settings(
        max_examples=count,
        phases=tuple(p for p in phases if p is not Phase.explain),
        database=None,
        deadline=None,
        derandomize=True,
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=tuple(HealthCheck),
    )

    # the wrapper hides the signature of `body` from hypothesis, which would want its arguments by name
    def test(values: tuple[Any, ...]) -> None:
        body(*values)

    try:
        settings(hypothesis.given(hypothesis.strategies.tuples(*drawn))(test))()
    except hypothesis.errors.Unsatisfiable as error:
        raise NotApplicable("refused for every value that was tried") from error
    except CheckFailed as failure:
        failure.__notes__ = []  # hypothesis notes the arguments of `test`; the sentence names them already
        raise
