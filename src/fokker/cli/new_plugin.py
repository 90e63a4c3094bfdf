"""`fokker new-plugin`: a package for a component of one's own."""

import shlex
from pathlib import Path

import click

from fokker.cli.app import App, pass_app
from fokker.cli.options import KindType, json_option
from fokker.cli.output import print_json
from fokker.errors import ConfigError
from fokker.plugins.registry import Registry
from fokker.scaffold import KINDS, Package, write

__all__ = ["new_plugin"]


@click.command("new-plugin")
@click.argument("name")
@click.option("--kind", type=KindType(), default="sampler", show_default=True, help="Kind of the component.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the package; ./fokker-NAME unless given.")
@click.option("--force", is_flag=True, help="Write into a folder that holds something, over files of the same names.")
@json_option
@pass_app
def new_plugin(app: App, name: str, kind: str, out: Path | None, force: bool, as_json: bool) -> None:
    r"""Write a plugin package with a component NAME whose tests already pass.

    The component is a small, complete example of its kind. The package installs with pip, is listed, and passes its
    tests and 'fokker check' before anything is changed.

    \b
    Examples:
      fokker new-plugin leapfrog
      fokker new-plugin waves --kind data --out plugins/waves
    """
    package = Package(name, kind)
    _refuse_taken(app, package)
    folder = out or Path(package.distribution)
    write(package, folder, force=force)
    if as_json:
        print_json({"out": str(folder), "kind": kind, "name": name, "files": sorted(package.files)})
    else:
        click.echo(str(folder))
    where = shlex.quote(str(folder) if folder.is_absolute() else f"./{folder}")
    app.say(f"Next: python -m pip install -e {where}'[test]', pytest {where}, fokker check {name}.")


def _refuse_taken(app: App, package: Package) -> None:
    """Refuse a name that means something else already.

    Raises:
        ConfigError: If another distribution has a plugin, or a component of the kind, of this name.
    """
    for plugin in app.host.plugins:
        if plugin.name == package.name and plugin.distribution != package.distribution:
            raise ConfigError(f"{plugin.distribution} has a plugin '{package.name}' already: choose another name.")
    for kind in (package.kind, *KINDS[package.kind].also):
        for provider in _providers(app.registry, kind, package.name):
            if provider != package.distribution:
                raise ConfigError(f"{provider} has a {kind} '{package.name}' already: choose another name.")


def _providers(registry: Registry, kind: str, name: str) -> list[str]:
    return [entry.provider.distribution for entry in registry.entries(kind) if entry.name == name]
