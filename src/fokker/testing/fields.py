"""Every field matters: a field that is accepted and changes nothing is a bug that its user pays for."""

import dataclasses
from collections.abc import Callable, Iterator
from itertools import zip_longest
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import torch
from torch import Tensor

from fokker.component import describe
from fokker.errors import FokkerError
from fokker.testing.check import Check, CheckFailed, NotApplicable
from fokker.testing.compare import examples
from fokker.testing.strategies import component as configurations
from fokker.testing.strategies import field_values

__all__ = ["field_checks"]

_CONFIGURATIONS = 1000
"""Drawn last and seldom: a field may need several others to be left out, which few configurations do by chance."""
_VALUES = 6


def field_checks(component: Any, label: str, observe: Callable[[Any], list[Any]]) -> Iterator[Check]:
    """A check for every field: some value of it changes what the component does.

    Other values are tried on the component as it is, then with one other choice made, then on other configurations of
    its class, since a field may matter beside certain values of its neighbours only.

    Args:
        component: The component.
        label: What it is called in reports.
        observe: What a component does, as tensors, numbers and texts.
    """
    for f in describe(type(component)):
        sentence = f"Changing {f.name} changes what the component does."
        yield Check(label, f"field[{f.name}]", sentence, _has_effect(component, f.name, f.annotation, observe))


def _has_effect(
    component: Any, name: str, annotation: Any, observe: Callable[[Any], list[Any]]
) -> Callable[[], str | None]:
    def body() -> str | None:
        tried = []
        text = str in _types(annotation)
        for k, base in enumerate(_bases(component, drawn=not text)):
            current = getattr(base, name)
            values = [v for v in examples(field_values(annotation, current), _VALUES) if v != current]
            before = None
            for value in values if k == 0 else values[:2]:
                try:
                    other = dataclasses.replace(base, **{name: value})
                except FokkerError:  # this value does not go with the other fields
                    continue
                before = before or _observed(base, observe)
                after = _observed(other, observe)
                if not _equal(before, after):
                    return None
                if not any(isinstance(seen, FokkerError) for seen in after):  # what both refuse shows nothing
                    tried.append(value)
        if not tried or text:  # a text names something outside, which may be the default by name
            raise NotApplicable(f"{name} has no other value that can be tried without files or other packages")
        shown = ", ".join(dict.fromkeys(repr(v) for v in tried))
        raise CheckFailed(
            f"{name} is accepted and has no effect: whatever it is, such as {shown[:200]}, nothing changes"
        )

    return body


def _bases(component: Any, *, drawn: bool) -> Iterator[Any]:
    """Configurations to try values on; `drawn` ones are left out where they would be many and prove nothing."""
    yield component
    yield from _other_choices(component)
    cls = type(component)
    if all(f.default is not dataclasses.MISSING for f in describe(cls)):
        yield cls()
        yield from _other_choices(cls())
    if not drawn:
        return
    try:
        yield from examples(configurations(cls, near=component), _CONFIGURATIONS)
    except NotApplicable:
        return


def _other_choices(component: Any) -> Iterator[Any]:
    """The component with one other choice among words, or yes and no: what lets another field matter is mostly that."""
    for f in describe(type(component)):
        plain = get_args(f.annotation)[0] if get_origin(f.annotation) is Annotated else f.annotation
        words = (True, False) if plain is bool else get_args(plain) if get_origin(plain) is Literal else ()
        for word in words:
            if word != getattr(component, f.name):
                try:
                    yield dataclasses.replace(component, **{f.name: word})
                except FokkerError:
                    continue


def _observed(component: Any, observe: Callable[[Any], list[Any]]) -> list[Any]:
    try:
        return observe(component)
    except FokkerError as error:  # to refuse something is an effect
        return [error]


def _equal(a: list[Any], b: list[Any]) -> bool:
    return all(_same(x, y) for x, y in zip_longest(a, b))


def _same(x: Any, y: Any) -> bool:
    if isinstance(x, Tensor) and isinstance(y, Tensor):
        return x.shape == y.shape and bool(torch.allclose(x.double(), y.double(), rtol=0, atol=0, equal_nan=True))
    if isinstance(x, FokkerError) and isinstance(y, FokkerError):
        return str(x) == str(y)
    return type(x) is type(y) and bool(x == y)


def _types(annotation: Any) -> set[Any]:
    """The types that a field allows, without their bounds."""
    if get_origin(annotation) in (Annotated, Union, UnionType):
        return {each for inner in get_args(annotation) for each in _types(inner)}
    return {annotation} if isinstance(annotation, type) else set()
