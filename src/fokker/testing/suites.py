"""Which properties a component is checked for, by its interface."""

import dataclasses
from collections.abc import Iterator
from importlib import import_module

from fokker.component import describe
from fokker.errors import ConfigError
from fokker.testing.check import Check, Suite
from fokker.testing.fields import field_checks

__all__ = ["checks_for", "suites"]

_MODULES = (
    "components",
    "perturbations",
    "networks",
    "labels",
    "parameterizations",
    "objectives",
    "weightings",
    "samplers",
    "predictors",
    "correctors",
    "grids",
    "guidances",
    "noises",
    "sources",
    "transforms",
    "metrics",
    "formats",
    "models",
    "recipes",
)


def suites() -> Iterator[tuple[str, Suite]]:
    """Every suite with the name of its module in `fokker.testing`, in the order in which checks are listed."""
    for name in _MODULES:
        yield name, import_module(f"fokker.testing.{name}").suite


def checks_for(component: object, *, label: str | None = None) -> list[Check]:
    """The checks of a component, a `Recipe` or a `ScoreModel`, ready to be called one by one, in any order.

    What a component claims decides what is measured; a check that does not apply says so when it is called.

    Args:
        component: An instance, with the values of its fields that are to be checked.
        label: What reports call it; its kind and class, with the fields that are not as usual, unless given.

    Raises:
        ConfigError: If it is nothing that the kit knows.
    """
    if isinstance(component, type):
        raise ConfigError(f"Checks are made of instances; give {component.__name__}() instead of the class.")
    if hasattr(component, "kind") and not dataclasses.is_dataclass(component):
        raise ConfigError(f"{type(component).__name__} is not a component yet; decorate the class with @component.")
    label = _short(component) if label is None else label
    found: list[Check] = []
    observe = None
    for _, suite in suites():
        found.extend(suite.checks(component, label))
        if suite.observe is not None and isinstance(component, suite.interface):
            observe = suite.observe
    if not found:
        raise ConfigError(f"{label} is neither a component, a Recipe nor a ScoreModel; there is nothing to check.")
    if observe is not None and dataclasses.is_dataclass(component):
        found.extend(field_checks(component, label, observe))
    return found


def _short(component: object) -> str:
    cls = type(component)
    if not dataclasses.is_dataclass(component):
        return cls.__name__
    fields = [f.name for f in dataclasses.fields(component) if f.repr]
    usual = None
    if all(f.default is not dataclasses.MISSING for f in describe(cls)):
        usual = cls()  # a class may fill in what was left out
    changed = [name for name in fields if usual is None or getattr(component, name) != getattr(usual, name)]
    values = ", ".join(f"{name}={getattr(component, name)!r}" for name in changed)
    kind = getattr(component, "kind", "")
    return f"{kind} {cls.__name__}({values})".strip() if values else f"{kind} {cls.__name__}".strip()
