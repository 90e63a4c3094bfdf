"""What every recipe should do.

A recipe is no component but a text, so it is checked by its name, or as a file before it is registered:

    checks_for(Recipe("demo"))    checks_for(Recipe("recipes/mine.toml"))
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w
import torch

from fokker.noise import Seeded
from fokker.plan import Plan, check, fit, resolve, spec_of
from fokker.plugins.host import load_plugins
from fokker.plugins.registry import Registry
from fokker.testing.check import Suite, expect
from fokker.testing.offline import offline

__all__ = ["Recipe", "suite"]

_BATCH = 4


@dataclass(frozen=True, eq=False)
class Recipe:
    """A recipe that is to be checked.

    Args:
        name: Its name, bare or qualified, or the path of a TOML file.
        registry: Where names are looked up; the installed plugins unless given.
    """

    name: str
    registry: Registry = field(default_factory=lambda: load_plugins().registry, repr=False)

    @property
    def text(self) -> str:
        """The TOML."""
        path = Path(self.name)
        return path.read_text("utf-8") if path.suffix == ".toml" else self.registry.get("recipe", self.name).text()

    def plan(self) -> Plan:
        """The plan that it is.

        Raises:
            ConfigError: If it is none.
        """
        with offline():  # data may be opened, to see which network suits it
            return resolve(self.registry, self.name)


suite = Suite(Recipe)


@suite.check
def says_what_it_is(recipe: Recipe) -> None:
    """Begins with a comment that says what it is."""
    first = recipe.text.lstrip().partition("\n")[0]
    expect(first.startswith("#") and len(first) > 10, f"begins with {first!r} where a comment is due")


@suite.check
def resolves(recipe: Recipe) -> None:
    """Names components, fields and settings that exist, with values that they take."""
    recipe.plan()


@suite.check
def stored(recipe: Recipe) -> None:
    """Is the same plan after it was written to run.toml and read again."""
    plan = recipe.plan()
    tables: Mapping[str, Any] = tomllib.loads(tomli_w.dumps(plan.table(recipe.registry)))
    back = resolve(recipe.registry, tables)
    for part, value in vars(plan).items():
        expect(getattr(back, part) == value, f"{part} is read back as {getattr(back, part)!r}, and was {value!r}")


@suite.check
def no_problems(recipe: Recipe) -> str:
    """Puts together what fits together: `fokker plan` finds no problem."""
    plan = recipe.plan()
    with offline():
        facts, problems = check(plan)
        # told inside, so that data which would have to be downloaded makes the check not applicable
        expect(not problems, "; ".join(f"{p.where}: {p.message}" for p in problems))
    assert facts is not None
    return f"{facts.examples} examples of shape {facts.event_shape}, {facts.parameters} parameters"


@suite.check
def trains(recipe: Recipe) -> str:
    """Has a finite loss, with finite gradients, at its first weights."""
    plan = recipe.plan()
    with offline():
        examples = plan.data.open("train")
        plan, spec = fit(plan, examples), spec_of(plan, examples)
        batch = examples.fetch(range(min(_BATCH, len(examples))))
    model = plan.model(spec)
    model.backbone.train()
    times = plan.objective.times(plan.perturbation, torch.linspace(0.01, 0.99, len(batch.x), dtype=torch.float64))
    loss = plan.objective.loss(model, plan.chain.forward(batch.x, Seeded(0)), times, Seeded(1), spec.told(batch.cond))
    expect(bool(loss.isfinite().all()), f"has the losses {loss.tolist()} at t = {times.tolist()}")
    loss.mean().backward()
    for name, weight in model.backbone.named_parameters():
        expect(weight.grad is None or bool(weight.grad.isfinite().all()), f"{name} has a gradient that is not finite")
    return f"a loss of {float(loss.detach().mean()) / spec.numel:.3g} per dimension before training"
