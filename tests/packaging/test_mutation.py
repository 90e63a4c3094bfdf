"""The lists of `nox -s mutants`, which no other session reads, name what there is."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = tomllib.loads((ROOT / "mutation" / "mutants.toml").read_text(encoding="utf-8"))["tests"]
SURVIVORS = tomllib.loads((ROOT / "mutation" / "survivors.toml").read_text(encoding="utf-8"))["survivors"]


def test_every_module_and_its_tests_exist():
    paths = [*TESTS, *(path for tests in TESTS.values() for path in tests)]
    assert [path for path in paths if not (ROOT / path).is_file()] == []
    assert all(TESTS.values())


def test_every_survivor_is_explained_once():
    lines = [(group["module"], line) for group in SURVIVORS for line in group["mutants"]]
    assert {module for module, _ in lines} <= set(TESTS)
    assert len(set(lines)) == len(lines)
    assert all(group["why"].endswith(".") for group in SURVIVORS)
