"""`fokker list`: the components there are."""

import click

from fokker.cli.app import App, pass_app
from fokker.cli.options import KindType, json_option
from fokker.cli.output import print_json, print_table
from fokker.plugins.registry import Entry

__all__ = ["entry_json", "listing"]


@click.command("list")
@click.argument("kind", required=False, type=KindType())
@json_option
@pass_app
def listing(app: App, kind: str | None, as_json: bool) -> None:
    r"""List the components there are, all or those of one KIND.

    \b
    Examples:
      fokker list
      fokker list sampler
      fokker list --json
    """
    registry = app.registry
    entries = registry.entries(kind)
    if as_json:
        print_json([entry_json(entry) for entry in entries])
    else:
        rows = [(e.kind, registry.shortest(e), str(e.provider), e.describe()) for e in entries]
        print_table(("kind", "name", "provider", "summary"), rows)
    if registry.failed:
        app.say(f"Failed to load: {', '.join(registry.failed)}; see 'fokker plugins'.")


def entry_json(entry: Entry) -> dict[str, str]:
    """What `list` and `show` both say of a component."""
    return {
        "kind": entry.kind,
        "name": entry.name,
        "qualified": entry.qualified,
        "provider": str(entry.provider),
        "summary": entry.describe(),
    }
