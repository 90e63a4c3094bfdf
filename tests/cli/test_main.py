import os
import signal
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from fokker.cli import COMMANDS
from fokker.cli.app import App, pass_app
from fokker.cli.main import cli
from fokker.errors import ConfigError, DataError, PluginError
from fokker.plugins import Host


def host_with(callback, *params):
    """A host whose plugin adds the command `extra`."""
    command = click.Command("extra", callback=callback, params=list(params), help="An extra command.")
    return Host(commands={"extra": command})


def run(*args, callback=None):
    host = host_with(callback or (lambda: None))
    return CliRunner().invoke(cli, args, obj=App(loaded=host))


def raises(error):
    def callback():
        raise error

    return callback


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ConfigError("No such name."), 2, "Error: No such name.\n"),
        (DataError("No such file."), 1, "Error: No such file.\n"),
        (PluginError("Broken."), 3, "Error: Broken.\n"),
        (PermissionError(13, "Permission denied", "run.toml"), 1, "Error: Permission denied: run.toml\n"),
        (KeyboardInterrupt(), 130, "\nInterrupted.\n"),
        (EOFError(), 1, "\nAborted.\n"),
        (SystemExit(7), 7, ""),
    ],
)
def test_an_error_is_one_line_and_its_exit_code(error, code, line):
    done = run("extra", callback=raises(error))
    assert done.exit_code == code
    assert done.stderr == line
    assert done.stdout == ""


@pytest.mark.parametrize("args", [["--debug", "extra"], ["extra", "--debug"]])
def test_debug_shows_the_traceback(args):
    done = run(*args, callback=raises(ConfigError("No such name.")))
    assert done.exit_code == 2
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("Error: No such name.\n")


def test_what_is_nobodys_fault_but_ours_stays_a_traceback():
    done = run("extra", callback=raises(ZeroDivisionError("bug")))
    assert isinstance(done.exception, ZeroDivisionError)


def test_a_commands_whole_number_is_the_exit_code():
    assert run("extra", callback=lambda: 1).exit_code == 1
    assert run("extra", callback=lambda: None).exit_code == 0
    assert run("extra", callback=lambda: "done").exit_code == 0


def test_wrong_usage_is_exit_code_2():
    for args in (["extra", "--no-such-option"], ["extra", "argument"], ["--no-such-option"]):
        assert run(*args).exit_code == 2
    done = run("trian")
    assert done.exit_code == 2
    assert done.stderr.endswith("Error: No command 'trian'. Did you mean 'train'?\n")


@pytest.mark.parametrize("args", [["--quiet", "extra"], ["extra", "--quiet"], ["extra"]])
def test_quiet_leaves_out_words_but_no_results(args):
    @pass_app
    def callback(app):
        app.say("words")
        click.echo("result")

    done = run(*args, callback=callback)
    assert done.stdout == "result\n"
    assert done.stderr == ("" if "--quiet" in args else "words\n")


def test_warnings_of_fokker_are_lines_on_standard_error():
    import logging

    def callback():
        logging.getLogger("fokker.plugins.host").warning("Plugin a failed.")

    assert run("extra", callback=callback).stderr == "Warning: Plugin a failed.\n"
    assert run("extra", "--quiet", callback=callback).stderr == ""
    assert not logging.getLogger("fokker").handlers


def test_a_commands_own_quiet_is_left_alone():
    done = []
    host = host_with(lambda quiet: done.append(quiet), click.Option(["--quiet"], help="Takes a value."))
    assert CliRunner().invoke(cli, ["extra", "--quiet", "very"], obj=App(loaded=host)).exit_code == 0
    assert done == ["very"]


def test_help_lists_own_commands_in_order_and_those_of_plugins():
    done = run("--help")
    assert done.exit_code == 0
    own = done.stdout[done.stdout.index("Commands:") : done.stdout.index("Commands of plugins:")]
    assert [line.split()[0] for line in own.splitlines()[1:] if line.startswith("  ") and line[2] != " "] == list(
        COMMANDS
    )
    assert "extra  An extra command." in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name):
    done = run(name, "--help")
    assert done.exit_code == 0
    assert "Example" in done.stdout
    assert f"fokker {name}" in done.stdout
    assert "--quiet" in done.stdout
    assert "--debug" in done.stdout


@pytest.mark.parametrize("args", [["--help"], ["plugins", "--help"]])
def test_the_examples_of_the_help_stand_on_lines_of_their_own(args):
    lines = run(*args).stdout.splitlines()
    first, second = lines[lines.index("  Examples:") + 1 :][:2]
    assert first.count("fokker") == second.count("fokker") == 1
    assert not [line for line in lines if "\\b" in line]


def test_version():
    import fokker

    assert run("--version").stdout == f"fokker {fokker.__version__}\n"


def test_commands_complete():
    item = cli.shell_complete(click.Context(cli, obj=App(loaded=host_with(None))), "")
    names = [i.value for i in item if not i.value.startswith("-")]
    assert names == [*COMMANDS, "extra"]


def test_termination_unwinds_and_exits_with_143(tmp_path):
    code = """
import sys, time, click
from fokker.cli.app import App
from fokker.cli.main import cli
from fokker.plugins import Host

def wait():
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("cleaned", flush=True)

cli(["wait"], obj=App(loaded=Host(commands={"wait": click.Command("wait", callback=wait)})))
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=30)
    assert out == "cleaned\n"
    assert process.returncode == 143


def test_python_dash_m_is_the_command():
    environ = {**os.environ, "FOKKER_PLUGINS": ""}
    done = subprocess.run([sys.executable, "-m", "fokker", "list", "gird"], capture_output=True, text=True, env=environ)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: No kind 'gird'.")
