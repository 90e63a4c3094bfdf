"""The hooks: all that a plugin can say to fokker.

A plugin is a module named by an entry point of the group `fokker`. It implements any of these three functions, marked
with `fokker.hookimpl`, and may leave out arguments that it does not use.
"""

from typing import TYPE_CHECKING

from pluggy import HookspecMarker

if TYPE_CHECKING:
    import click

    from fokker.events import Event
    from fokker.plugins.registry import Registry

__all__ = ["fokker_commands", "fokker_events", "fokker_register"]

hookspec = HookspecMarker("fokker")


@hookspec
def fokker_register(registry: "Registry") -> None:
    """Register components and recipes.

    Called once, when the plugin is loaded. If it raises, nothing that it registered is kept.

        @hookimpl
        def fokker_register(registry):
            registry.sampler("leapfrog", "fokker_leapfrog.sampler:Leapfrog", summary="Kick, drift, kick.")

    Args:
        registry: An empty registry of this plugin's own, with one method per kind of component.
    """


@hookspec
def fokker_commands(cli: "click.Group") -> None:
    """Add commands to the command line.

    Called once, when the plugin is loaded, and kept together with what the plugin registers or not at all. A command's
    callback should import what is heavy itself; its context's `obj` is the `fokker.cli.app.App` of this call.

        @hookimpl
        def fokker_commands(cli):
            cli.add_command(energy)

    Args:
        cli: An empty group; what is added to it becomes a subcommand of `fokker`. A name that fokker or another plugin
            uses already is refused.
    """


@hookspec
def fokker_events(event: "Event") -> None:
    """Hear of training and sampling.

    A listener that raises is reported once and not called again in this process; training and sampling go on.

        @hookimpl
        def fokker_events(event):
            if isinstance(event, StepLogged):
                board.plot(event.step, event.values)

    Args:
        event: One of the classes of `fokker.events`.
    """
