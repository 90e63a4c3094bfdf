"""Fills the parts of these pages that the code knows best, between marks that stay invisible when a page is read.

    <!-- generated: NAME -->
    ...
    <!-- end of NAME -->

`python docs/generate.py` rewrites them, `python docs/generate.py --check` names the pages that are out of date and
fails. A test does the same. The parts are written from fokker's own plugins, whatever else is installed.

The part `conformance` says what came of some thousand checks, which take minutes: it is rewritten with `--conformance`
only, and compared by the tests that run the checks anyway.
"""

import dataclasses
import importlib.metadata
import importlib.util
import inspect
import re
import sys
import typing
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

import click

from fokker import config, errors, events, spec
from fokker.cli import COMMANDS
from fokker.cli.app import App
from fokker.cli.main import cli
from fokker.component import Field, describe, reference, summary
from fokker.plan import SampleSettings
from fokker.plugins.host import GROUP, Host, load_plugins
from fokker.plugins.registry import INTERFACES, KINDS, Entry, interface_of
from fokker.spec import as_value, format_value
from fokker.testing import run
from fokker.testing.recipes import Recipe
from fokker.testing.suites import suites
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
        parts += _helps(command, root, name)
    return "\n\n".join(parts)


def _helps(command: click.Command, parent: click.Context, name: str) -> list[str]:
    """The help of a command, and of those in it."""
    context = click.Context(command, parent, name, terminal_width=_WIDTH, max_content_width=_WIDTH)
    marks = "#" * len(context.command_path.split())
    parts = [f"{marks} {context.command_path}\n\n```text\n{command.get_help(context).rstrip()}\n```"]
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None
            parts += _helps(found, context, inner)
    return parts


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
            cells = (_claim(claimed[c]) for c in ("order", "weak_order", "strong_order", "evaluations", "at_end"))
            others = ", ".join(name.replace("_", " ") for name, value in claimed.items() if value is True)
            rows.append((kind, f"`{entry.name}`", *cells, others))
    heads = ("kind", "name", "order", "weak order", "strong order", "evaluations a step", "at the end", "besides")
    return table(heads, rows)


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


def properties(kind: str, host: Host) -> str:
    """What the conformance kit checks of components of a kind, or of recipes."""
    component = kind in INTERFACES
    interface = interface_of(kind) if component else Recipe
    rows = []
    for module, suite in suites():
        if component if module == "components" else issubclass(interface, suite.interface):
            rows += [(f"`{name}`", _escaped(sentence)) for name, sentence in suite]
    if component:
        rows.append(("`field[NAME]`", "Every field has an effect: some value of it changes what the component does."))
    return table(("check", "what holds"), rows)


def planted(host: Host) -> str:
    """The defects that the kit is tested with, each with the check that catches it."""
    rows = []
    for path in sorted((ROOT / "tests" / "kit" / "mutants").glob("*.py")):
        for what, (_, _, check) in _module(path).MUTANTS.items():
            rows.append((path.stem, f"it {what}", f"`{check}`"))
    return f"{len(rows)} defects, all caught.\n\n" + table(("suite", "the defect", "caught by"), rows)


def conformance(counts: Mapping[str, Mapping[str, int]]) -> str:
    """How many checks of each built-in component passed, and how many had nothing to say."""
    rows = [(f"`{name}`", str(c.get("passed", 0)), str(c.get("skipped", 0))) for name, c in sorted(counts.items())]
    passed, skipped = (sum(c.get(s, 0) for c in counts.values()) for s in ("passed", "skipped"))
    total = f"{passed + skipped} checks of {len(rows)} components: {passed} passed, {skipped} did not apply, 0 failed."
    return total + "\n\n" + table(("component", "passed", "did not apply"), rows)


def measured() -> str:
    """Runs the checks of all built-in components.

    Raises:
        SystemExit: If one of them fails.
    """
    counts: dict[str, dict[str, int]] = {}
    for check in _module(ROOT / "tests" / "conformance" / "test_builtin.py").CHECKS:
        outcome = run(check)
        if outcome.status == "failed":
            raise SystemExit(f"{outcome.component} fails {outcome.check}: {outcome.detail}")
        of_component = counts.setdefault(outcome.component, {})
        of_component[outcome.status] = of_component.get(outcome.status, 0) + 1
    return conformance(counts)


PARTS: dict[str, Callable[[Host], str]] = {
    "claims": claims,
    "commands": commands,
    "components": components,
    "errors": error_list,
    "events": event_list,
    "grammar": grammar,
    "kinds": kinds,
    "planted": planted,
    "resumable": resumable,
    "settings": settings,
    **{f"properties-{kind}": partial(properties, kind) for kind in KINDS},
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
    if isinstance(value, dict):
        return ", ".join(f"{name} = {_claim(each)}" for name, each in value.items())
    return "none" if value is None else str(value)


def _clause(sentence: str) -> str:
    """A sentence as a part of another."""
    return _escaped(sentence[:1].lower() + sentence[1:].removesuffix("."))


def _escaped(text: str) -> str:
    """Text that Markdown leaves as it is, but for what stands between backticks."""
    pieces = re.split(r"(`[^`]*`)", text)
    plain = (re.sub(r"([*<|\[\]])", r"\\\1", piece) if i % 2 == 0 else piece for i, piece in enumerate(pieces))
    return "".join(plain)


def _module(path: Path) -> typing.Any:
    """A file of Python that belongs to no package."""
    spec = importlib.util.spec_from_file_location(f"fokker_docs_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def filled(text: str, host: Host, *, conformance: bool = False) -> str:
    """A page with its generated parts written anew.

    Args:
        text: The page.
        host: The plugins that it is about.
        conformance: Whether the checks of the part of that name are run again, or left as they are.

    Raises:
        KeyError: If a mark names a part that there is not.
    """

    def write(found: re.Match[str]) -> str:
        if found[2] == "conformance":
            return f"{found[1]}\n{measured()}\n\n{found[4]}" if conformance else found[0]
        return f"{found[1]}\n{PARTS[found[2]](host)}\n\n{found[4]}"

    return _PART.sub(write, text)


def part(name: str, page: Path) -> str:
    """What stands between the marks of a part."""
    (found,) = (p[3] for p in _PART.finditer(page.read_text(encoding="utf-8")) if p[2] == name)
    return found.strip()


def outdated(*, conformance: bool = False) -> typing.Iterator[tuple[Path, str]]:
    """The pages whose generated parts are not what the code says, each with what it should be."""
    host = own_plugins()
    for path in sorted(DOCS.rglob("*.md")):
        text = path.read_text(encoding="utf-8")
        expected = filled(text, host, conformance=conformance)
        if text != expected:
            yield path, expected


def main(*, check: bool, conformance: bool) -> int:
    """Rewrite the pages, or only say which are out of date; returns the exit code."""
    found = list(outdated(conformance=conformance))
    for path, expected in found:
        print(f"{'out of date' if check else 'written'}: {path.relative_to(ROOT)}")
        if not check:
            path.write_text(expected, encoding="utf-8")
    return 1 if check and found else 0


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:], conformance="--conformance" in sys.argv[1:]))
