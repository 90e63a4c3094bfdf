"""`fokker completion`: the script that teaches a shell to complete fokker's commands."""

import click
from click.shell_completion import get_completion_class

__all__ = ["completion"]


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    r"""Print the script that completes commands, options and the names of components in SHELL.

    \b
    Examples:
      eval "$(fokker completion bash)"
      fokker completion zsh > ~/.zfunc/_fokker
      fokker completion fish > ~/.config/fish/completions/fokker.fish
    """
    script = get_completion_class(shell)
    assert script is not None
    click.echo(script(click.get_current_context().find_root().command, {}, "fokker", "_FOKKER_COMPLETE").source())
