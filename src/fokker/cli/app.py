"""What every command shares: the plugins of this call, and how much is said."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import click

from fokker.plugins.host import Host, load_plugins
from fokker.plugins.registry import Registry

__all__ = ["App", "pass_app"]

R = TypeVar("R")


@dataclass
class App:
    """One call of the command line; a click context's `obj`.

    Args:
        quiet: Whether words are left out; results and errors are not.
        debug: Whether an error is shown with its traceback.
        loaded: The plugins, once they are asked for.
    """

    quiet: bool = False
    debug: bool = False
    loaded: Host | None = None

    @property
    def host(self) -> Host:
        """The plugins, loaded on first use.

        Raises:
            PluginError: If a plugin failed and `FOKKER_STRICT` is set.
        """
        if self.loaded is None:
            self.loaded = load_plugins()
        return self.loaded

    @property
    def registry(self) -> Registry:
        """The components of all loaded plugins."""
        return self.host.registry

    def say(self, text: str) -> None:
        """Tell the user something that is no result: one line on standard error, unless quiet."""
        if not self.quiet:
            click.echo(text, err=True)


def pass_app(callback: Callable[..., R]) -> Callable[..., R]:
    """Hand the `App` to a command's callback as its first argument."""
    return click.make_pass_decorator(App, ensure=True)(callback)
