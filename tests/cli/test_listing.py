import json
import os
import resource
import subprocess
import sys

import pytest
from click.testing import CliRunner

from fokker.cli.app import App
from fokker.cli.main import cli
from fokker.component import component
from fokker.guidance import Guidance, GuidanceClaims
from fokker.plugins import Host, Provider, Registry, load_plugins
from fokker.plugins.registry import KINDS

PROBE = """
import sys
from fokker.cli.main import main
try:
    main()
finally:
    print(sorted({"torch", "numpy", "pydantic"} & set(sys.modules)), file=sys.stderr)
"""


def run(*args, host=None):
    return CliRunner().invoke(cli, args, obj=App(loaded=host))


@pytest.fixture(scope="module")
def host():
    return load_plugins(environ={})


def fokker(*args, **environ):
    """Runs the command line in a process of its own; its last line on standard error are the heavy modules."""
    return subprocess.run(
        [sys.executable, "-c", PROBE, *args], capture_output=True, text=True, env={**os.environ, **environ}
    )


@pytest.mark.parametrize(
    "args", [["--help"], ["plugins"], ["list"], ["plugins", "--json"], ["--version"], ["list", "-h"]]
)
def test_listing_imports_nothing_heavy(args):
    assert fokker(*args).stderr.splitlines()[-1] == "[]"


def test_completion_imports_nothing_heavy():
    done = fokker(_FOKKER_COMPLETE="bash_complete", COMP_WORDS="fokker lis", COMP_CWORD="1")
    assert done.stdout == "plain,list\n"
    assert done.stderr == "[]\n"


@pytest.mark.parametrize("command", ["--help", "plugins"])
def test_answers_in_less_than_a_third_of_a_second(command):
    def cpu_seconds():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "fokker", command], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(cpu_seconds() for _ in range(3)) < 0.3


def test_list_as_json_names_every_component(host):
    listed = json.loads(run("list", "--json", host=host).stdout)
    assert [(item["kind"], item["name"]) for item in listed] == [(entry.kind, entry.name) for entry in host.registry]
    vp = next(item for item in listed if item["name"] == "vp")
    assert vp == {
        "kind": "perturbation",
        "name": "vp",
        "qualified": "fokker/vp",
        "provider": "fokker/core",
        "summary": "Variance-preserving SDE, beta linear in time.",
    }
    assert all(item["summary"] and "\n" not in item["summary"] for item in listed)


@pytest.mark.parametrize("kind", KINDS)
def test_list_of_a_kind_has_that_kind_only(host, kind):
    listed = json.loads(run("list", kind, "--json", host=host).stdout)
    assert [item["name"] for item in listed] == [entry.name for entry in host.registry.entries(kind)]


def test_list_is_a_table_of_one_line_each(host):
    lines = run("list", "grid", host=host).stdout.splitlines()
    assert lines[0].split() == ["kind", "name", "provider", "summary"]
    assert [line.split()[1] for line in lines[1:]] == host.registry.names("grid")
    start = lines[0].index("summary")
    assert all(line[start - 2 : start] == "  " and line[start] != " " for line in lines[1:])


def test_list_names_what_needs_its_distribution():
    registry = Registry()
    for distribution in ("foo", "bar"):
        part = Registry(Provider(distribution, "p"))
        part.grid("halves", "a:B")
        registry.merge(part)
    out = run("list", host=Host(registry)).stdout
    assert "bar/halves  bar/p" in out
    assert "foo/halves  foo/p" in out


def test_list_mentions_plugins_that_failed_unless_quiet():
    host = Host(Registry(failed=["leapfrog"]))
    assert run("list", host=host).stderr == "Failed to load: leapfrog; see 'fokker plugins'.\n"
    assert run("list", "--quiet", host=host).stderr == ""
    assert run("--quiet", "list", host=host).stderr == ""


def test_a_terminal_gets_a_drawn_table(host, monkeypatch, capsys):
    from fokker.cli.output import print_table

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_table(("name", "summary"), [("vp", "beta in [0.1, 20], [bold]as text[/bold]")])
    out = capsys.readouterr().out
    assert "─" in out
    assert "[bold]as text[/bold]" in out


def test_show_every_component(host):
    for entry in host.registry:
        done = run("show", entry.kind, entry.name, "--json", host=host)
        assert done.exit_code == 0, done.stderr
        shown = json.loads(done.stdout)
        assert shown["qualified"] == entry.qualified
        assert {"kind", "name", "provider", "summary", "fields", "claims", "reference"} <= set(shown)
        for field in shown["fields"]:
            assert {"name", "type", "default", "constraint", "doc"} <= set(field)
            assert field["doc"], f"{entry.qualified}.{field['name']} is not documented under Args"
        text = run("show", entry.kind, entry.qualified, host=host)
        assert text.exit_code == 0
        assert all(field["name"] in text.stdout for field in shown["fields"])


def test_show_tells_fields_claims_and_reference(host):
    shown = json.loads(run("show", "sampler", "ddim", "--json", host=host).stdout)
    assert shown["fields"] == [
        {
            "name": "eta",
            "type": "number",
            "default": 0.0,
            "required": False,
            "constraint": "at least 0 and at most 1",
            "doc": "Share of the posterior noise put back.",
        }
    ]
    assert shown["claims"]["order"] == 1
    assert shown["reference"] == "Song et al., 2021, eq. 12"
    required = {
        f["name"]: f["required"] for f in json.loads(run("show", "data", "array", "--json", host=host).stdout)["fields"]
    }
    assert required["path"]
    assert not required["transforms"]
    text = run("show", "sampler", "pc", host=host).stdout
    assert "annealed-langevin(step=0.05" in text
    assert "claims with these defaults:" in text


def test_show_tells_the_neutral_values_of_a_guidance():
    @component
    class Free(Guidance):
        """Guides freely."""

        @property
        def claims(self):
            return GuidanceClaims(evaluations=2, neutral={"weight": 1.0, "early": False})

        def wrap(self, model):
            return model

    registry = Registry()
    registry.guidance("free", Free)
    text = run("show", "guidance", "free", host=Host(registry)).stdout
    assert text.endswith("claims:\n  evaluations: 2\n  neutral: weight = 1.0, early = no\n  bias: none\n")
    claims = json.loads(run("show", "guidance", "free", "--json", host=Host(registry)).stdout)["claims"]
    assert claims == {"evaluations": 2, "neutral": {"weight": 1.0, "early": False}, "bias": None}


def test_show_prints_a_schema(host):
    schema = json.loads(run("show", "perturbation", "vp", "--schema", host=host).stdout)
    assert schema["properties"]["name"] == {"const": "vp"}
    assert schema["properties"]["beta_min"]["exclusiveMinimum"] == 0


def test_show_prints_a_recipe(tmp_path, monkeypatch):
    (tmp_path / "fokker_cookbook").mkdir()
    (tmp_path / "fokker_cookbook" / "__init__.py").write_text("")
    (tmp_path / "fokker_cookbook" / "soup.toml").write_text("steps = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry = Registry()
    registry.recipe("soup", "fokker_cookbook:soup.toml", summary="Soup.")
    assert run("show", "recipe", "soup", host=Host(registry)).stdout == "steps = 3\n"
    shown = json.loads(run("show", "recipe", "soup", "--json", host=Host(registry)).stdout)
    assert (shown["toml"], shown["fields"]) == ("steps = 3\n", [])
    assert run("show", "recipe", "soup", "--schema", host=Host(registry)).exit_code == 2
    del sys.modules["fokker_cookbook"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["list", "gird"], "Error: No kind 'gird'. Did you mean 'grid'?"),
        (["show", "grid", "karas"], "Error: No grid named 'karas'. Did you mean 'karras'?"),
        (["show", "grid", "\n"], "Error: No grid named '\n'."),
    ],
)
def test_a_wrong_name_is_one_line_and_exit_code_2(host, args, message):
    done = run(*args, host=host)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.startswith(message)


def test_plugins_as_json(host):
    listed = json.loads(run("plugins", "--json", host=host).stdout)
    core = listed[0]
    assert (core["name"], core["distribution"], core["status"], core["error"]) == ("core", "fokker", "loaded", None)
    assert {"kind": "perturbation", "name": "vp"} in core["components"]
    assert {"data", "ddpm", "metrics", "networks", "ode", "sde", "smld"} <= {plugin["name"] for plugin in listed}
    assert {plugin["status"] for plugin in listed} == {"loaded"}


@pytest.mark.parametrize(("kind", "incomplete", "names"), [("grid", "k", ["karras", "knots"]), ("sampler", "zz", [])])
def test_component_options_complete_names(host, kind, incomplete, names):
    import click

    from fokker.cli.options import ComponentType, KindType, NameType

    option = click.Option(["--x"], type=ComponentType(kind))
    ctx = click.Context(click.Command("x"), obj=App(loaded=host))
    assert [item.value for item in option.type.shell_complete(ctx, option, incomplete)] == names
    ctx.params["kind"] = kind
    assert [item.value for item in NameType().shell_complete(ctx, option, incomplete)] == names
    assert [item.value for item in KindType().shell_complete(ctx, option, kind)] == [kind]
    assert option.type.convert("karras:rho=3", option, ctx) == "karras:rho=3"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_the_shells_script(shell):
    done = run("completion", shell)
    assert done.exit_code == 0
    assert f"_FOKKER_COMPLETE={shell}_complete" in done.stdout
