"""What holds for every module and every file of the project."""

import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PLUGINS = sorted(PROJECT["project"]["entry-points"]["fokker"].values())
HEAVY = {"matplotlib", "numpy", "pydantic", "scipy", "sklearn", "torch"}

# Top-level folders that differ from machine to machine; a path below them in a file works on one machine only.
MACHINE_PATH = re.compile(r"(?<![\w.~*:/<>{}-])/(?:home|Users|root|work|mnt|tmp|var/tmp|farm|scratch)/\w")


def public_modules() -> list[str]:
    names = []
    for root in (ROOT / "src", ROOT / "plugins" / "builtin"):
        for path in root.rglob("*.py"):
            parts = path.relative_to(root).with_suffix("").parts
            if not any(part.startswith("_") and part != "__init__" for part in parts):
                names.append(".".join(parts).removesuffix(".__init__"))
    return sorted(names)


def text_files() -> list[Path]:
    """The project's own text files, wherever they are and whether or not they are under version control."""
    folders = (".github", "benchmarks", "docs", "mutation", "plugins", "src", "tests")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    paths += [ROOT / ".ci" / "run", *ROOT.glob("*.*")]
    kept = (path for path in paths if ".hypothesis" not in path.parts)  # what the tests of packages leave behind
    return [path for path in kept if path.is_file() and b"\0" not in path.read_bytes()[:1024]]


@pytest.mark.parametrize("name", public_modules())
def test_module_says_what_it_is_and_what_is_public(name):
    module = importlib.import_module(name)
    assert module.__doc__ and module.__doc__.strip()
    assert not [public for public in module.__all__ if not hasattr(module, public)]
    assert len(set(module.__all__)) == len(module.__all__)


@pytest.mark.parametrize("name", ["fokker", *PLUGINS])
def test_package_is_imported_without_heavy_libraries(name):
    script = f"import sys, {name}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert HEAVY.isdisjoint(loaded.stdout.split())


def test_core_imports_no_plugin():
    pattern = re.compile(rf"^\s*(?:from|import)\s+(?:{'|'.join(PLUGINS)})\b", re.MULTILINE)
    guilty = [path.name for path in (ROOT / "src").rglob("*.py") if pattern.search(path.read_text(encoding="utf-8"))]
    assert not guilty


def test_no_file_names_a_path_of_one_machine():
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in text_files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if MACHINE_PATH.search(line)
    ]
    assert not found


@pytest.mark.parametrize("folder", ["home", "root", "tmp", "work"])
def test_the_search_for_machine_paths_finds_them(folder):
    assert MACHINE_PATH.search(f'open("/{folder}/me")')
    assert not MACHINE_PATH.search(f'open("../{folder}/me")')


@pytest.mark.parametrize(
    "name", ["pyproject.toml", "constraints.txt", "noxfile.py", ".ci/run", ".github/workflows/ci.yml"]
)
def test_installation_names_no_index(name):
    # Which index serves the packages is the business of whoever installs, through pip's own settings.
    text = (ROOT / name).read_text(encoding="utf-8")
    assert "://" not in text
    assert "--index-url" not in text and "--find-links" not in text
