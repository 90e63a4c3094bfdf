"""Components: frozen dataclasses whose annotated fields are their whole configuration.

The same annotations give the checks on direct construction (here), the checks on TOML and command-line
values (`fokker.config`), the help of `fokker show`, and the strategies of `fokker.testing`.
"""

import dataclasses
import inspect
import math
import re
import types
import typing
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from fokker.errors import ConfigError

__all__ = ["Field", "component", "constraint_text", "describe", "reference", "summary", "type_text"]

T = TypeVar("T")


@typing.dataclass_transform(frozen_default=True, kw_only_default=False)
def component(cls: type[T]) -> type[T]:
    """Turn `cls` into a frozen dataclass that checks its annotated bounds whenever it is constructed.

    Rules that involve several fields go into `__post_init__` of the class; it runs after the bounds are checked.

    Raises:
        ConfigError: On construction, for a value of the wrong type, not finite, or out of its range.
    """
    own = getattr(cls, "__post_init__", None)

    def __post_init__(self: Any) -> None:
        check_fields(self)
        if own is not None:
            own(self)

    cls.__post_init__ = __post_init__  # type: ignore[attr-defined]
    return dataclasses.dataclass(frozen=True)(cls)


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of a component as a reader needs it.

    Args:
        name: Name of the field; also the key in TOML and in specs.
        annotation: The resolved type with its constraints.
        type: The type in words, without its constraints.
        default: Default value, or `dataclasses.MISSING` where the field is required.
        constraint: Allowed range in words; empty where there is none.
        doc: What the class's docstring says under `Args`.
    """

    name: str
    annotation: Any
    type: str
    default: Any
    constraint: str
    doc: str


def describe(cls: type) -> list[Field]:
    """The fields of a component, in their order."""
    hints = typing.get_type_hints(cls, include_extras=True)
    docs = _documented_args(cls)
    return [
        Field(
            name=f.name,
            annotation=hints[f.name],
            type=type_text(hints[f.name]),
            default=f.default_factory() if f.default_factory is not dataclasses.MISSING else f.default,
            constraint=constraint_text(hints[f.name]),
            doc=docs.get(f.name, ""),
        )
        for f in dataclasses.fields(cls)
    ]


def summary(cls: type) -> str:
    """First sentence of the docstring."""
    first = (inspect.getdoc(cls) or "").split("\n\n")[0]
    return " ".join(first.split())


def reference(cls: type) -> str:
    """Where the method comes from: the first citation such as `(Ho et al., 2020, eq. 7)` of the docstring."""
    found = re.search(r"\(([^()]*\b(?:19|20)\d\d\b[^()]*)\)", " ".join((inspect.getdoc(cls) or "").split()))
    return found.group(1) if found else ""


def check_fields(self: Any) -> None:
    """Check every field of a component against its annotation; lists become tuples, so that it can be hashed.

    Raises:
        ConfigError: For the first field that does not fit.
    """
    for name, hint in _hints(type(self)).items():
        value = getattr(self, name)
        if isinstance(value, list):
            value = _frozen(value)
            object.__setattr__(self, name, value)
        _check(f"{type(self).__name__}.{name}", hint, value)


def _frozen(value: Any) -> Any:
    return tuple(_frozen(v) for v in value) if isinstance(value, list) else value


def _hints(cls: type) -> dict[str, Any]:
    cached = cls.__dict__.get("_fokker_hints")
    if cached is None:
        hints = typing.get_type_hints(cls, include_extras=True)
        cached = {f.name: hints[f.name] for f in dataclasses.fields(cls)}
        cls._fokker_hints = cached  # type: ignore[attr-defined]
    return cached


def _check(where: str, hint: Any, value: Any) -> None:
    bounds: tuple[Any, ...] = ()
    if get_origin(hint) is Annotated:
        hint, *rest = get_args(hint)
        bounds = tuple(rest)
    origin = get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        _check_union(where, get_args(hint), bounds, value)
        return
    if origin is Literal:
        if value not in get_args(hint):
            allowed = ", ".join(str(a) for a in get_args(hint))
            raise ConfigError(f"{where} must be one of {allowed}, got {value!r}.")
        return
    if origin is tuple:
        if not isinstance(value, tuple):
            raise ConfigError(f"{where} must be a list, got {value!r}.")
        inner = get_args(hint)
        each = [inner[0]] * len(value) if len(inner) == 2 and inner[1] is Ellipsis else list(inner)
        if len(each) != len(value):
            raise ConfigError(f"{where} takes {len(each)} values, got {len(value)}.")
        for i, (h, v) in enumerate(zip(each, value, strict=True)):
            _check(f"{where}[{i}]", h, v)
    elif hint is float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ConfigError(f"{where} must be a finite number, got {value!r}.")
    elif hint is int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ConfigError(f"{where} must be a whole number, got {value!r}.")
    elif isinstance(hint, type) and not isinstance(value, hint):
        what = {bool: "true or false", str: "text"}.get(hint, f"a {hint.__name__}")
        raise ConfigError(f"{where} must be {what}, got {value!r}.")
    for bound in _flatten(bounds):
        if not _holds(bound, value):
            raise ConfigError(f"{where} must be {_bound_text(bound)}, got {value!r}.")


def _check_union(where: str, options: tuple[Any, ...], bounds: tuple[Any, ...], value: Any) -> None:
    if value is None and type(None) in options:
        return
    failure: ConfigError | None = None
    for option in options:
        if option is type(None):
            continue
        try:
            _check(where, Annotated[(option, *bounds)] if bounds else option, value)
        except ConfigError as error:
            failure = failure or error
        else:
            return
    raise failure or ConfigError(f"{where} must be empty, got {value!r}.")


# annotated_types is imported where a bound is looked at: it takes a tenth of the time of `fokker --help`


def _flatten(bounds: tuple[Any, ...]) -> list[Any]:
    import annotated_types as at

    flat: list[Any] = []
    for bound in bounds:
        if isinstance(bound, at.GroupedMetadata):
            flat.extend(bound)
        else:
            flat.append(bound)
    return flat


def _holds(bound: Any, value: Any) -> bool:
    import annotated_types as at

    match bound:
        case at.Gt(gt=low):
            return bool(value > low)
        case at.Ge(ge=low):
            return bool(value >= low)
        case at.Lt(lt=high):
            return bool(value < high)
        case at.Le(le=high):
            return bool(value <= high)
        case at.MinLen(min_length=low):
            return len(value) >= low
        case at.MaxLen(max_length=high):
            return len(value) <= high
        case at.MultipleOf(multiple_of=step):
            return bool(value % step == 0)
        case at.BaseMetadata():
            raise TypeError(f"{bound!r} is not a bound that components know.")
        case _:
            return True


def _bound_text(bound: Any) -> str:
    import annotated_types as at

    match bound:
        case at.Gt(gt=low):
            return f"greater than {low}"
        case at.Ge(ge=low):
            return f"at least {low}"
        case at.Lt(lt=high):
            return f"less than {high}"
        case at.Le(le=high):
            return f"at most {high}"
        case at.MinLen(min_length=low):
            return f"of length at least {low}"
        case at.MaxLen(max_length=high):
            return f"of length at most {high}"
        case at.MultipleOf(multiple_of=step):
            return f"a multiple of {step}"
        case _:
            return ""


def constraint_text(hint: Any) -> str:
    """The allowed range of an annotation in words, such as `at least 0 and at most 1`."""
    texts: list[str] = []
    if get_origin(hint) is Annotated:
        inner, *bounds = get_args(hint)
        texts = [t for t in (_bound_text(b) for b in _flatten(tuple(bounds))) if t]
        nested = constraint_text(inner)
        return " and ".join([*texts, nested] if nested else texts)
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(str(a) for a in get_args(hint))
    nested_texts = [constraint_text(a) for a in get_args(hint) if a is not type(None) and a is not Ellipsis]
    if get_origin(hint) is tuple:
        nested_texts = [f"each {t}" for t in nested_texts if t]
    return " or ".join(dict.fromkeys(t for t in nested_texts if t))


def type_text(hint: Any) -> str:
    """The type of an annotation in words, without its constraints, such as `list of numbers`."""
    origin = get_origin(hint)
    if origin is Annotated:
        return type_text(get_args(hint)[0])
    if origin is Literal:
        return "word"
    if origin in (typing.Union, types.UnionType):
        return " or ".join("none" if a is type(None) else type_text(a) for a in get_args(hint))
    if origin is tuple:
        each = [a for a in get_args(hint) if a is not Ellipsis]
        word = type_text(each[0])
        plural = f"{word}s" if word in ("integer", "number", "word") else word
        return f"list of {plural}" if len(each) == 1 else f"list of {len(each)} {plural}"
    if hint in (int, float, str, bool):
        return {int: "integer", float: "number", str: "text", bool: "true or false"}[hint]
    return str(getattr(hint, "kind", None) or getattr(hint, "__name__", hint))


def _documented_args(cls: type) -> dict[str, str]:
    doc = inspect.getdoc(cls) or ""
    section = re.search(r"^Args:\n((?:[ ]{4}.*\n?|\n)+)", doc, re.MULTILINE)
    if section is None:
        return {}
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", section.group(1), re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}
