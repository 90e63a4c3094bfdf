import logging
from pathlib import Path

import pytest

from fokker.errors import ConfigError, PluginError
from fokker.events import StepLogged, TrainingFinished
from fokker.plugins import load_plugins

STEP = StepLogged(Path("run"), 1, {"loss": 0.5})

RAISES_ON_IMPORT = "import no_such_module_anywhere"
EXITS_ON_IMPORT = "raise SystemExit('not on this platform')"
SYNTAX_ERROR = "def fokker_register(registry:"
BAD_SIGNATURE = """
    from fokker import hookimpl

    @hookimpl
    def fokker_register(registry, colour):
        pass
"""
UNKNOWN_HOOK = """
    from fokker import hookimpl

    @hookimpl
    def fokker_regster(registry):
        pass
"""
UNMARKED_HOOK = """
    def fokker_register(registry):
        registry.grid("halves", "json:JSONDecoder")
"""
NO_HOOK = "x = 1"
TWICE = """
    from fokker import hookimpl

    @hookimpl
    def fokker_register(registry):
        registry.grid("halves", "a:B")
        registry.grid("thirds", "a:B")
        registry.grid("halves", "a:C")
"""
HOOK_RAISES = """
    from fokker import hookimpl

    @hookimpl
    def fokker_register(registry):
        registry.grid("halves", "a:B")
        raise ValueError("first line\\n  second line")
"""
UNKNOWN_KIND = """
    from fokker import hookimpl

    @hookimpl
    def fokker_register(registry):
        registry.smapler("halves", "a:B")
"""
COMMAND_RAISES = """
    from fokker import hookimpl

    @hookimpl
    def fokker_register(registry):
        registry.grid("halves", "a:B")

    @hookimpl
    def fokker_commands(cli):
        raise ValueError("no commands today")
"""
COMMAND_TAKEN = """
    import click
    from fokker import hookimpl

    @hookimpl
    def fokker_commands(cli):
        cli.add_command(click.Command("train"))
"""

BROKEN = {
    "raises-on-import": (RAISES_ON_IMPORT, "ModuleNotFoundError: No module named 'no_such_module_anywhere'"),
    "exits-on-import": (EXITS_ON_IMPORT, "SystemExit: not on this platform"),
    "syntax-error": (SYNTAX_ERROR, "SyntaxError: '(' was never closed"),
    "bad-signature": (BAD_SIGNATURE, "Argument(s) {'colour'} are declared in the hookimpl"),
    "unknown-hook": (UNKNOWN_HOOK, "unknown hook 'fokker_regster'"),
    "unmarked-hook": (UNMARKED_HOOK, "fokker_register is not marked with @fokker.hookimpl."),
    "no-hook": (NO_HOOK, "implements none of the hooks fokker_commands, fokker_events, fokker_register."),
    "twice": (TWICE, "grid 'halves' is registered twice."),
    "hook-raises": (HOOK_RAISES, "ValueError: first line second line"),
    "unknown-kind": (UNKNOWN_KIND, "AttributeError: 'Registry' object has no attribute 'smapler'"),
    "command-raises": (COMMAND_RAISES, "ValueError: no commands today"),
    "command-taken": (COMMAND_TAKEN, "The command 'train' exists already."),
}


def status(host):
    return {plugin.name: plugin.status for plugin in host.plugins}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plugin_is_recorded_and_leaves_nothing_behind(site, good, case):
    code, cause = BROKEN[case]
    site.install("fokker-bad", code, version="0.3")
    site.install("fokker-good", good("fokker_good").replace("halves", "good-halves"))
    host = load_plugins(site.entry_points, environ={})
    assert status(host) == {"core": "loaded", "bad": "failed", "good": "loaded"}
    (bad,) = (plugin for plugin in host.plugins if plugin.name == "bad")
    assert cause in bad.error
    assert "\n" not in bad.error
    assert (bad.distribution, bad.version, bad.components, bad.commands) == ("fokker-bad", "0.3", (), ())
    assert host.registry.get("grid", "good-halves").provider.distribution == "fokker-good"
    assert {"halves", "thirds"}.isdisjoint(host.registry.names("grid"))
    assert host.commands == {}
    with pytest.raises(ConfigError, match=r"\(1 plugin failed to load: bad; see 'fokker plugins'\.\)"):
        host.registry.get("grid", "halves")


@pytest.mark.parametrize("case", BROKEN)
def test_strict_raises_what_would_have_been_recorded(site, case):
    code, cause = BROKEN[case]
    site.install("fokker-bad", code)
    with pytest.raises(PluginError) as caught:
        load_plugins(site.entry_points, environ={"FOKKER_STRICT": "1"})
    assert str(caught.value).startswith("Plugin bad of fokker-bad failed to load: ")
    assert cause in str(caught.value)
    assert load_plugins(site.entry_points, environ={"FOKKER_STRICT": "0"}).registry.failed == ["bad"]


def test_a_plugin_is_listed_with_what_it_registered(site, good):
    site.install("Fokker_Good", good("Fokker_Good"), plugin="good", version="2.1")
    (core, plugin) = load_plugins(site.entry_points, environ={}).plugins
    assert core.name == "core"
    assert core.distribution == "fokker"
    assert (plugin.name, plugin.distribution, plugin.version) == ("good", "fokker-good", "2.1")
    assert (plugin.status, plugin.error) == ("loaded", None)
    (entry,) = plugin.components
    assert (entry.kind, entry.name, entry.qualified) == ("grid", "halves", "fokker-good/halves")
    assert str(entry.provider) == "fokker-good/good"


def test_fokker_plugins_loads_only_the_named_ones_and_core(site, good):
    for name in ("a", "b", "c"):
        site.install(f"fokker-{name}", good(f"fokker_{name}").replace("halves", f"halves-{name}"))
    host = load_plugins(site.entry_points, environ={"FOKKER_PLUGINS": "a, c"})
    assert status(host) == {"core": "loaded", "a": "loaded", "b": "blocked", "c": "loaded"}
    assert host.registry.get("grid", "halves-c")
    with pytest.raises(ConfigError, match=r"\(1 plugin left out by FOKKER_PLUGINS: b; see 'fokker plugins'\.\)"):
        host.registry.get("grid", "fokker-b/halves-b")


def test_a_blocked_plugin_is_not_imported(site):
    site.install("fokker-bad", RAISES_ON_IMPORT)
    host = load_plugins(site.entry_points, environ={"FOKKER_PLUGINS": "", "FOKKER_STRICT": "1"})
    assert status(host) == {"core": "loaded", "bad": "blocked"}
    assert host.registry.get("perturbation", "vp")


def test_a_name_in_fokker_plugins_that_is_not_installed_is_a_failure(site, good):
    site.install("fokker-leapfrog", good("fokker_leapfrog"))
    environ = {"FOKKER_PLUGINS": "leapforg"}
    host = load_plugins(site.entry_points, environ=environ)
    assert status(host) == {"core": "loaded", "leapfrog": "blocked", "leapforg": "failed"}
    assert host.plugins[-1].error.endswith("no such plugin is installed. Did you mean 'leapfrog'?")
    with pytest.raises(PluginError, match="Plugin leapforg: FOKKER_PLUGINS names it"):
        load_plugins(site.entry_points, environ={**environ, "FOKKER_STRICT": "1"})


def test_two_plugins_of_one_distribution_cannot_register_the_same_name(site, good):
    site.install("fokker-two", good("fokker_two"))
    points = site.folder / "fokker_two-1.0.dist-info" / "entry_points.txt"
    (site.folder / "fokker_more.py").write_text((site.folder / "fokker_two.py").read_text())
    points.write_text("[fokker]\nfirst = fokker_two\nsecond = fokker_more\n")
    host = load_plugins(site.entry_points, environ={})
    assert status(host) == {"core": "loaded", "first": "loaded", "second": "failed"}
    assert "is registered by plugin first of the same distribution fokker-two" in host.plugins[-1].error


def test_what_a_plugin_prints_while_it_loads_stays_out_of_standard_output(site, good, capsys):
    site.install("fokker-chatty", "print('hello')\n" + good("fokker_chatty").replace("\n    ", "\n"))
    assert status(load_plugins(site.entry_points, environ={}))["chatty"] == "loaded"
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "hello\n"


def test_hosts_are_independent(site, good):
    site.install("fokker-good", good("fokker_good"))
    host, empty = load_plugins(site.entry_points, environ={}), load_plugins([], environ={})
    assert "halves" in host.registry.names("grid")
    assert "halves" not in empty.registry.names("grid")


LISTENER = """
    from fokker import hookimpl

    heard = []

    @hookimpl
    def fokker_events(event):
        heard.append(event)
"""
BROKEN_LISTENER = """
    from fokker import hookimpl

    heard = []

    @hookimpl
    def fokker_events(event):
        heard.append(event)
        raise RuntimeError("disk full")
"""


def test_events_reach_the_listeners(site):
    site.install("fokker-ear", LISTENER)
    host = load_plugins(site.entry_points, environ={})
    host.emit(STEP)
    host.emit(TrainingFinished(Path("run"), 1))
    import fokker_ear

    assert fokker_ear.heard == [STEP, TrainingFinished(Path("run"), 1)]


def test_a_listener_that_raises_is_reported_once_and_the_others_go_on(site, caplog):
    site.install("fokker-a", BROKEN_LISTENER)
    site.install("fokker-b", LISTENER)
    host = load_plugins(site.entry_points, environ={})
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            host.emit(STEP)
    assert [record.getMessage() for record in caplog.records] == [
        "Plugin a failed on the event StepLogged: RuntimeError: disk full (it hears of no further events)"
    ]
    import fokker_a
    import fokker_b

    assert len(fokker_a.heard) == 1
    assert len(fokker_b.heard) == 3


def test_strict_raises_what_a_listener_raises(site):
    site.install("fokker-a", BROKEN_LISTENER)
    host = load_plugins(site.entry_points, environ={"FOKKER_STRICT": "1"})
    with pytest.raises(PluginError, match="Plugin a failed on the event StepLogged: RuntimeError: disk full"):
        host.emit(STEP)


def test_commands_are_kept_with_the_plugin(site):
    site.install(
        "fokker-energy",
        """
        import click
        from fokker import hookimpl

        @hookimpl
        def fokker_commands(cli):
            @cli.command()
            def energy():
                click.echo("42")
        """,
    )
    host = load_plugins(site.entry_points, environ={})
    assert list(host.commands) == ["energy"]
    assert host.plugins[-1].commands == ("energy",)


def test_a_plugin_may_be_an_object_without_a_distribution():
    from importlib.metadata import EntryPoint

    host = load_plugins([EntryPoint("bare", "fokker.plugins.core", "fokker")], environ={})
    # the module is core itself, which has registered these names: a second copy is that plugin's failure
    assert status(host) == {"core": "loaded", "bare": "failed"}
    assert "of the same distribution fokker already" in host.plugins[-1].error
