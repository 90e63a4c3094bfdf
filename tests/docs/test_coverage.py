"""Everything that can be used is documented, pages say of the code what it says itself, and links lead somewhere."""

import dataclasses
import importlib.util
import json
import re
import tomllib
from pathlib import Path
from types import ModuleType

import click
import pytest
from click.testing import CliRunner

from fokker import events
from fokker.cli import COMMANDS
from fokker.cli.app import App
from fokker.cli.main import cli
from fokker.component import describe, reference, summary
from fokker.plugins import hookspecs
from fokker.plugins.host import load_plugins
from fokker.plugins.registry import INTERFACES, KINDS, interface_of

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
TEXTS = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
}
HOST = load_plugins()
OWN = [entry for entry in HOST.registry if entry.provider.distribution == "fokker"]
COMPONENTS = [entry for entry in OWN if entry.kind != "recipe"]


def written(page: str) -> str:
    return TEXTS[f"docs/{page}"]


def without_fences(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def headings(text: str) -> list[str]:
    return re.findall(r"^#+ (.+?)(?: \{ #.*)?$", without_fences(text), re.MULTILINE)


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_parts_are_what_the_code_says():
    stale = [path.relative_to(ROOT).as_posix() for path, _ in generator().outdated()]
    assert not stale, f"run: python docs/generate.py ({', '.join(stale)} out of date)"


def test_every_part_is_generated_somewhere():
    used = {name for text in TEXTS.values() for name in re.findall(r"<!-- generated: ([\w-]+) -->", text)}
    assert used == {*generator().PARTS, "conformance"}


@pytest.mark.parametrize("hook", hookspecs.__all__)
def test_every_hook_has_a_heading_and_an_implementation_on_the_page_of_hooks(hook):
    page = written("authors/hooks.md")
    assert hook in headings(page)
    assert re.search(rf"^@hookimpl\ndef {hook}\(", page, re.MULTILINE)
    assert f"def {hook}(" in (getattr(hookspecs, hook).__doc__ or "")


@pytest.mark.parametrize("event", [name for name in events.__all__ if name != "Event"])
def test_every_event_is_listed_with_its_fields(event):
    (row,) = [line for line in written("authors/hooks.md").splitlines() if line.startswith(f"| `{event}` |")]
    assert all(f"`{field.name}`: " in row for field in dataclasses.fields(getattr(events, event)))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_reference_and_in_a_page(name):
    assert f"fokker {name}" in headings(written("reference/commands.md"))
    pages = [page for page, text in TEXTS.items() if page != "docs/reference/commands.md" and f"fokker {name}" in text]
    assert pages


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_every_command_has_help(name):
    command = cli.get_command(click.Context(cli, obj=App(loaded=HOST)), name)
    assert command is not None
    options = [p for p in command.params if isinstance(p, click.Option)]
    assert not [option.opts for option in options if not option.help]


@pytest.mark.parametrize("entry", OWN, ids=lambda entry: f"{entry.kind}-{entry.name}")
def test_every_component_is_in_the_reference(entry):
    assert f"### {entry.name} {{ #{entry.kind}-{entry.name} }}" in written("reference/components.md")
    assert entry.describe()


@pytest.mark.parametrize("entry", COMPONENTS, ids=lambda entry: f"{entry.kind}-{entry.name}")
def test_every_component_and_every_field_has_a_docstring(entry):
    cls = entry.load()
    assert summary(cls).endswith((".", ":")), summary(cls)
    assert not [field.name for field in describe(cls) if not field.doc]


def test_methods_cite_their_source():
    """Arithmetic and own readers need none."""
    kinds = {
        "perturbation",
        "parameterization",
        "objective",
        "weighting",
        "sampler",
        "predictor",
        "corrector",
        "metric",
    }
    silent = [f"{e.kind} {e.name}" for e in COMPONENTS if e.kind in kinds and not reference(e.load())]
    assert not silent


def test_every_kind_says_how_it_is_registered_and_what_it_implements():
    page = written("authors/hooks.md")
    assert not [kind for kind in KINDS if f"`{kind}`" not in page]
    assert not [kind for kind in INTERFACES if not summary(interface_of(kind))]


TAUGHT = ("docs/how-to/", "docs/maths/", "docs/reference/", "docs/tutorial.md")


@pytest.mark.parametrize("name", sorted({n for n in TEXTS if n.startswith(TAUGHT)} - {"docs/how-to/contribute.md"}))
def test_every_page_says_what_the_reader_can_do_after_it(name):
    assert re.match(r"# .+\n\nAfter this page ", TEXTS[name])


def anchors(text: str) -> set[str]:
    """The anchors that mkdocs gives a page's headings, and those written down."""
    slugs = {
        re.sub(r"[\s_]+", "-", re.sub(r"[^\w\s-]", "", title.replace("`", "")).strip().lower())
        for title in headings(text)
    }
    return slugs | set(re.findall(r"\{ #([\w-]+) \}", text))


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_to_files_and_headings_that_are_there(name):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]+`", "", without_fences(TEXTS[name]))):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        path = ((ROOT / name).parent / file).resolve() if file else ROOT / name
        if not path.is_file():
            broken.append(target)
        elif anchor and path.suffix == ".md" and anchor not in anchors(path.read_text(encoding="utf-8")):
            broken.append(target)
    assert not broken


def test_every_page_is_in_the_navigation():
    listed = re.findall(r"([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    pages = [page.removeprefix("docs/") for page in TEXTS if page.startswith("docs/")]
    assert not [page for page in pages if page not in listed]


def test_the_site_is_built_strictly():
    assert '"mkdocs", "build", "--strict"' in (ROOT / "noxfile.py").read_text(encoding="utf-8")
    assert re.search(r"^strict: true$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)


def test_the_readme_has_the_two_commands():
    for session in ("demo", "tests"):
        assert f"python -m pip install nox && python -m nox -s {session}\n" in TEXTS["README.md"]
        assert f"def {session}(session: nox.Session)" in (ROOT / "noxfile.py").read_text(encoding="utf-8")
    required = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    assert f"Python {required.removeprefix('>=')} or later" in TEXTS["README.md"]


def keys(command: str) -> set[str]:
    """The keys that the page of scripts lists for a command."""
    page = written("how-to/scripts.md")
    part = page.partition(f"\n## {command}\n")[2].partition("\n## ")[0]
    return set(re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE))


def printed(*args: str):
    done = CliRunner().invoke(cli, [*args, "--json"], obj=App(loaded=HOST))
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_the_keys_of_json_are_those_that_the_page_of_scripts_lists():
    assert {key for plugin in printed("plugins") for key in plugin} == keys("fokker plugins")
    assert {key for entry in printed("list") for key in entry} == keys("fokker list")
    shown = printed("show", "sampler", "ddim")
    assert set(shown) == keys("fokker list") | keys("fokker show")
    page = written("how-to/scripts.md")
    assert all(f"`{key}`" in page for key in shown["fields"][0])
    planned = printed("plan", "--data", "moons:n=50")
    assert set(planned) == keys("fokker plan")
    assert all(f"`{key}`" in page for key in (*planned["plan"], *planned["facts"]))
    assert set(printed("tune", "--data", "moons:n=50")) == keys("fokker tune")


def test_the_keys_of_what_runs_do_are_those_that_the_page_of_scripts_lists(tmp_path):
    run = str(tmp_path / "run")
    settings = ["train.steps=1", "train.batch_size=2", "network.width=4", "network.depth=1", "train.device=cpu"]
    args = [word for setting in settings for word in ("--set", setting)]
    train = ["train", "--data", "moons:n=50", "--network", "mlp", "--out", run, *args]
    assert CliRunner().invoke(cli, train, obj=App(loaded=HOST)).exit_code == 0
    sampled = printed("sample", run, "--out", str(tmp_path / "x.npy"), "-n", "2", "--steps", "2")
    assert set(sampled) == keys("fokker sample")
    scored = printed("likelihood", run, "-n", "2")
    assert set(scored) == keys("fokker likelihood") and set(scored["terms"]) == {"prior", "divergence", "transforms"}
    latents, way = str(tmp_path / "z.npy"), str(tmp_path / "way.npy")
    assert set(printed("encode", run, "--out", latents, "-n", "2")) == keys("fokker encode")
    assert set(printed("decode", run, latents, "--out", str(tmp_path / "y.npy"))) == keys("fokker decode")
    assert set(printed("interpolate", run, "--samples", "0", "1", "--out", way)) == keys("fokker interpolate")
    logged = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])
    assert all(f"`{key}`" in written("how-to/scripts.md") for key in logged)
