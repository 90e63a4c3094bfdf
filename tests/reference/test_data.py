"""The reference numbers themselves: small, and each with its origin."""

import json
from pathlib import Path

import pytest

DATA = Path(__file__).parent / "data"
NAMES = sorted(path.relative_to(DATA).with_suffix("").as_posix() for path in DATA.rglob("*.safetensors"))


@pytest.mark.parametrize("name", NAMES)
def test_every_file_has_its_provenance(name):
    sidecar = json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))
    origins = sidecar["provenance"]
    for origin in origins if isinstance(origins, list) else [origins]:
        assert origin["repo"] and origin["licence_of_the_code"]
    assert sidecar["tolerance"]
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    assert f"`{name}`" in readme or f"`{name.split('/')[0]}/*`" in readme


def test_the_numbers_are_small():
    assert sum(path.stat().st_size for path in DATA.rglob("*")) < 4_000_000
