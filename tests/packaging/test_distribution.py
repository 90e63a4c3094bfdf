"""What the distribution promises: its version, its entry points, its pinned requirements."""

import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ENTRY_POINTS = PROJECT["project"]["entry-points"]["fokker"]


def pins() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if not line.startswith("#"))
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def group(name: str) -> list[Requirement]:
    """The requirements of a dependency group, those of included groups among them."""
    found = []
    for entry in PROJECT["dependency-groups"][name]:
        found += group(entry["include-group"]) if isinstance(entry, dict) else [Requirement(entry)]
    return found


def test_the_installed_version_is_that_of_the_project():
    assert metadata.version("fokker") == PROJECT["project"]["version"]


def test_the_installed_entry_points_are_those_of_the_project():
    installed = {e.name: e.value for e in metadata.entry_points(group="fokker") if e.dist and e.dist.name == "fokker"}
    assert installed == ENTRY_POINTS


def test_every_built_in_package_is_an_entry_point():
    packages = {path.parent.name for path in (ROOT / "plugins" / "builtin").glob("*/__init__.py")}
    assert packages == set(ENTRY_POINTS.values())


@pytest.mark.parametrize("package", ["fokker", *sorted(ENTRY_POINTS.values())])
def test_package_ships_its_types(package):
    folder = ROOT / "src" if package == "fokker" else ROOT / "plugins" / "builtin"
    assert (folder / package / "py.typed").is_file()


@pytest.mark.parametrize("group_name", [None, *PROJECT["dependency-groups"]])
def test_requirements_are_pinned_within_their_range(group_name):
    declared = map(Requirement, PROJECT["project"]["dependencies"]) if group_name is None else group(group_name)
    tested = pins()
    wrong = [str(r) for r in declared if tested.get(canonicalize_name(r.name), Version("0.dev0")) not in r.specifier]
    assert not wrong


def test_what_the_requirements_require_is_pinned_too():
    tested = pins()
    queue, seen, loose = ["fokker"], set(), set()
    while queue:
        name = queue.pop()
        for requirement in map(Requirement, metadata.requires(name) or []):
            needed = canonicalize_name(requirement.name)
            if needed in seen or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
                continue
            seen.add(needed)
            queue.append(needed)
            if needed not in tested:
                loose.add(f"{needed} (for {name})")
    assert not loose


def test_pins_name_releases_that_every_index_has():
    # A local version (2.13.0+cpu) can be had from one index only; the plain release admits all builds of it.
    assert [name for name, version in pins().items() if version.local] == []
