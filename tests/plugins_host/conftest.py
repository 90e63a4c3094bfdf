"""A place to install made-up plugins into."""

import sys
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from textwrap import dedent

import pytest


class Site:
    """A folder on the path with distributions as pip would leave them."""

    def __init__(self, folder: Path):
        self.folder = folder

    def install(self, distribution: str, code: str, *, plugin: str | None = None, version: str = "1.0") -> None:
        """Install a distribution of one module whose entry point is called `plugin`."""
        module = distribution.replace("-", "_")
        (self.folder / f"{module}.py").write_text(dedent(code))
        info = self.folder / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[fokker]\n{plugin or module.removeprefix('fokker_')} = {module}\n")

    @property
    def entry_points(self) -> list[EntryPoint]:
        """The entry points installed here, and nothing else."""
        found = distributions(path=[str(self.folder)])
        return [point for distribution in found for point in distribution.entry_points if point.group == "fokker"]


@pytest.fixture
def site(tmp_path, monkeypatch):
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    yield Site(tmp_path)
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


GOOD = """
    from fokker import hookimpl

    @hookimpl
    def fokker_register(registry):
        registry.grid("halves", "{module}:Halves", summary="Halves.")
"""


@pytest.fixture
def good():
    """The code of a plugin that registers the grid `halves`."""
    return lambda module: GOOD.format(module=module)
