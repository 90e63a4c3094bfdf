"""`fokker check`: the conformance kit on installed components."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from fokker import config
from fokker.cli.app import App, pass_app
from fokker.cli.options import KindType, json_option
from fokker.cli.output import print_json, print_table
from fokker.cli.progress import progress
from fokker.errors import ConfigError, PluginError
from fokker.plugins.registry import KINDS, Entry, Registry, nearest
from fokker.spec import Spec, format, parse

if TYPE_CHECKING:
    from fokker.testing import Check, Outcome
    from fokker.testing.check import Status

__all__ = ["check"]


@click.command()
@click.argument("names", nargs=-1, metavar="NAME...")
@click.option("--kind", type=KindType(), help="Check this kind only; every kind of that name unless given.")
@click.option("--all", "everything", is_flag=True, help="Check every component there is.")
@click.option("--failed", "only_failed", is_flag=True, help="List the checks that failed, and no others.")
@json_option
@pass_app
def check(
    app: App, names: tuple[str, ...], kind: str | None, everything: bool, only_failed: bool, as_json: bool
) -> None:
    r"""Run the conformance kit on components: what they claim is measured against exact mathematics.

    NAME is a component's name, or its spec with the values of its fields. A check that does not apply is listed as
    skipped, with its reason. The exit code is 1 if any check failed.

    \b
    Examples:
      fokker check ddim
      fokker check ddim:eta=0.5 vp --json
      fokker check --all --kind sampler
    """
    if everything == bool(names):
        raise click.UsageError("Give the names of components, or --all.")
    registry = app.registry
    if kind is not None:
        registry.entries(kind)  # refuses a kind that does not exist
    entries = list(_all(registry, kind)) if everything else [e for n in names for e in _named(registry, n, kind)]
    outcomes = _run(app, registry, entries, lenient=everything)
    if as_json:
        print_json([_json(outcome) for outcome in outcomes])
    else:
        _print(outcomes, only_failed, brief=everything)
    if any(outcome.status == "failed" for outcome in outcomes):
        raise click.exceptions.Exit(1)


def _named(registry: Registry, text: str, kind: str | None) -> Iterator[tuple[list[Entry], Spec]]:
    """What a name or spec means: the entries of one class together, with the fields that were given."""
    spec = parse(text)
    kinds = KINDS if kind is None else (kind,)
    found: list[Entry] = []
    error: ConfigError | None = None
    for each in kinds:
        try:
            found.append(registry.get(each, spec.name))
        except ConfigError as refusal:
            error = error or refusal
    if not found:
        if kind is not None and error is not None:
            raise error
        raise ConfigError(_unknown(registry, spec.name))
    for group in _by_target(found):
        yield group, spec


def _unknown(registry: Registry, name: str) -> str:
    names = sorted({n for kind in KINDS for n in registry.names(kind)})
    failed = f" Failed to load: {', '.join(registry.failed)}; see 'fokker plugins'." if registry.failed else ""
    return f"No component of any kind is named '{name}'.{nearest(name, names)}{failed}"


def _all(registry: Registry, kind: str | None) -> Iterator[tuple[list[Entry], Spec]]:
    for group in _by_target(registry.entries(kind)):
        yield group, Spec(registry.shortest(group[0]))


def _by_target(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Entries of the same class or file, such as a sampler that is a predictor too, together."""
    groups: dict[object, list[Entry]] = {}
    for entry in entries:
        groups.setdefault((entry.target, entry.provider.distribution), []).append(entry)
    return list(groups.values())


def _run(
    app: App, registry: Registry, components: Sequence[tuple[list[Entry], Spec]], *, lenient: bool
) -> "list[Outcome]":
    from hypothesis.configuration import set_hypothesis_home_dir

    from fokker.testing import run

    unchecked: list[Outcome] = []
    checks: list[Check] = []
    for entries, spec in components:
        sound = []
        for entry in entries:  # a class may be registered as what it is not
            try:
                if entry.kind != "recipe":
                    entry.load()
                sound.append(entry)
            except PluginError as error:
                unchecked.append(_unchecked([entry], "registration", "failed", str(error)))
        try:
            if sound:
                checks.extend(_checks(registry, sound, spec))
        except ConfigError as error:
            if not lenient:
                raise
            unchecked.append(_unchecked(sound, "construction", "skipped", str(error)))
    outcomes = []
    with TemporaryDirectory() as folder, progress(app, "checking", len(checks)) as report:
        set_hypothesis_home_dir(folder)  # it would leave a folder where the command is run
        for k, each in enumerate(checks):
            outcomes.append(run(each))
            report(k + 1, each.component)
    return outcomes + unchecked


def _checks(registry: Registry, entries: list[Entry], spec: Spec) -> "list[Check]":
    from fokker.testing import checks_for
    from fokker.testing.recipes import Recipe

    if entries[0].kind == "recipe":
        if spec.fields:
            raise ConfigError(f"The recipe '{spec.name}' has no fields; change its plan with 'fokker plan --set'.")
        return checks_for(Recipe(entries[0].qualified, registry), label=_label(entries, spec.name))
    return checks_for(config.build(registry, entries[0].kind, spec), label=_label(entries, format(spec)))


def _label(entries: Sequence[Entry], name: str) -> str:
    return f"{', '.join(entry.kind for entry in entries)} {name}"


def _unchecked(entries: list[Entry], what: str, status: "Status", reason: str) -> "Outcome":
    from fokker.testing import Outcome

    return Outcome(_label(entries, entries[0].name), what, status, reason, 0.0)


def _json(outcome: "Outcome") -> dict[str, object]:
    return {
        "component": outcome.component,
        "check": outcome.check,
        "status": outcome.status,
        "detail": outcome.detail,
        "seconds": round(outcome.seconds, 4),
    }


def _print(outcomes: "Sequence[Outcome]", only_failed: bool, *, brief: bool) -> None:
    from fokker.testing import summarise

    by_component: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_component.setdefault(outcome.component, []).append(outcome)
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    if only_failed:
        shown = failed
    elif brief:
        print_table(("component", "checks"), [(name, summarise(found)) for name, found in by_component.items()])
        shown = failed
    else:
        shown = list(outcomes)
    if shown:
        several = len(by_component) > 1
        rows = [(o.component, *row) if several else row for o, row in _rows(shown)]
        print_table((*(("component",) if several else ()), "check", "status", "detail"), rows)
    click.echo(f"{summarise(outcomes)}.")


def _rows(outcomes: "Iterable[Outcome]") -> "Iterator[tuple[Outcome, tuple[str, str, str]]]":
    """Neighbouring cases of one property that came out alike share a row."""

    def alike(outcome: "Outcome") -> tuple[str, str, str, str]:
        return outcome.component, outcome.check.partition("[")[0], outcome.status, outcome.detail

    for (_, name, status, detail), group in groupby(outcomes, key=alike):
        found = list(group)
        cases = [o.check.partition("[")[2].rstrip("]") for o in found if "[" in o.check]
        yield found[0], (f"{name}[{', '.join(cases)}]" if cases else name, status, detail)
