"""The command `fokker`: finds the subcommand, imports it, and turns errors into one line and an exit code.

    0 done    1 failed    2 wrong usage or configuration    3 a plugin failed    130 interrupted    143 terminated

Subcommands are imported when they are run or asked for help, so that `fokker --help` answers at once.
"""

import contextlib
import logging
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from importlib import import_module
from types import FrameType
from typing import Any

import click
from click.shell_completion import CompletionItem

import fokker
from fokker.cli import COMMANDS
from fokker.cli.app import App
from fokker.cli.options import add_common_options, keep_examples
from fokker.errors import FokkerError
from fokker.plugins.registry import nearest

__all__ = ["FokkerGroup", "cli", "main"]

INTERRUPTED = 130
TERMINATED = 143


class FokkerGroup(click.Group):
    """A group whose commands are imported on first use, joined by those of plugins."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Give every context an `App`."""
        extra.setdefault("obj", App())
        return super().make_context(info_name, args, parent, **extra)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """fokker's own commands in their order, then those of plugins."""
        return [*COMMANDS, *ctx.ensure_object(App).host.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name in COMMANDS:
            module, _, attribute = COMMANDS[cmd_name][0].partition(":")
            command: click.Command | None = getattr(import_module(module), attribute)
        else:
            command = ctx.ensure_object(App).host.commands.get(cmd_name)
        return command and keep_examples(add_common_options(command))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown one gets the nearest name."""
        name = args[0]
        if self.get_command(ctx, name) is None and not ctx.resilient_parsing and not name.startswith("-"):
            ctx.fail(f"No command '{name}'.{nearest(name, self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing fokker's own."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])
        added = ctx.ensure_object(App).host.commands
        if added:
            with formatter.section("Commands of plugins"):
                formatter.write_dl([(name, command.get_short_help_str(80)) for name, command in added.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the names of commands without importing fokker's own."""
        added = ctx.ensure_object(App).host.commands
        helps = {name: text for name, (_, text) in COMMANDS.items()}
        helps |= {name: command.get_short_help_str() for name, command in added.items()}
        items = [CompletionItem(name, help=text) for name, text in helps.items() if name.startswith(incomplete)]
        return [*items, *click.Command.shell_complete(self, ctx, incomplete)]

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command, and exit with its code unless not `standalone_mode`."""
        app = extra.setdefault("obj", App())
        prog_name = prog_name or "fokker"
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        with _warnings_as_lines(app), _sigterm_as_exit():
            try:
                result = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
                code = result if isinstance(result, int) else 0
            except FokkerError as error:
                code = _report(str(error), error.exit_code, app)
            except OSError as error:
                if error.filename is None:
                    raise
                code = _report(f"{error.strerror}: {error.filename}", 1, app)
            except click.ClickException as error:
                code = error.exit_code
                error.show()
            except click.Abort as error:  # click's word for KeyboardInterrupt and for the end of the input
                interrupted = isinstance(error.__cause__, KeyboardInterrupt)
                code = INTERRUPTED if interrupted else 1
                click.echo("Interrupted." if interrupted else "Aborted.", err=True)
        sys.exit(code)


def _report(message: str, code: int, app: App) -> int:
    """Tells of the error that is being handled; returns the exit code."""
    if app.debug:
        import traceback

        traceback.print_exc()
    click.echo(f"Error: {message}", err=True)
    return code


@contextlib.contextmanager
def _sigterm_as_exit() -> Iterator[None]:
    """Lets a termination unwind the stack, so that files are closed and temporary ones removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise SystemExit(TERMINATED)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _warnings_as_lines(app: App) -> Iterator[None]:
    """Prints what fokker logs, such as a listener that fails, as one line each on standard error."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            app.say(f"{record.levelname.capitalize()}: {record.getMessage()}")

    handler = Handler(logging.WARNING)
    logger = logging.getLogger("fokker")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"fokker {fokker.__version__}")
        ctx.exit()


@click.group(cls=FokkerGroup)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print the version."
)
def cli() -> None:
    r"""Score-based (diffusion) generative modelling: train, sample, and look at what happened.

    \b
    Examples:
      fokker demo
      fokker train fashion-mnist-ddpm-small --out runs/fm
      fokker sample runs/fm --out samples.png -n 64
    """


keep_examples(add_common_options(cli))


def main() -> None:
    """Run the command line."""
    cli()
