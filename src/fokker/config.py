"""Configuration: from TOML tables and specs to components, and back.

Values are checked here, at the edge, by pydantic models derived from the components' fields: unknown keys are refused,
types are strict (a whole number will do for a float, `"3"` for nothing but text), infinities and NaN are no numbers.
What does not fit is one `ConfigError` with the full dotted key. A field annotated with an interface, such as `Grid`,
`Grid | None` or `tuple[Transform, ...]`, is a component of its own and is looked up in the registry.

    build(registry, kind, to_table(registry, component)) == component

TOML has no null: a field that may be empty is left out of the table, or written as the word `none` where leaving it
out would mean something else.
"""

import dataclasses
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args, get_origin
from weakref import WeakKeyDictionary

from fokker.component import Field, constraint_text, describe, summary, type_text
from fokker.errors import ConfigError
from fokker.plugins.host import Host
from fokker.plugins.registry import INTERFACES, Registry, interface_of, nearest
from fokker.spec import Spec, as_spec, as_value, parse_value

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

__all__ = ["build", "build_settings", "defaults", "schema", "set_path", "settings_table", "to_table", "unknown_key"]

T = TypeVar("T")

Source = Registry | Host
"""Where names are looked up."""


def build(source: Source, kind: str, value: object, *, where: str | None = None) -> Any:
    """Build a component.

    Args:
        source: The registry, or a host with one.
        kind: The kind of component, such as `sampler`.
        value: A spec, its text, a TOML table with `name`, or a component, which is given back.
        where: The dotted key that the value was given for; the kind unless given.

    Raises:
        ConfigError: If the name is unknown, or if a field is unknown, missing, of the wrong type or out of range.
        PluginError: If the component's plugin cannot be imported.
    """
    registry = _registry(source)
    where = kind if where is None else where
    if kind in INTERFACES and not isinstance(value, (Spec, str, Mapping)) and isinstance(value, interface_of(kind)):
        return value
    spec = as_spec(value, where)
    try:
        entry = registry.get(kind, spec.name)
    except ConfigError as error:
        raise ConfigError(str(error) if where == kind else f"{where}: {error}") from None
    return _construct(registry, entry.load(), spec.fields, where)


def build_settings(source: Source, cls: type[T], table: Mapping[str, Any], where: str) -> T:
    """Build a component that has no name: a table of settings such as `[train]`.

    Args:
        source: Where the names of its sub-components are looked up.
        cls: The component's class.
        table: Values by field.
        where: The dotted key of the table.

    Raises:
        ConfigError: As for `build`.
    """
    if not isinstance(table, Mapping):
        raise ConfigError(f"{where} must be a table, got {_given(table)}.")
    fields = {key: as_value(value, f"{where}.{key}") for key, value in table.items()}
    return typing.cast(T, _construct(_registry(source), cls, fields, where))


def to_table(source: Source, component: object, kind: str | None = None) -> dict[str, Any]:
    """A component as a TOML table with every field spelled out; `build` reads it back.

    Args:
        source: Where the names of classes are looked up.
        component: The component.
        kind: Its kind; unless given, the first kind in which its class is registered.

    Raises:
        ConfigError: If it or a sub-component is not registered, or if a field cannot be written.
    """
    registry = _registry(source)
    entry = registry.find(type(component), kind)
    return {"name": entry.written, **settings_table(registry, component)}


def settings_table(source: Source, component: object) -> dict[str, Any]:
    """The fields of a component as a TOML table without a name; `build_settings` reads it back.

    Raises:
        ConfigError: As for `to_table`.
    """
    registry = _registry(source)
    table: dict[str, Any] = {}
    for field in _fields(type(component)).values():
        value = getattr(component, field.name)
        if value is not None:
            table[field.name] = _written(registry, field.annotation, value, f"{type(component).__name__}.{field.name}")
        elif field.default is not None:
            if not _means_empty(registry, field.annotation):
                raise ConfigError(f"{type(component).__name__}.{field.name} is empty, which TOML cannot say.")
            table[field.name] = "none"
    return table


def defaults(source: Source, cls: type) -> dict[str, Any]:
    """The default values of a component's fields as TOML has them, None where a field is empty.

    Required fields are left out.

    Raises:
        ConfigError: As for `to_table`.
    """
    registry = _registry(source)
    found = {f.name: f for f in _fields(cls).values() if f.default is not dataclasses.MISSING}
    return {
        name: None if f.default is None else _written(registry, f.annotation, f.default, f"{cls.__name__}.{name}")
        for name, f in found.items()
    }


def schema(source: Source, kind: str, name: str) -> dict[str, Any]:
    """JSON Schema of a component's table.

    Raises:
        ConfigError: If there is no such component.
        PluginError: If its plugin cannot be imported.
    """
    registry = _registry(source)
    entry = registry.get(kind, name)
    cls = entry.load()
    found = _model(cls).model_json_schema(by_alias=True)
    properties = found.get("properties", {})
    for name_, default in defaults(registry, cls).items():
        properties[name_].pop("default")
        if default is not None:
            properties[name_]["default"] = default
    found["properties"] = {"name": {"const": entry.written}, **properties}
    found["required"] = ["name", *found.get("required", [])]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def set_path(table: dict[str, Any], assignment: str) -> None:
    """Set one value deep inside a table, as `--set` does.

    Args:
        table: Changed in place. A component on the way that is written as a spec becomes a table; tables that are
            missing are made; a whole number steps into an array.
        assignment: `a.b=c`, with `c` a TOML value, a spec, or any other text.

    Raises:
        ConfigError: If it is no assignment, or if the path leads through something that is no table.
    """
    path, equals, text = assignment.partition("=")
    keys = [key.strip() for key in path.split(".")]
    if not equals or not all(keys):
        raise ConfigError(f"--set takes key=value with a dotted key, such as train.lr=0.001, got {assignment!r}.")
    value = _from_text(text)
    here: Any = table
    for depth, key in enumerate(keys[:-1]):
        here = _step_into(here, key, ".".join(keys[: depth + 1]))
    if isinstance(here, list):
        here[_position(here, keys[-1], path)] = value
    else:
        here[keys[-1]] = value


def unknown_key(key: str, known: Sequence[str], where: str) -> str:
    """What is said of a key that is not known.

    Args:
        key: The key.
        known: The keys that there are.
        where: What they belong to.
    """
    there = f"It has {', '.join(known)}." if known else "It has no fields."
    return f"{where} has no field '{key}'.{nearest(key, known)} {there}"


def _registry(source: Source) -> Registry:
    return source.registry if isinstance(source, Host) else source


_FIELDS: WeakKeyDictionary[type, dict[str, Field]] = WeakKeyDictionary()


def _fields(cls: type) -> dict[str, Field]:
    if cls not in _FIELDS:
        _FIELDS[cls] = {field.name: field for field in describe(cls)}
    return _FIELDS[cls]


def _construct(registry: Registry, cls: type, given: Mapping[str, Any], where: str) -> Any:
    from pydantic import ValidationError

    fields = _fields(cls)
    values = {
        key: _resolved(registry, fields[key].annotation, value, f"{where}.{key}") if key in fields else value
        for key, value in given.items()
    }
    try:
        checked = _model(cls).model_validate(values)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False)
        raise ConfigError(_explained(details, fields, values, where)) from None
    try:
        return cls(**{key: getattr(checked, _PREFIX + key) for key in values})
    except ConfigError as error:  # a rule that involves several fields, said by the class
        own = f"{cls.__name__}."
        text = str(error)
        raise ConfigError(f"{where}.{text.removeprefix(own)}" if text.startswith(own) else f"{where}: {text}") from None


def _resolved(registry: Registry, hint: Any, value: Any, where: str) -> Any:
    """The value with sub-components built, and with None for the word `none` where that is what it means."""
    if value == "none" and isinstance(value, str) and _means_empty(registry, hint):
        return None
    interface = _interface(hint)
    if interface is None:
        return value
    if _is_sequence(hint):
        if not isinstance(value, tuple):
            raise ConfigError(f"{where} must be a list of components, as in [standardise], got {_given(value)}.")
        return tuple(_resolved(registry, interface, v, f"{where}[{i}]") for i, v in enumerate(value))
    component = build(registry, interface.kind, value, where=where)
    if not isinstance(component, interface):
        raise ConfigError(f"{where} must be a {interface.__name__}, got {_given(value)}.")
    return component


def _written(registry: Registry, hint: Any, value: Any, where: str) -> Any:
    interface = _interface(hint)
    if isinstance(value, (tuple, list)):
        inner = interface or object
        return [_written(registry, inner, v, f"{where}[{i}]") for i, v in enumerate(value)]
    if interface is not None:
        return to_table(registry, value, interface.kind)
    if hint is float or (hint is not bool and isinstance(value, float)):
        return float(value)
    if isinstance(value, (bool, int, str)):
        return value
    raise ConfigError(f"{where} is {_given(value)}, which TOML cannot say.")


def _interface(hint: Any) -> Any:
    """The interface or component class that an annotation asks for, or None."""
    if isinstance(hint, type):
        return hint if getattr(hint, "kind", None) in INTERFACES else None
    arguments = get_args(hint)[:1] if get_origin(hint) is Annotated else get_args(hint)
    if get_origin(hint) is Literal:
        return None
    return next((found for found in map(_interface, arguments) if found is not None), None)


def _options(hint: Any) -> tuple[Any, ...]:
    """The members of a union, or the one type itself, without constraints."""
    if get_origin(hint) is Annotated:
        return _options(get_args(hint)[0])
    if get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(option for argument in get_args(hint) for option in _options(argument))
    return (hint,)


def _is_sequence(hint: Any) -> bool:
    return any(get_origin(option) is tuple for option in _options(hint))


def _means_empty(registry: Registry, hint: Any) -> bool:
    """Whether the word `none` can mean None for this annotation, because it can mean nothing else."""
    options = _options(hint)
    if type(None) not in options or str in options:
        return False
    if any(get_origin(option) is Literal and "none" in get_args(option) for option in options):
        return False
    interface = _interface(hint)
    return interface is None or all(entry.name != "none" for entry in registry.entries(interface.kind))


_PREFIX = "f_"  # pydantic keeps names such as `schema` and `copy` for itself; the fields' own names are aliases


_MODELS: "WeakKeyDictionary[type, type[BaseModel]]" = WeakKeyDictionary()


def _model(cls: type) -> "type[BaseModel]":
    """The pydantic model of a component's fields."""
    if cls not in _MODELS:
        _MODELS[cls] = _derived(cls)
    return _MODELS[cls]


def _derived(cls: type) -> "type[BaseModel]":
    from pydantic import ConfigDict, create_model
    from pydantic import Field as ModelField

    definitions: dict[str, Any] = {}
    for field in _fields(cls).values():
        default = ... if field.default is dataclasses.MISSING else None
        info = ModelField(default, alias=field.name, title=field.name, description=field.doc or None)
        definitions[_PREFIX + field.name] = (_for_pydantic(field.annotation), info)
    config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, title=cls.__name__)
    model: type[BaseModel] = create_model(cls.__name__, __config__=config, __doc__=summary(cls), **definitions)
    return model


def _for_pydantic(hint: Any) -> Any:
    """An annotation in which sub-components, which are built and checked before, are taken as they are."""
    from pydantic import WithJsonSchema

    origin = get_origin(hint)
    if origin is Annotated:
        inner, *bounds = get_args(hint)
        return Annotated[(_for_pydantic(inner), *bounds)]
    if origin in (typing.Union, types.UnionType):
        return typing.Union[tuple(_for_pydantic(argument) for argument in get_args(hint))]  # noqa: UP007
    if origin is tuple:
        return tuple[tuple(a if a is Ellipsis else _for_pydantic(a) for a in get_args(hint))]  # type: ignore[misc]
    if isinstance(hint, type) and _interface(hint) is not None:
        table = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
        what = f"The name, spec or table of a {_interface(hint).kind}."
        return Annotated[Any, WithJsonSchema({"description": what, "anyOf": [{"type": "string"}, table]})]
    return hint


def _explained(
    details: "Sequence[ErrorDetails]", fields: Mapping[str, Field], values: Mapping[str, Any], where: str
) -> str:
    """What pydantic found, in one line: one sentence for each field."""
    sentences: dict[str, str] = {}
    for detail in details:
        name = str(detail["loc"][0])
        if name in sentences:
            continue  # one misfit in an array, or with each member of a union, is said once
        key = f"{where}.{name}"
        if detail["type"] == "extra_forbidden":
            sentences[name] = unknown_key(name, list(fields), where)
        elif name not in values:
            sentences[name] = f"{key} is missing; it is {_expected(fields[name].annotation)}."
        else:
            hint, value = fields[name].annotation, values[name]
            alternatives = [option for option in _options(hint) if option is not type(None)]
            for part in detail["loc"][1:] if len(alternatives) == 1 else ():
                if isinstance(part, int) and part < len(value):
                    key, hint, value = f"{key}[{part}]", _element(hint, part), value[part]
            sentences[name] = _misfit(key, hint, value)
    return " ".join(sentences.values())


def _misfit(key: str, hint: Any, value: Any) -> str:
    words = [word for option in _options(hint) if get_origin(option) is Literal for word in get_args(option)]
    advice = nearest(value, words) if isinstance(value, str) else ""
    if str in _options(hint) and isinstance(value, (bool, int, float)):
        advice = " Put it in quotes."
    return f"{key} must be {_expected(hint)}, got {_given(value)}.{advice}"


def _element(hint: Any, position: int) -> Any:
    """The annotation of an element of a tuple."""
    inner = next(get_args(option) for option in _options(hint) if get_origin(option) is tuple)
    return inner[0] if len(inner) == 2 and inner[1] is Ellipsis else inner[position]


def _expected(hint: Any) -> str:
    """What an annotation allows, such as `a number greater than 0`."""
    options = [option for option in _options(hint) if option is not type(None)]
    if any(get_origin(option) is Literal for option in options):
        return " or ".join(
            constraint_text(option) if get_origin(option) is Literal else _expected(option) for option in options
        )
    constraint = constraint_text(hint)
    text = type_text(hint).removesuffix(" or none")
    if text not in ("text", "true or false"):
        text = f"an {text}" if text[0] in "aeiou" else f"a {text}"
    return f"{text} {constraint}" if constraint else text


def _given(value: Any) -> str:
    """A value as it was given, shortened."""
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, Spec):
        text = f"'{value}'"
    elif isinstance(value, tuple):
        text = f"[{', '.join(map(_given, value))}]"
    else:
        text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _step_into(here: Any, key: str, path: str) -> Any:
    """The table or array below a key, made or converted if need be."""
    if isinstance(here, list):
        at: Any = _position(here, key, path)
        below = here[at]
    else:
        at = key
        below = here.get(key)
    if below is None:
        below = {}
    elif isinstance(below, (str, Spec)):
        below = as_spec(below, path).table()
    elif not isinstance(below, (dict, list)):
        raise ConfigError(f"--set cannot set anything inside {path}, which is {_given(below)}.")
    here[at] = below
    return below


def _position(here: list[Any], key: str, path: str) -> int:
    if key.isdecimal() and int(key) < len(here):
        return int(key)
    raise ConfigError(f"--set {path}: the array has {len(here)} entries, counted from 0, and none is '{key}'.")


def _from_text(text: str) -> Any:
    """A TOML value; else an array in the grammar of specs; else the text itself."""
    text = text.strip()
    try:
        parsed = tomllib.loads(f"value = {text}")
        if list(parsed) == ["value"]:
            as_value(parsed["value"])
            return parsed["value"]
    except (tomllib.TOMLDecodeError, ConfigError):
        pass
    if text.startswith("["):
        return Spec("x", {"value": parse_value(text)}).table()["value"]
    return text
