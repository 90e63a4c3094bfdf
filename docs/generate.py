"""Fills the parts of these pages that the code knows best, between marks that stay invisible when a page is read.

    <!-- generated: NAME -->
    ...
    <!-- end of NAME -->

`python docs/generate.py` rewrites them, `python docs/generate.py --check` names the pages that are out of date and
fails. A test does the same. The parts are written from fokker's own plugins, whatever else is installed.
"""

import dataclasses
import importlib.metadata
import inspect
import re
import sys
import typing
from collections.abc import Callable, Iterable
from pathlib import Path

import click

from fokker import config, errors, events, spec
from fokker.cli import COMMANDS
from fokker.cli.app import App
from fokker.cli.main import cli
from fokker.component import Field, describe, reference, summary
from fokker.plan import SampleSettings
from fokker.plugins.host import GROUP, Host, load_plugins
from fokker.plugins.registry import INTERFACES, KINDS, Entry
from fokker.spec import as_value, format_value
from fokker.training.settings import RESUMABLE, TrainSettings

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent

_PART = re.compile(r"(<!-- generated: ([\w-]+) -->\n)(.*?)(<!-- end of \2 -->)", re.DOTALL)
_WIDTH = 100


def own_plugins() -> Host:
    """The plugins of fokker's own distribution."""
    found = importlib.metadata.distribution("fokker").entry_points
    return load_plugins([e for e in found if e.group == GROUP], environ={"FOKKER_STRICT": "1"})


def commands(host: Host) -> str:
    """The help of every command."""
    app = App(loaded=host)
    root = click.Context(cli, info_name="fokker", obj=app, terminal_width=_WIDTH, max_content_width=_WIDTH)
    parts = [f"```text\n{cli.get_help(root).rstrip()}\n```"]
    for name in COMMANDS:
        command = cli.get_command(root, name)
        assert command is not None
        context = click.Context(command, root, name, terminal_width=_WIDTH, max_content_width=_WIDTH)
        parts.append(f"## fokker {name}\n\n```text\n{command.get_help(context).rstrip()}\n```")
    return "\n\n".join(parts)


def components(host: Host) -> str:
    """Every component of every kind: what it is, its fields, its claims, and where it comes from."""
    parts = []
    for kind in KINDS:
        entries = host.registry.entries(kind)
        if entries:
            parts.append(f"## {kind}")
            parts.extend(_recipe(entry) if kind == "recipe" else _component(host, entry) for entry in entries)
    return "\n\n".join(parts)


def kinds(host: Host) -> str:
    """Every kind with its interface and the names that there are."""
    rows = []
    for kind in KINDS:
        interface = INTERFACES.get(kind, "").replace(":", ".")
        names = ", ".join(f"[`{e.name}`](#{anchor(e)})" for e in host.registry.entries(kind))
        rows.append((kind, f"[`{interface}`][]" if interface else "a TOML file in a package", names))
    return table(("kind", "interface", "fokker's own"), rows)


def claims(host: Host) -> str:
    """What the samplers, predictors and correctors claim with their defaults."""
    rows = []
    for kind in ("sampler", "predictor", "corrector"):
        for entry in host.registry.entries(kind):
            claimed = dataclasses.asdict(entry.load()().claims)
            cells = (_claim(claimed[c]) for c in ("order", "weak_order", "evaluations", "at_end"))
            others = ", ".join(name.replace("_", " ") for name, value in claimed.items() if value is True)
            rows.append((kind, f"`{entry.name}`", *cells, others))
    return table(("kind", "name", "order", "weak order", "evaluations a step", "at the end", "besides"), rows)


def settings(host: Host) -> str:
    """The tables `[train]` and `[sample]` of a plan."""
    parts = []
    for name, cls in (("train", TrainSettings), ("sample", SampleSettings)):
        parts.append(f"## [{name}]\n\n{summary(cls)}\n\n{_fields(host, cls)}")
    return "\n\n".join(parts)


def resumable(host: Host) -> str:
    """The settings that may change when a run is resumed."""
    return ", ".join(f"`train.{name}`" for name in sorted(RESUMABLE))


def grammar(host: Host) -> str:
    """The grammar of specs, as the parser's own docstring has it."""
    lines = inspect.cleandoc(spec.__doc__ or "").splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("    spec "))
    last = next(i for i in range(first, len(lines)) if not lines[i].startswith("    "))
    return "```ebnf\n" + "\n".join(line[4:] for line in lines[first:last]) + "\n```"


def event_list(host: Host) -> str:
    """Every event with its fields, in the order in which they come to pass."""
    rows = []
    for cls in typing.get_args(events.Event):
        fields = "; ".join(f"`{f.name}`: {_clause(f.doc)}" for f in describe(cls))
        rows.append((f"`{cls.__name__}`", _clause(summary(cls)), fields))
    return table(("event", "told when", "fields"), rows)


def error_list(host: Host) -> str:
    """Every error with its exit code."""
    rows = []
    for name in errors.__all__:
        cls = getattr(errors, name)
        said = re.sub(r" \(exit code \d\)", "", summary(cls))
        rows.append((f"[`{name}`][fokker.errors.{name}]", str(cls.exit_code), _escaped(said)))
    return table(("error", "exit code", "is"), rows)


PARTS: dict[str, Callable[[Host], str]] = {
    "claims": claims,
    "commands": commands,
    "components": components,
    "errors": error_list,
    "events": event_list,
    "grammar": grammar,
    "kinds": kinds,
    "resumable": resumable,
    "settings": settings,
}
"""What can stand between two marks, by name."""


def anchor(entry: Entry) -> str:
    """The anchor of a component on the page of components."""
    return f"{entry.kind}-{entry.name}"


def table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    head = list(columns)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _component(host: Host, entry: Entry) -> str:
    cls = entry.load()
    about = [f"### {entry.name} {{ #{anchor(entry)} }}", f"{entry.describe()} [`{_path(cls)}`][{_path(cls)}]"]
    body = (inspect.getdoc(cls) or "").partition("\nArgs:\n")[0].strip()
    about.append("\n".join(line if line.startswith("    ") else _escaped(line) for line in body.splitlines()))
    if describe(cls):
        about.append(_fields(host, cls))
    claimed = getattr(cls(), "claims", None) if all(_has_default(f) for f in describe(cls)) else None
    if claimed is not None:
        said = (f"{name.replace('_', ' ')} {_claim(value)}" for name, value in dataclasses.asdict(claimed).items())
        about.append("Claims: " + ", ".join(said) + ".")
    if reference(cls):
        about.append(f"Source: {_escaped(reference(cls))}.")
    return "\n\n".join(about)


def _recipe(entry: Entry) -> str:
    return f"### {entry.name} {{ #{anchor(entry)} }}\n\n{entry.describe()}\n\n```toml\n{entry.text().strip()}\n```"


def _fields(host: Host, cls: type) -> str:
    defaults = config.defaults(host.registry, cls)
    rows = []
    for field in describe(cls):
        value = defaults.get(field.name)
        shown = "none" if value is None else f"`{format_value(as_value(value))}`"
        cells = (field.type, shown if _has_default(field) else "required", field.constraint, field.doc)
        rows.append((f"`{field.name}`", *(c if c.startswith("`") else _escaped(c) for c in cells)))
    return table(("field", "type", "default", "allowed", "meaning"), rows)


def _has_default(field: Field) -> bool:
    return field.default is not dataclasses.MISSING


def _path(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _claim(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def _clause(sentence: str) -> str:
    """A sentence as a part of another."""
    return _escaped(sentence[:1].lower() + sentence[1:].removesuffix("."))


def _escaped(text: str) -> str:
    """Text that Markdown leaves as it is, but for what stands between backticks."""
    pieces = re.split(r"(`[^`]*`)", text)
    plain = (re.sub(r"([*<|\[\]])", r"\\\1", piece) if i % 2 == 0 else piece for i, piece in enumerate(pieces))
    return "".join(plain)


def filled(text: str, host: Host) -> str:
    """A page with its generated parts written anew.

    Raises:
        KeyError: If a mark names a part that there is not.
    """
    return _PART.sub(lambda found: f"{found[1]}\n{PARTS[found[2]](host)}\n\n{found[4]}", text)


def outdated() -> typing.Iterator[tuple[Path, str]]:
    """The pages whose generated parts are not what the code says, each with what it should be."""
    host = own_plugins()
    for path in sorted(DOCS.rglob("*.md")):
        text = path.read_text(encoding="utf-8")
        expected = filled(text, host)
        if text != expected:
            yield path, expected


def main(check: bool) -> int:
    """Rewrite the pages, or only say which are out of date; returns the exit code."""
    found = list(outdated())
    for path, expected in found:
        print(f"{'out of date' if check else 'written'}: {path.relative_to(ROOT)}")
        if not check:
            path.write_text(expected, encoding="utf-8")
    return 1 if check and found else 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
