"""Broken plugins, seen from the command line in a process of its own."""

import json
import os
import subprocess
import sys

import pytest

RAISES_ON_IMPORT = "raise ImportError('no such library')"
BAD_SIGNATURE = """
    from fokker import hookimpl

    @hookimpl
    def fokker_register(register):
        pass
"""
TWICE = """
    from fokker import hookimpl

    @hookimpl
    def fokker_register(registry):
        registry.grid("halves", "a:B")
        registry.grid("halves", "a:B")
"""
HOOK_RAISES = """
    from fokker import hookimpl

    @hookimpl
    def fokker_register(registry):
        raise ValueError("no")
"""


@pytest.fixture
def fokker(site):
    def run(*args, **environ):
        path = os.pathsep.join([str(site.folder), os.environ.get("PYTHONPATH", "")])
        return subprocess.run(
            [sys.executable, "-m", "fokker", *args],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": path, **environ},
        )

    return run


@pytest.fixture
def broken(site, good):
    """Four broken plugins and a good one; returns what `plugins` should say of each."""
    site.install("fokker-a", RAISES_ON_IMPORT, version="0.1")
    site.install("fokker-b", BAD_SIGNATURE)
    site.install("fokker-c", TWICE)
    site.install("fokker-d", HOOK_RAISES)
    site.install("fokker-e", good("fokker_e"))
    return {"a": "failed", "b": "failed", "c": "failed", "d": "failed", "e": "loaded"}


def test_every_broken_plugin_is_reported_and_everything_else_works(broken, fokker):
    done = fokker("plugins", "--json")
    assert done.returncode == 0
    found = {plugin["name"]: plugin for plugin in json.loads(done.stdout)}
    assert {name: found[name]["status"] for name in broken} == broken
    assert {plugin["status"] for name, plugin in found.items() if name not in broken} == {"loaded"}
    assert found["a"] == {
        "name": "a",
        "distribution": "fokker-a",
        "version": "0.1",
        "status": "failed",
        "error": "ImportError: no such library",
        "components": [],
        "commands": [],
    }
    assert found["e"]["components"] == [{"kind": "grid", "name": "halves"}]
    shown = fokker("show", "perturbation", "vp", "--json")
    assert shown.returncode == 0
    missing = fokker("show", "grid", "havles")
    assert missing.returncode == 2
    assert missing.stderr == (
        "Error: No grid named 'havles'. Did you mean 'halves'? "
        "(4 plugins failed to load: a, b, c, d; see 'fokker plugins'.)\n"
    )


def test_strict_is_exit_code_3_and_one_line(broken, fokker):
    for command in (["list"], ["--help"]):
        done = fokker(*command, FOKKER_STRICT="1")
        assert done.returncode == 3
        assert done.stderr == "Error: Plugin a of fokker-a failed to load: ImportError: no such library\n"


def test_a_broken_plugin_can_be_left_out(broken, fokker):
    done = fokker("plugins", "--json", FOKKER_PLUGINS="e,ode", FOKKER_STRICT="1")
    assert done.returncode == 0
    status = {plugin["name"]: plugin["status"] for plugin in json.loads(done.stdout)}
    assert {name for name, s in status.items() if s == "loaded"} == {"core", "e", "ode"}
    assert {s for name, s in status.items() if name not in ("core", "e", "ode")} == {"blocked"}


def test_a_component_that_cannot_be_imported_is_one_line(broken, fokker):
    done = fokker("show", "grid", "halves")
    assert done.returncode == 3
    assert done.stderr == (
        "Error: grid 'halves' of plugin e (fokker-e 1.0) cannot be loaded: "
        "AttributeError: module 'fokker_e' has no attribute 'Halves'\n"
    )


def test_commands_of_a_plugin_are_commands_of_fokker(site, fokker):
    site.install(
        "fokker-energy",
        """
        import click
        from fokker import hookimpl

        @hookimpl
        def fokker_commands(cli):
            @cli.command()
            @click.option("--n", default=1)
            def energy(n):
                "Print an energy."
                click.echo(42 * n)
        """,
    )
    assert fokker("energy", "--n", "2", "--quiet").stdout == "84\n"
    assert "energy  Print an energy." in fokker("--help").stdout
    assert "command energy" in fokker("plugins").stdout
