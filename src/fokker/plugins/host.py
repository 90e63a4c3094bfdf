"""The host: loads the plugins that are installed, each on its own, and remembers what became of them.

`load_plugins()` returns a value; there is no host behind the scenes, and a test builds its own. Every plugin has a
pluggy manager of its own, so that a hook that raises stops that plugin and no other.

Two environment variables are read: `FOKKER_PLUGINS=a,b` loads only the entry points of these names (none where it is
empty; `core` always), and `FOKKER_STRICT=1` turns every failure of a plugin into an exception.
"""

import contextlib
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from pluggy import PluginManager, PluginValidationError

import fokker
from fokker.errors import PluginError
from fokker.plugins import core, hookspecs
from fokker.plugins.registry import Entry, Provider, Registry, canonical, nearest, one_line

if TYPE_CHECKING:
    import click

    from fokker.events import Event

__all__ = ["GROUP", "Host", "Plugin", "load_plugins"]

GROUP = "fokker"
"""The group of entry points in which plugins are looked for."""


@dataclass(frozen=True)
class Plugin:
    """What became of a plugin.

    Args:
        name: The entry point's name, or `core`.
        distribution: The distribution it comes from, in canonical spelling; None for a name that is not installed.
        version: The distribution's version, if it has one.
        status: `loaded`, `failed`, or `blocked` by `FOKKER_PLUGINS`.
        error: Why it failed, in one line.
        components: What it registered; empty unless it was loaded.
        commands: Names of the commands it added; empty unless it was loaded.
    """

    name: str
    distribution: str | None
    version: str | None
    status: Literal["loaded", "failed", "blocked"]
    error: str | None = None
    components: tuple[Entry, ...] = ()
    commands: tuple[str, ...] = ()


@dataclass(eq=False)
class Host:
    """The plugins of this process.

    Args:
        registry: The components of all loaded plugins.
        plugins: What became of each plugin: fokker's own first, then by distribution and name.
        commands: Commands that plugins add, by name.
        strict: Whether a listener's failure is raised.
    """

    registry: Registry = field(default_factory=Registry)
    plugins: list[Plugin] = field(default_factory=list)
    commands: "dict[str, click.Command]" = field(default_factory=dict)
    strict: bool = False
    _listeners: list[tuple[str, PluginManager]] = field(default_factory=list, repr=False)

    def emit(self, event: "Event") -> None:
        """Tell the plugins that something happened.

        A listener that raises is named in one warning line and not called again.

        Args:
            event: One of the classes of `fokker.events`.

        Raises:
            PluginError: In place of the warning, if `strict`.
        """
        for listener in list(self._listeners):
            name, manager = listener
            try:
                manager.hook.fokker_events(event=event)
            except Exception as error:
                import logging  # where there is something to say

                message = f"Plugin {name} failed on the event {type(event).__name__}: {one_line(error)}"
                self._listeners.remove(listener)
                if self.strict:
                    raise PluginError(message) from error
                logging.getLogger(__name__).warning("%s (it hears of no further events)", message)

    def _load(self, entry_point: EntryPoint, provider: Provider) -> None:
        """Load one plugin and keep all of it, or record why not."""
        name, version = entry_point.name, provider.version or None
        try:
            with contextlib.redirect_stdout(sys.stderr):  # standard output belongs to results
                manager = _manager(entry_point.load(), name)
                staged = Registry(provider)
                manager.hook.fokker_register(registry=staged)
                commands = self._commands(manager)
            self.registry.merge(staged)
        except (Exception, SystemExit) as error:
            cause = str(error) if isinstance(error, PluginError) else one_line(error)
            if self.strict:
                raise PluginError(f"Plugin {name} of {provider.distribution} failed to load: {cause}") from error
            self.plugins.append(Plugin(name, provider.distribution, version, "failed", cause))
            self.registry.failed.append(name)
            return
        self.commands.update(commands)
        if manager.hook.fokker_events.get_hookimpls():
            self._listeners.append((name, manager))
        self.plugins.append(
            Plugin(name, provider.distribution, version, "loaded", None, tuple(staged), tuple(commands))
        )

    def _commands(self, manager: PluginManager) -> "dict[str, click.Command]":
        if not manager.hook.fokker_commands.get_hookimpls():
            return {}
        import click

        from fokker.cli import COMMANDS

        staged = click.Group()
        manager.hook.fokker_commands(cli=staged)
        for name in staged.commands:
            if name in COMMANDS or name in self.commands:
                raise PluginError(f"The command '{name}' exists already.")
        return dict(staged.commands)


def load_plugins(found: Iterable[EntryPoint] | None = None, *, environ: Mapping[str, str] | None = None) -> Host:
    """Load the plugins that are installed and enabled.

    Args:
        found: The plugins' entry points; those of the group `fokker` in this environment unless given.
        environ: Where `FOKKER_PLUGINS` and `FOKKER_STRICT` are looked up; the process's environment unless given.

    Returns:
        The host. Plugins that failed are in it too, with the cause.

    Raises:
        PluginError: If a plugin failed and `FOKKER_STRICT` is set to anything but `0`.
    """
    environ = os.environ if environ is None else environ
    host = Host(strict=environ.get("FOKKER_STRICT", "") not in ("", "0"))
    distributions: dict[int, tuple[str, str]] = {}
    plugins = sorted(
        ((_provider(entry_point, distributions), entry_point) for entry_point in _entry_points(found)),
        key=lambda pair: (pair[0].distribution != "fokker", pair[0].distribution, pair[0].plugin),
    )
    own = [provider.version for provider, _ in plugins if provider.distribution == "fokker"]
    host._load(_core(), Provider("fokker", "core", own[0] if own else fokker.__version__))
    only = environ.get("FOKKER_PLUGINS")
    enabled = None if only is None else [name.strip() for name in only.split(",") if name.strip()]
    for provider, entry_point in plugins:
        if enabled is None or entry_point.name in enabled:
            host._load(entry_point, provider)
        else:
            host.plugins.append(Plugin(provider.plugin, provider.distribution, provider.version or None, "blocked"))
            host.registry.blocked.append(provider.plugin)
    known = ["core", *(entry_point.name for _, entry_point in plugins)]
    for name in enabled or ():
        if name not in known:
            error = f"FOKKER_PLUGINS names it, but no such plugin is installed.{nearest(name, known)}"
            if host.strict:
                raise PluginError(f"Plugin {name}: {error}")
            host.plugins.append(Plugin(name, None, None, "failed", error))
            host.registry.failed.append(name)
    return host


def _core() -> EntryPoint:
    return EntryPoint("core", core.__name__, GROUP)


def _entry_points(found: Iterable[EntryPoint] | None) -> Iterable[EntryPoint]:
    return entry_points(group=GROUP) if found is None else found


def _provider(entry_point: EntryPoint, known: dict[int, tuple[str, str]]) -> Provider:
    """Whose an entry point is; reading a distribution's metadata takes a millisecond, so it is done once."""
    distribution = entry_point.dist
    if distribution is None:
        return Provider(canonical(entry_point.module.split(".")[0]), entry_point.name)
    if id(distribution) not in known:
        metadata = distribution.metadata
        known[id(distribution)] = canonical(metadata["Name"] or "unknown"), metadata["Version"] or ""
    name, version = known[id(distribution)]
    return Provider(name, entry_point.name, version)


def _manager(plugin: Any, name: str) -> PluginManager:
    """A manager of this plugin alone, after checking that its hooks are what fokker calls.

    Raises:
        PluginError: If it implements no hook, an unknown one, or one with arguments that the hook does not have.
    """
    manager = PluginManager("fokker")
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(plugin, name)
        manager.check_pending()
    except PluginValidationError as error:
        raise PluginError(" ".join(str(error).split())) from error
    for hook in hookspecs.__all__:
        if hasattr(plugin, hook) and not getattr(manager.hook, hook).get_hookimpls():
            raise PluginError(f"{hook} is not marked with @fokker.hookimpl.")
    if not manager.get_hookcallers(plugin):
        what = plugin.__name__ if isinstance(plugin, ModuleType) else repr(plugin)
        raise PluginError(f"{what} implements none of the hooks {', '.join(hookspecs.__all__)}.")
    return manager
