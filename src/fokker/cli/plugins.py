"""`fokker plugins`: the plugins, and what became of each."""

import click

from fokker.cli.app import App, pass_app
from fokker.cli.options import json_option
from fokker.cli.output import print_json, print_table
from fokker.plugins.host import Plugin

__all__ = ["plugins"]


@click.command()
@json_option
@pass_app
def plugins(app: App, as_json: bool) -> None:
    r"""List the plugins, and what became of each: loaded, failed and why, or blocked.

    FOKKER_PLUGINS=a,b loads only the plugins of these names (none where it is empty); FOKKER_STRICT=1 makes the first
    failure an error.

    \b
    Examples:
      fokker plugins
      FOKKER_PLUGINS=ddpm fokker plugins --json
    """
    found = app.host.plugins
    if as_json:
        print_json([_json(plugin) for plugin in found])
    else:
        columns = ("plugin", "distribution", "version", "status", "provides")
        print_table(columns, [_row(plugin) for plugin in found])


def _row(plugin: Plugin) -> tuple[str, ...]:
    provided: dict[str, list[str]] = {}
    for entry in plugin.components:
        provided.setdefault(entry.kind, []).append(entry.name)
    if plugin.commands:
        provided["command"] = list(plugin.commands)
    provides = plugin.error or "; ".join(f"{kind} {', '.join(names)}" for kind, names in provided.items())
    return plugin.name, plugin.distribution or "", plugin.version or "", plugin.status, provides


def _json(plugin: Plugin) -> dict[str, object]:
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "status": plugin.status,
        "error": plugin.error,
        "components": [{"kind": entry.kind, "name": entry.name} for entry in plugin.components],
        "commands": list(plugin.commands),
    }
