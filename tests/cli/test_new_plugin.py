"""What `fokker new-plugin` writes is complete: it loads, is listed, passes its checks, and says so in its own tests."""

import compileall
import json
import subprocess
import sys
import tomllib
from importlib import import_module, invalidate_caches
from importlib.metadata import EntryPoint, entry_points

import pytest
from click.testing import CliRunner

from fokker.cli.main import cli
from fokker.errors import ConfigError
from fokker.plugins.host import load_plugins
from fokker.plugins.registry import KINDS
from fokker.scaffold import KINDS as WRITTEN
from fokker.scaffold import Package, write
from fokker.testing import checks_for, run
from fokker.testing.recipes import Recipe


def name_of(kind):
    return f"made-{kind}"


def invoke(*args):
    return CliRunner().invoke(cli, ["new-plugin", *args])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A package of every kind, and fokker with all of them installed; (folder, host)."""
    folder = tmp_path_factory.mktemp("made")
    made = []
    for kind in KINDS:
        package = Package(name_of(kind), kind)
        write(package, folder / kind)
        sys.path.insert(0, str(folder / kind / "src"))
        made.append(EntryPoint(package.name, package.package, "fokker"))
    invalidate_caches()
    installed = [*entry_points(group="fokker"), *made]
    yield folder, load_plugins(installed, environ={"FOKKER_STRICT": "1"})
    for kind in KINDS:
        sys.path.remove(str(folder / kind / "src"))


def test_every_kind_can_be_made():
    assert tuple(WRITTEN) == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_the_files_are_whole(made, kind):
    folder, _ = made
    root = folder / kind
    files = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    package = f"src/fokker_made_{kind}"
    assert {"pyproject.toml", "README.md", ".gitignore", ".github/workflows/tests.yml"} <= files
    assert {
        f"{package}/__init__.py",
        f"{package}/py.typed",
        "tests/test_conformance.py",
        f"tests/test_{kind}.py",
    } <= files
    assert compileall.compile_dir(str(root), quiet=1)
    for file in files:
        text = (root / file).read_text()
        assert text == "" or (text.endswith("\n") and not text.endswith("\n\n")), file
        assert not any(line != line.rstrip() for line in text.splitlines()), file
        assert "$" not in text.replace("${{", ""), file


@pytest.mark.parametrize("kind", KINDS)
def test_the_project_names_its_entry_point(made, kind):
    project = tomllib.loads((made[0] / kind / "pyproject.toml").read_text())["project"]
    assert project["name"] == f"fokker-made-{kind}"
    assert project["entry-points"] == {"fokker": {f"made-{kind}": f"fokker_made_{kind}"}}
    assert project["dependencies"] == ["fokker>=0.1"]


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_listed_without_being_imported(made, kind):
    _, host = made
    (plugin,) = [plugin for plugin in host.plugins if plugin.name == name_of(kind)]
    assert plugin.status == "loaded"
    expected = {"sampler": ["sampler", "predictor"]}.get(kind, [kind])
    assert [entry.kind for entry in plugin.components] == expected
    assert all(entry.name == name_of(kind) and entry.describe().endswith(".") for entry in plugin.components)


def instances(kind, host):
    """What the package's own test of conformance is given."""
    if kind == "recipe":
        return [Recipe(name_of(kind), host.registry)]
    entry = host.registry.get(kind, name_of(kind))
    cls = entry.load()
    return [eval(f"cls({arguments})", {"cls": cls}) for arguments in ("", *WRITTEN[kind].instances)]


@pytest.mark.parametrize("kind", KINDS)
def test_it_passes_every_check_that_applies(made, kind):
    outcomes = [run(check) for component in instances(kind, made[1]) for check in checks_for(component)]
    assert [o for o in outcomes if o.status == "failed"] == []
    assert sum(o.status == "passed" for o in outcomes) >= len(outcomes) / 2


@pytest.mark.parametrize("kind", KINDS)
def test_its_own_test_of_the_formula_passes(made, kind, monkeypatch):
    """Every test in `tests/test_KIND.py` is called with every set of its parameters."""
    folder, host = made
    monkeypatch.setattr("fokker.load_plugins", lambda: host, raising=False)
    scope = {}
    exec(compile((folder / kind / "tests" / f"test_{kind}.py").read_text(), f"test_{kind}.py", "exec"), scope)
    tests = [value for name, value in scope.items() if name.startswith("test_")]
    assert tests
    for test in tests:
        for arguments in parameters(test):
            test(**arguments)


def parameters(test):
    """The sets of arguments that pytest would call a test with."""
    sets = [{}]
    for mark in getattr(test, "pytestmark", ()):
        names = [name.strip() for name in mark.args[0].split(",")]
        values = [(value,) if len(names) == 1 else value for value in mark.args[1]]
        sets = [{**given, **dict(zip(names, each, strict=True))} for given in sets for each in values]
    return sets


@pytest.mark.parametrize("kind", KINDS)
def test_its_test_of_conformance_lists_its_checks(made, kind):
    folder, host = made
    text = (folder / kind / "tests" / "test_conformance.py").read_text()
    assert "@conformance(" in text and len(text.splitlines()) <= 12
    if kind != "recipe":  # looked up among the plugins that are installed
        scope = {}
        exec(compile(text, "test_conformance.py", "exec"), scope)
        (mark,) = scope["test_conformance"].pytestmark
        expected = [check.name for component in instances(kind, host) for check in checks_for(component)]
        assert all(p.id.endswith(f"-{name}") for p, name in zip(mark.args[1], expected, strict=True))


def test_a_wrong_coefficient_is_named_with_the_order_that_is_left(made, tmp_path, monkeypatch):
    write(Package("wrong", "sampler"), tmp_path)
    file = tmp_path / "src" / "fokker_wrong" / "sampler.py"
    text = file.read_text()
    assert "w = 1 / (2 * self.ratio)" in text
    file.write_text(text.replace("w = 1 / (2 * self.ratio)", "w = 1 / self.ratio"))
    monkeypatch.syspath_prepend(str(tmp_path / "src"))
    sampler = import_module("fokker_wrong.sampler").Wrong()
    failed = [o for o in (run(check) for check in checks_for(sampler)) if o.status == "failed"]
    assert any(o.check.startswith("order[") and "claims order 2, measured 1" in o.detail for o in failed), failed


def test_it_says_where_the_package_is_and_what_to_do_next(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = invoke("leap-frog")
    assert result.exit_code == 0, result.output
    assert result.stdout == "fokker-leap-frog\n"
    assert result.stderr == (
        "Next: python -m pip install -e ./fokker-leap-frog'[test]', pytest ./fokker-leap-frog, "
        "fokker check leap-frog.\n"
    )
    text = (tmp_path / "fokker-leap-frog" / "src" / "fokker_leap_frog" / "sampler.py").read_text()
    assert "class LeapFrog(OneStep):" in text


def test_json_lists_the_files(tmp_path):
    result = invoke("waves", "--kind", "data", "--out", str(tmp_path / "here"), "--json", "--quiet")
    found = json.loads(result.stdout)
    assert (found["out"], found["kind"], found["name"]) == (str(tmp_path / "here"), "data", "waves")
    assert found["files"] == sorted(
        p.relative_to(tmp_path / "here").as_posix() for p in (tmp_path / "here").rglob("*.*") if p.is_file()
    )
    assert result.stderr == ""


def test_a_folder_that_holds_something_is_left_alone_unless_forced(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    assert invoke("waves", "--kind", "data", "--out", str(folder)).exit_code == 0  # it was empty
    (folder / "README.md").write_text("my own")
    (folder / "notes").write_text("keep")
    refused = invoke("waves", "--kind", "data", "--out", str(folder))
    assert refused.exit_code == 2
    assert (
        refused.stderr
        == f"Error: {folder} exists already: choose another folder with --out, or write over it with --force.\n"
    )
    assert (folder / "README.md").read_text() == "my own"
    assert invoke("waves", "--kind", "data", "--out", str(folder), "--force").exit_code == 0
    assert (folder / "README.md").read_text().startswith("# fokker-waves")
    assert (folder / "notes").read_text() == "keep"


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    result = invoke("waves", "--kind", "data", "--out", str(tmp_path / "file" / "here"))
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert "cannot be written" in result.stderr


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        (
            "LeapFrog",
            "sampler",
            "names are lower-case letters and digits joined by '-', and begin with a letter. Try 'leap-frog'.",
        ),
        ("leap_frog", "sampler", "Try 'leap-frog'."),
        ("2nd", "sampler", "begin with a letter."),
        ("", "sampler", "begin with a letter."),
        ("fokker-waves", "data", "give its name alone, 'waves'."),
        ("ddim", "sampler", "fokker has a sampler 'ddim' already: choose another name."),
        ("ancestral", "sampler", "fokker has a predictor 'ancestral' already"),
        ("metrics", "data", "fokker has a plugin 'metrics' already"),
        ("grid", "grid", "would name the class Grid, which is taken already"),
        ("tensor", "metric", "would name the class Tensor"),
        ("none", "grid", "would name the class None"),
        ("exception", "grid", "would name the class Exception"),
        ("waves", "dataa", "No kind 'dataa'. Did you mean 'data'?"),
    ],
)
def test_names_that_will_not_do_are_refused_in_one_line(tmp_path, name, kind, said):
    result = invoke(name, "--kind", kind, "--out", str(tmp_path / "out"))
    assert result.exit_code == 2
    assert said in result.stderr and result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_names_are_checked_without_the_command_line_too():
    with pytest.raises(ConfigError, match="cannot name a grid"):
        Package("Bad Name", "grid")


def test_it_imports_no_torch(tmp_path):
    script = (
        "import sys; from fokker.cli.main import cli\n"
        f"cli(['new-plugin', 'waves', '--kind', 'data', '--out', {str(tmp_path / 'out')!r}], standalone_mode=False)\n"
        "print([m for m in ('torch', 'numpy', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
