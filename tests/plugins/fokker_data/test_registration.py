import importlib
from pathlib import Path

import pytest

import fokker_data
from fokker.component import describe, summary
from fokker.data import DataSource, Transform

SOURCES = {
    "swiss-roll", "two-gaussians", "ring", "moons", "checkerboard", "digits", "fashion-mnist", "idx", "images", "array",
    "mixture",
}  # fmt: skip
TRANSFORMS = {"standardise", "range", "dequantise", "logit"}


class Recorder:
    """Takes down what is registered."""

    def __init__(self):
        self.entries = {}

    def data(self, name, target, *, summary):
        self.entries[name] = (target, summary, DataSource)

    def transform(self, name, target, *, summary):
        self.entries[name] = (target, summary, Transform)


@pytest.fixture(scope="module")
def entries():
    recorder = Recorder()
    fokker_data.fokker_register(recorder)
    return recorder.entries


def test_everything_is_registered(entries):
    assert set(entries) == SOURCES | TRANSFORMS


@pytest.mark.parametrize("name", sorted(SOURCES | TRANSFORMS))
def test_references_lead_to_documented_components(entries, name):
    target, words, kind = entries[name]
    module, _, cls_name = target.partition(":")
    cls = getattr(importlib.import_module(module), cls_name)
    assert issubclass(cls, kind)
    assert words.endswith(".") and summary(cls)
    fields = describe(cls)
    assert all(field.doc for field in fields)
    assert ("transforms" in {f.name for f in fields}) == (kind is DataSource)


def test_every_source_file_has_a_test():
    package = Path(fokker_data.__file__).parent
    modules = {p.stem for p in package.glob("*.py")} - {"__init__", "labels"}
    assert modules <= {p.stem.removeprefix("test_") for p in Path(__file__).parent.glob("test_*.py")}
