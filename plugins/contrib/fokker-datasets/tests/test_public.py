"""The package stands on fokker's public names alone, and is listed without being imported."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import fokker_datasets

FILES = sorted(Path(fokker_datasets.__file__).parent.glob("*.py"))


def test_nothing_private_is_imported():
    seen = 0
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("fokker", "fokker_data"):
                public = importlib.import_module(node.module).__all__
                assert not any(part.startswith("_") for part in node.module.split("."))
                assert {alias.name for alias in node.names} <= set(public), (file.name, node.module)
                seen += 1
    assert seen > 10


def test_modules_say_what_is_public():
    for file in FILES:
        module = importlib.import_module(
            f"fokker_datasets.{file.stem}" if file.stem != "__init__" else "fokker_datasets"
        )
        assert module.__all__ and all(hasattr(module, name) for name in module.__all__)


def test_listing_imports_no_library():
    code = (
        "import sys; from fokker import load_plugins; r = load_plugins().registry; "
        "assert {'hf', 'webdataset'} <= set(r.names('data')); "
        "print([m for m in ('torch', 'datasets', 'webdataset', 'pyarrow', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
