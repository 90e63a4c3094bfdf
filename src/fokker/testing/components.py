"""What every component should do, whatever its kind: it is plain, and a configuration can say all of it."""

import copy
import dataclasses
import re
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

from fokker import config
from fokker.component import describe, summary
from fokker.errors import ConfigError
from fokker.plugins.host import load_plugins
from fokker.plugins.registry import Registry
from fokker.spec import as_spec, format, parse
from fokker.testing.check import NotApplicable, Suite, expect
from fokker.testing.compare import for_all
from fokker.testing.strategies import component as configurations

__all__ = ["Component", "suite"]


@runtime_checkable
class Component(Protocol):
    """An instance of a class made by `@component`."""

    kind: str
    __dataclass_fields__: dict[str, Any]


suite = Suite(Component)


@suite.check
def frozen(component: Component) -> None:
    """Cannot be changed once it is made, can be hashed, and equals its copy."""
    for f in describe(type(component)):
        try:
            setattr(component, f.name, f.default)
        except dataclasses.FrozenInstanceError:
            continue
        expect(False, f"{f.name} can be assigned to: make the class with @component")
    expect(copy.deepcopy(component) == component, "a copy of it is not equal to it")
    expect(hash(copy.deepcopy(component)) == hash(component), "a copy of it has another hash")


@suite.check
def documented(component: Component) -> None:
    """Has a docstring with one sentence first, and a line for every field under Args."""
    cls = type(component)
    expect(bool(summary(cls)) and cls.__doc__ != dataclasses.make_dataclass(cls.__name__, []).__doc__, "no docstring")
    missing = [f.name for f in describe(cls) if not f.doc]
    expect(not missing, f"Args of the docstring lack {', '.join(missing)}")


@suite.check
def bounds_are_checked(component: Component) -> None:
    """Refuses a number that is not finite in every field that takes numbers."""
    numeric = [f.name for f in describe(type(component)) if isinstance(getattr(component, f.name), float)]
    for name in numeric:
        try:
            dataclasses.replace(component, **{name: float("nan")})  # type: ignore[type-var]
        except ConfigError:
            continue
        expect(False, f"{name} takes nan: make the class with @component")
    if not numeric:
        raise NotApplicable("it has no field with a number")


@suite.check
def round_trip(component: Component) -> str:
    """Is the same after it was written as text and read again, with any values of its fields."""
    registry, kind = _registered(component)

    def holds(c: Any) -> None:
        text = format(as_spec(config.to_table(registry, c, kind)))
        back = config.build(registry, kind, parse(text))
        expect(back == c, f"{text} is read as {back!r} where {c!r} was written")

    holds(component)
    try:
        for_all(holds, configurations(type(component), near=component, registry=registry))
    except NotApplicable as reason:
        return str(reason)
    return ""


def _registered(component: Component) -> tuple[Registry, str]:
    """A registry in which the component and its parts have names, their own or some for the occasion."""
    registry = load_plugins().registry
    kind = component.kind
    for part in _parts(component):
        cls = type(part)
        try:
            found = registry.find(cls).kind
        except ConfigError:  # not in a plugin, or not yet
            found = part.kind
            getattr(registry, found)(f"checked-{_kebab(f'{cls.__module__}-{cls.__qualname__}')}", cls)
        if part is component:
            kind = found
    return registry, kind


def _parts(value: Any) -> Iterator[Component]:
    """The component, and those in its fields."""
    if isinstance(value, tuple):
        for each in value:
            yield from _parts(each)
    elif isinstance(value, Component):
        yield value
        for f in describe(type(value)):
            yield from _parts(getattr(value, f.name))


def _kebab(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()).strip("-")
