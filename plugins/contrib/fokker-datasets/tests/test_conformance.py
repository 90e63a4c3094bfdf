"""What the sources promise, measured by the conformance kit."""

import pytest

from fokker.testing import checks_for
from fokker.testing.check import NotApplicable
from fokker_datasets.huggingface import HuggingFace
from fokker_datasets.shards import WebDataset

# The files of an instance are made by a fixture, so the checks are found by their names here.
NAMES = [
    check.name
    for check in checks_for(HuggingFace(path="", image=""))
    if check.name not in ("field[path]", "field[image]", "field[array]", "field[label]")  # texts, nothing to try
]
SOURCES = {
    "pictures": lambda f: HuggingFace(path=str(f / "parquet"), image="image", label="label", together=2),
    "shards": lambda f: WebDataset(path=str(f / "shards"), image="png", label="cls", test_share=0.3),
    "numbers": lambda f: HuggingFace(path=str(f / "saved"), array="wave", skip=True),
}


@pytest.mark.parametrize("name", sorted({*NAMES, "field[test]"}))
@pytest.mark.parametrize("which", SOURCES)
def test_conformance(which, name, folder):
    found = {check.name: check for check in checks_for(SOURCES[which](folder))}
    if name not in found:
        assert name == ("field[test]" if which != "shards" else "field[streaming]")
        return
    try:
        found[name]()
    except NotApplicable as reason:
        assert str(reason)
