"""The conformance kit: what a component claims, it measures.

    conformance      a decorator that makes one pytest test of every check of a component
    checks_for       the same checks without pytest; `fokker check` prints them
    run, summarise   what came of a check, and of many
    Suite, expect    for properties of your own

    fokker.testing.worlds       exact worlds: data with known scores, flows and marginals
    fokker.testing.strategies   hypothesis strategies for components, perturbations, times and shapes
    fokker.testing.order        the order of convergence of a sampler, measured
    fokker.testing.moments      the exact law of a sampler's output on Gaussian data, without Monte Carlo
    fokker.testing.compare      comparisons that fail with a sentence

Names are loaded on first use; pytest is needed by `conformance` alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fokker.testing.check import Check, CheckFailed, NotApplicable, Outcome, Suite, expect, run, summarise
    from fokker.testing.parametrize import conformance
    from fokker.testing.suites import checks_for

__all__ = [
    "Check",
    "CheckFailed",
    "NotApplicable",
    "Outcome",
    "Suite",
    "checks_for",
    "conformance",
    "expect",
    "run",
    "summarise",
]

_HOMES = {"checks_for": "suites", "conformance": "parametrize"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'fokker.testing' has no attribute {name!r}")
    value = getattr(import_module(f"fokker.testing.{_HOMES.get(name, 'check')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
