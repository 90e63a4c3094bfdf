"""`fokker show`: one component, as far as a user needs to know it."""

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

import click

from fokker import config
from fokker.cli.app import App, pass_app
from fokker.cli.listing import entry_json
from fokker.cli.options import KindType, NameType, json_option
from fokker.cli.output import print_json, print_table
from fokker.component import describe, reference, summary
from fokker.plugins.registry import Entry, Registry
from fokker.spec import as_value, format_value

__all__ = ["show"]


@click.command()
@click.argument("kind", type=KindType())
@click.argument("name", type=NameType())
@json_option
@click.option("--schema", "as_schema", is_flag=True, help="Print the JSON Schema of its TOML table instead.")
@pass_app
def show(app: App, kind: str, name: str, as_json: bool, as_schema: bool) -> None:
    r"""Show the component NAME of a KIND: its fields, claims, reference, and provider.

    \b
    Examples:
      fokker show sampler ddim
      fokker show perturbation vp --json
      fokker show recipe fashion-mnist-ddpm
    """
    registry = app.registry
    entry = registry.get(kind, name)
    if as_schema:
        if kind == "recipe":
            raise click.UsageError("A recipe has no schema of its own.")
        print_json(config.schema(registry, kind, name))
    elif kind == "recipe":
        _show_recipe(entry, as_json)
    else:
        _show_component(registry, entry, as_json)


def _show_recipe(entry: Entry, as_json: bool) -> None:
    text = entry.text()
    if as_json:
        print_json({**entry_json(entry), "fields": [], "claims": None, "reference": "", "toml": text})
    else:
        click.echo(text.rstrip("\n"))


def _show_component(registry: Registry, entry: Entry, as_json: bool) -> None:
    cls = entry.load()
    defaults = config.defaults(registry, cls)
    fields: list[dict[str, Any]] = [
        {
            "name": field.name,
            "type": field.type,
            "default": defaults.get(field.name),
            "required": field.name not in defaults,
            "constraint": field.constraint,
            "doc": field.doc,
        }
        for field in describe(cls)
    ]
    claims = _claims(cls)
    if as_json:
        about = {**entry_json(entry), "summary": entry.describe() or summary(cls)}
        print_json({**about, "fields": fields, "claims": claims, "reference": reference(cls)})
        return
    text = inspect.getdoc(cls) or ""
    click.echo(f"{entry.kind} {registry.shortest(entry)}, provided by {entry.provider}\n")
    click.echo(text.partition("\nArgs:\n")[0].strip())
    if fields:
        click.echo()
        columns = ("field", "type", "default", "allowed", "meaning")
        print_table(columns, [(f["name"], f["type"], _default(f), f["constraint"], f["doc"]) for f in fields])
    if claims is not None:
        click.echo("\nclaims" + (" with these defaults" if fields else "") + ":")
        for claim, value in claims.items():
            click.echo(f"  {claim.replace('_', ' ')}: {_in_words(value)}")


def _claims(cls: type) -> dict[str, Any] | None:
    """What the component claims with all fields at their defaults; None if it claims nothing or has required fields."""
    if any(field.default is dataclasses.MISSING for field in describe(cls)):
        return None
    claims = getattr(cls(), "claims", None)
    return dataclasses.asdict(claims) if claims is not None else None


def _default(field: dict[str, Any]) -> str:
    if field["required"]:
        return "required"
    return "none" if field["default"] is None else format_value(as_value(field["default"]))


def _in_words(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} = {_in_words(each)}" for name, each in value.items())
    return "none" if value is None else str(value)
