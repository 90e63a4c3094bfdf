"""Every built-in component passes every check of the kit that applies to it.

What came of the checks is counted, and the documentation says the same.
"""

import dataclasses
import importlib.util
from pathlib import Path

import pytest

from fokker.component import describe
from fokker.optimized_grid import OptimizedGrid
from fokker.testing import checks_for, conformance
from fokker.testing.recipes import Recipe
from fokker_ddpm.ancestral import Ancestral
from fokker_ddpm.ddim import DDIM
from fokker_ode.ode import ODE
from fokker_sde.pc import PredictorCorrector, Unchanged
from fokker_smld.annealed_langevin import AnnealedLangevin
from fokker_smld.langevin import GradientAscent, Langevin

ROOT = Path(__file__).resolve().parents[2]


def generator():
    spec = importlib.util.spec_from_file_location("fokker_docs_generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def defaults():
    """Every recipe, and one component of every built-in class that needs no fields."""
    registry = generator().own_plugins().registry
    seen = {}
    for entry in registry:
        if entry.kind == "recipe":
            seen[entry.target] = Recipe(entry.name, registry)
        elif entry.target not in seen:
            cls = entry.load()
            if all(f.default is not dataclasses.MISSING for f in describe(cls)):
                seen[entry.target] = cls()
    return list(seen.values())


VARIANTS = [
    DDIM(eta=0.5),
    DDIM(eta=1.0),
    Ancestral(variance="forward"),
    PredictorCorrector(Ancestral(), Unchanged()),
    AnnealedLangevin(temperature=0.5),
    AnnealedLangevin(form="smld"),
    Langevin(relative=False, decay=0.9),
    Langevin(step=0.01, relative=False),
    GradientAscent(step=0.01, relative=False),
    OptimizedGrid((1.5, 0.4, 0.05)),
    *(ODE(method=method) for method in ("euler", "midpoint", "heun2", "heun3", "rk4", "dopri8")),
]

COMPONENTS = [*defaults(), *VARIANTS]
CHECKS = [check for component in COMPONENTS for check in checks_for(component)]
COUNTS = {}


@conformance(*COMPONENTS)
def test_built_in(check):
    counts = COUNTS.setdefault(check.check.component, {"passed": 0, "skipped": 0})
    try:
        check()
    except pytest.skip.Exception:
        counts["skipped"] += 1
        raise
    counts["passed"] += 1


def test_the_documentation_has_the_counts():
    if sum(sum(c.values()) for c in COUNTS.values()) < len(CHECKS):
        pytest.skip("needs all checks to have run before in this process")
    generate = generator()
    found = generate.part("conformance", ROOT / "docs" / "reference" / "conformance.md")
    assert found == generate.conformance(COUNTS), "run 'python docs/generate.py --conformance'"
