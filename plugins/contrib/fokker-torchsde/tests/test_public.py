"""The package stands on what fokker and torchsde make public, and is listed without torch."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import fokker_torchsde

SOURCES = sorted(Path(fokker_torchsde.__file__).parent.glob("*.py"))


def imports(path):
    """Modules with the names that are taken from them."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield node.module, [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_only_public_names_are_used(path):
    for module, names in imports(path):
        if module.split(".")[0] not in ("fokker", "torchsde"):
            continue
        assert not any(part.startswith("_") for part in module.split(".")), module
        if module.startswith("fokker"):
            public = importlib.import_module(module).__all__
            assert set(names) <= set(public), f"{module}: {set(names) - set(public)}"
        else:
            assert module == "torchsde" and not any(name.startswith("_") for name in names)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_every_module_says_what_is_public(path):
    assert "__all__" in path.read_text(encoding="utf-8")


def test_registering_imports_neither_torch_nor_torchsde():
    code = (
        "import sys, fokker_torchsde; print([m for m in ('torch', 'torchsde', 'scipy', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
