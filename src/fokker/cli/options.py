"""Options that several commands share, and parameters that complete the names of components."""

from collections.abc import Callable
from typing import Any, Literal, TypeVar

import click
from click.shell_completion import CompletionItem

from fokker.cli.app import App
from fokker.plugins.registry import KINDS

__all__ = [
    "ComponentType",
    "KindType",
    "LabelType",
    "NameType",
    "add_common_options",
    "between_option",
    "json_option",
    "keep_examples",
]

F = TypeVar("F", bound=Callable[..., Any])


class ComponentType(click.types.StringParamType):
    """A component's spec, such as `ddim:eta=0.5`; the shell completes its name.

    The value stays text: it is read when it is built, with an error that names its key.

    Args:
        kind: The kind of component.
    """

    name = "spec"

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The names that begin like this, with their summaries."""
        return _names(ctx, self.kind, incomplete)


class KindType(click.types.StringParamType):
    """A kind of component; the shell completes it."""

    name = "kind"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The kinds that begin like this."""
        return [CompletionItem(kind) for kind in KINDS if kind.startswith(incomplete)]


class LabelType(click.ParamType):  # type: ignore[type-arg]  # generic in some versions of click only
    """A class label: a whole number from 0 on, or `none`."""

    name = "label"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | Literal["none"]:
        """The number, or the word."""
        if value == "none":
            return "none"
        try:
            return int(click.IntRange(min=0).convert(value, param, ctx))
        except click.BadParameter:
            self.fail(f"a label is a class, a whole number from 0 on, or none; got {value!r}.", param, ctx)


class NameType(click.types.StringParamType):
    """A component's name, of the kind that the parameter `kind` before it says; the shell completes it."""

    name = "name"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The names that begin like this, with their summaries."""
        kind = ctx.params.get("kind")
        return _names(ctx, kind, incomplete) if kind in KINDS else []


def _names(ctx: click.Context, kind: str, incomplete: str) -> list[CompletionItem]:
    registry = ctx.ensure_object(App).registry
    named = zip(registry.names(kind), registry.entries(kind), strict=True)
    return [CompletionItem(name, help=entry.describe()) for name, entry in named if name.startswith(incomplete)]


def between_option(command: F) -> F:
    """Adds `--between`."""
    return click.option(
        "--between",
        type=click.Choice(["refuse", "round", "interpolate"]),
        help="What a network of levels is told between two of them; the plan's rule unless given.",
    )(command)


def json_option(command: F) -> F:
    """Adds `--json`, the parameter `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(command)


def add_common_options(command: click.Command) -> click.Command:
    """Give a command `--quiet` and `--debug`, which set the `App`'s attributes, unless it has its own."""
    taken = {name for parameter in command.params for name in parameter.opts}
    for attribute, text in (
        ("quiet", "Print results and errors only."),
        ("debug", "Show the traceback of an error."),
    ):
        if f"--{attribute}" not in taken:
            command.params.append(
                click.Option(
                    [f"--{attribute}"], is_flag=True, expose_value=False, callback=_switch_on(attribute), help=text
                )
            )
    return command


def keep_examples(command: click.Command) -> click.Command:
    r"""Let the help of a command show its examples line by line.

    click leaves a paragraph as it is that begins with a backspace. A docstring with a backslash is a raw one, in which
    `\b` stays two characters.
    """
    if command.help:
        command.help = command.help.replace("\\b\n", "\b\n")
    return command


def _switch_on(attribute: str) -> Callable[[click.Context, click.Parameter, bool], None]:
    def callback(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        if value:
            setattr(ctx.ensure_object(App), attribute, True)

    return callback
