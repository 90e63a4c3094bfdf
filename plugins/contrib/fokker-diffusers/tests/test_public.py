"""What the package uses of fokker is public, and listing it costs nothing."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from fokker import ConfigError, load_plugins

import fokker_diffusers
from fokker_diffusers.taken_in import WRAPPED

FILES = sorted(Path(fokker_diffusers.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_only_public_names_of_fokker_are_imported(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "fokker":
            module = importlib.import_module(node.module)
            for alias in node.names:
                assert alias.name in module.__all__, f"{node.module}.{alias.name}"
        assert not (isinstance(node, ast.Attribute) and node.attr.startswith("_knots"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_module_says_what_is_public(file):
    assert "__all__ = " in file.read_text() or "__all__: " in file.read_text()


def test_registering_imports_neither_torch_nor_diffusers():
    code = (
        "import sys; from fokker.plugins import load_plugins; host = load_plugins(); "
        "assert any(p.name == 'diffusers' and p.status == 'loaded' for p in host.plugins); "
        "print([m for m in ('torch', 'diffusers', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_every_scheduler_has_a_sampler_of_its_name():
    registry = load_plugins().registry
    for name, target in fokker_diffusers.SAMPLERS.items():
        entry = registry.get("sampler", f"diffusers/{name}")
        assert entry is registry.get("sampler", f"fokker-diffusers/{name}")
        assert f"{entry.load().__module__.rpartition('.')[2]}:{entry.load().__name__}" == target
        assert WRAPPED[entry.load().scheduler] is entry.load()


@pytest.mark.parametrize("name", fokker_diffusers.ABSENT)
def test_what_is_not_wrapped_is_refused_with_a_reason(name):
    with pytest.raises(ConfigError) as caught:
        load_plugins().registry.get("sampler", f"diffusers/{name}")
    assert str(caught.value) == f"No sampler named 'diffusers/{name}': {fokker_diffusers.ABSENT[name]}"
