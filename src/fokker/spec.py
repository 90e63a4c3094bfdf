"""Specs: a component and its fields in one line, such as `pc:predictor=ancestral(variance=forward),corrector=langevin`.

`name:k=v,...` and `name(k=v,...)` mean the same at any depth. The colon form reaches as far as fields follow, to the
end of what encloses it; parentheses say where it ends.

    spec     = name [ fields ] ;
    fields   = ":" field { "," field } | "(" [ field { "," field } [ "," ] ] ")" ;
    field    = key "=" value ;
    value    = name fields | array | string | number | boolean | word ;
    array    = "[" [ value { "," value } [ "," ] ] "]" ;
    name     = [ part "/" ] part ;            (* distribution/name, or the name alone *)
    part     = alnum { alnum | "-" | "_" | "." } ;
    key      = ( letter | "_" ) { letter | digit | "-" | "_" } ;
    string   = a basic or literal TOML string of one line ;
    number   = a TOML integer or float ;
    boolean  = "true" | "false" ;
    word     = wordchar { wordchar } ;        (* text; a component's name is a word too *)
    wordchar = any printable character but white space and , : ( ) [ ] { } = " ' ;

White space between tokens has no meaning. Text with one of the characters that a word cannot have stands in quotes. A
bare word may hold `/`, so that a relative path needs none; `format` quotes it all the same.
"""

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, time
from types import MappingProxyType
from typing import Any, NoReturn, TypeAlias, Union

from fokker.errors import ConfigError

__all__ = ["Spec", "Value", "as_spec", "as_value", "format", "format_value", "parse", "parse_value"]

Value: TypeAlias = Union[bool, int, float, str, "Spec", tuple["Value", ...]]
"""A field's value."""

MAX_DEPTH = 32
"""How deep specs and arrays may be nested."""

_PART = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_NAME = re.compile(rf"(?:{_PART}/)?{_PART}")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_WORD = re.compile(r"""[^\s,:()\[\]{}="']+""")
_FIELD_FOLLOWS = re.compile(rf"\s*,\s*{_KEY.pattern}\s*=")
_STRING = re.compile(r"""'[^'\n]*'|"(?:[^"\\\n]|\\.)*\"""")
_INTEGER = re.compile(
    r"[+-]?(?:0|[1-9](?:_?[0-9])*)|0x[0-9A-Fa-f](?:_?[0-9A-Fa-f])*|0o[0-7](?:_?[0-7])*|0b[01](?:_?[01])*"
)
_FLOAT = re.compile(
    r"[+-]?(?:0|[1-9](?:_?[0-9])*)(?:\.[0-9](?:_?[0-9])*)?(?:[eE][+-]?[0-9](?:_?[0-9])*)?|[+-]?(?:inf|nan)"
)


@dataclass(frozen=True)
class Spec:
    """A component's name and the fields that are given.

    Args:
        name: The name, `distribution/name` or bare.
        fields: Values by field; never one called `name`.

    Raises:
        ConfigError: If the name or a field's name is malformed.
    """

    name: str
    fields: Mapping[str, Value] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigError(f"{_shown(self.name)} is not a component's name.")
        for key in self.fields:
            if not _KEY.fullmatch(key) or key == "name":
                raise ConfigError(f"{_shown(key)} is not a field's name.")
        object.__setattr__(self, "fields", MappingProxyType(dict(self.fields)))

    def __str__(self) -> str:
        """The spec in one line."""
        return format(self)

    def table(self) -> dict[str, Any]:
        """The same as a TOML table, `{name = "...", ...}`, with nested specs as tables."""
        return {"name": self.name, **{key: _plain(value) for key, value in self.fields.items()}}


def parse(text: str) -> Spec:
    """Read a spec.

    Args:
        text: Such as `vp:beta_max=10`.

    Raises:
        ConfigError: If it is not a spec; the message says where and what was expected.
    """
    parser = _Parser(text)
    spec = parser.spec(0)
    parser.end()
    return spec


def parse_value(text: str) -> Value:
    """Read what may stand behind the `=` of a field: a spec with fields, an array, a scalar, or a word.

    Raises:
        ConfigError: If it is no such thing; the message says where and what was expected.
    """
    parser = _Parser(text)
    value = parser.value(0)
    parser.end()
    return value


def format(spec: Spec) -> str:
    """Write a spec so that `parse` reads it back: the colon form outside, parentheses inside.

    Raises:
        ConfigError: If a value is none that a spec can hold.
    """
    fields = _fields(spec)
    return f"{spec.name}:{fields}" if fields else spec.name


def format_value(value: Value) -> str:
    """Write a value so that `parse_value` reads it back.

    Raises:
        ConfigError: If it is none that a spec can hold.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return value if _is_plain_word(value) else _quoted(value)
    if isinstance(value, tuple):
        return "[" + ",".join(format_value(v) for v in value) + "]"
    if isinstance(value, Spec):
        return f"{value.name}({_fields(value)})"
    raise ConfigError(f"{value!r} cannot be written in a spec.")


def as_spec(value: object, where: str = "spec") -> Spec:
    """Take a spec from any of its forms.

    Args:
        value: A `Spec`, its text, or a TOML table with `name`.
        where: The dotted key that it was given for, for messages.

    Raises:
        ConfigError: If it is none of these.
    """
    if isinstance(value, Spec):
        return value
    if isinstance(value, str):
        try:
            return parse(value)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where} must name a component, got {_shown(value)}.")
    if not isinstance(value.get("name"), str):
        raise ConfigError(f'{where} needs the name of a component, as in name = "...".')
    try:
        return Spec(value["name"], {k: as_value(v, f"{where}.{k}") for k, v in value.items() if k != "name"})
    except ConfigError as error:
        text = str(error)
        raise ConfigError(text if text.startswith(f"{where}.") else f"{where}: {text}") from None


def as_value(value: object, where: str = "value") -> Value:
    """Take a field's value from TOML: arrays become tuples, tables specs.

    Raises:
        ConfigError: If it is a date or a time, or a table without a name.
    """
    if isinstance(value, (list, tuple)):
        return tuple(as_value(v, f"{where}[{i}]") for i, v in enumerate(value))
    if isinstance(value, Mapping):
        return as_spec(value, where)
    if isinstance(value, (bool, int, float, str, Spec)):
        return value
    what = "a date or a time" if isinstance(value, (date, time)) else _shown(value)
    raise ConfigError(f"{where} cannot be {what}.")


class _Parser:
    """Recursive descent over one text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def spec(self, depth: int) -> Spec:
        start = self.skip()
        word = self.match(_WORD)
        if word is None:
            self.fail("the name of a component")
        return self.fields(word, start, depth)

    def fields(self, name: str, start: int, depth: int) -> Spec:
        """The fields behind a name that starts at `start`, if any follow."""
        if not _NAME.fullmatch(name):
            self.at = start
            self.fail("the name of a component")
        if depth > MAX_DEPTH:
            raise ConfigError(f"{_shown(self.text)} is nested deeper than {MAX_DEPTH} levels.")
        found: dict[str, Value] = {}
        if self.skip_to(":"):
            self.field(found, depth)
            while _FIELD_FOLLOWS.match(self.text, self.at):
                self.skip_to(",")
                self.field(found, depth)
        elif self.skip_to("("):
            while not self.skip_to(")"):
                self.field(found, depth)
                if not self.skip_to(",") and self.peek() != ")":
                    self.fail("',' or ')'")
        return Spec(name, found)

    def field(self, found: dict[str, Value], depth: int) -> None:
        start = self.skip()
        key = self.match(_KEY)
        if key is None:
            self.fail("a field, key=value,")
        if key == "name" or key in found:
            self.at = start
            self.fail("another field" if key != "name" else "a field that is not called 'name'")
        if not self.skip_to("="):
            self.fail("'='")
        found[key] = self.value(depth + 1)

    def value(self, depth: int) -> Value:
        start = self.skip()
        if self.peek() == "[":
            return self.array(depth)
        if self.peek() in ("'", '"'):
            return self.string()
        word = self.match(_WORD)
        if word is None or not word.isprintable():
            self.at = start
            self.fail("a value")
        if self.peek() in (":", "("):
            return self.fields(word, start, depth)
        return self.scalar(word)

    def array(self, depth: int) -> tuple[Value, ...]:
        if depth > MAX_DEPTH:
            raise ConfigError(f"{_shown(self.text)} is nested deeper than {MAX_DEPTH} levels.")
        self.skip_to("[")
        values: list[Value] = []
        while not self.skip_to("]"):
            values.append(self.value(depth + 1))
            if not self.skip_to(",") and self.peek() != "]":
                self.fail("',' or ']'")
        return tuple(values)

    def string(self) -> str:
        start = self.at
        raw = self.match(_STRING)
        try:
            if raw is not None:
                return str(tomllib.loads(f"v = {raw}")["v"])
        except tomllib.TOMLDecodeError:
            self.at = start
        self.fail("a string as TOML has it")

    def scalar(self, word: str) -> Value:
        if word in ("true", "false"):
            return word == "true"
        if _INTEGER.fullmatch(word):
            try:
                return int(word.replace("_", ""), 0)
            except ValueError:  # Python reads no integer of thousands of digits
                raise ConfigError(f"{_shown(self.text)} has an integer of {len(word)} characters.") from None
        return float(word.replace("_", "")) if _FLOAT.fullmatch(word) else word

    def end(self) -> None:
        if self.skip() < len(self.text):
            self.fail("a field, key=value, after the comma" if self.peek() == "," else "the end")

    def skip(self) -> int:
        """Passes white space; returns where the next token starts."""
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1
        return self.at

    def peek(self) -> str:
        return self.text[self.skip() : self.at + 1]

    def skip_to(self, token: str) -> bool:
        """Passes this token if it is the next one."""
        if self.peek() != token:
            return False
        self.at += 1
        return True

    def match(self, pattern: re.Pattern[str]) -> str | None:
        found = pattern.match(self.text, self.skip())
        if found is None:
            return None
        self.at = found.end()
        return found.group()

    def fail(self, expected: str) -> NoReturn:
        here = self.skip()
        found = repr(self.text[here]) if here < len(self.text) else "the end"
        hint = "; quotes make it text" if self.text[here : here + 1] in tuple(":()[]{}=,'\"") and here else ""
        raise ConfigError(
            f"{_shown(self.text)} is not a spec: expected {expected} at column {here + 1}, found {found}{hint}."
        )


def _fields(spec: Spec) -> str:
    return ",".join(f"{key}={format_value(value)}" for key, value in spec.fields.items())


def _is_plain_word(text: str) -> bool:
    word = _WORD.fullmatch(text) is not None and text.isprintable() and "/" not in text
    return word and text not in ("true", "false") and not _INTEGER.fullmatch(text) and not _FLOAT.fullmatch(text)


def _quoted(text: str) -> str:
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return '"' + "".join(escapes.get(c) or (c if c.isprintable() else _escaped(c)) for c in text) + '"'


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xD800 <= code < 0xE000:  # TOML escapes no surrogates, but takes them as they are
        return character
    return f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"


def _plain(value: Value) -> Any:
    if isinstance(value, Spec):
        return value.table()
    return [_plain(v) for v in value] if isinstance(value, tuple) else value


def _shown(value: object) -> str:
    """A value in a message: as Python writes it, shortened."""
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.12g}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
