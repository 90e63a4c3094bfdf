"""The matrix of samplers and perturbations has all that there are, and says why for what is refused."""

import importlib.util
import re
from pathlib import Path

import pytest

from fokker.plugins.host import load_plugins

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "reference" / "matrix.md").read_text(encoding="utf-8")
REGISTRY = load_plugins().registry
MEND = "run: python docs/matrix.py runs/matrix"


def own(kind):
    return [entry.name for entry in REGISTRY.entries(kind) if entry.provider.distribution == "fokker"]


def table():
    lines = [line for line in PAGE.splitlines() if line.startswith("| ")]
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return head, rows


def test_every_perturbation_has_a_column():
    assert not {f"`{name}`" for name in own("perturbation")} - set(table()[0]), MEND


@pytest.mark.parametrize(
    ("kind", "title"),
    [("sampler", "`{}`"), ("predictor", "`pc`, predictor `{}`"), ("corrector", "`pc`, corrector `{}`")],
)
def test_every_sampler_predictor_and_corrector_has_a_row(kind, title):
    assert not {title.format(name) for name in own(kind)} - {row[0] for row in table()[1]}, MEND


def test_rows_are_those_that_the_script_writes():
    spec = importlib.util.spec_from_file_location("matrix", DOCS / "matrix.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert [row[0] for row in table()[1]] == [title for title, _ in module.samplers(REGISTRY)], MEND


def test_every_cell_is_a_number_or_a_refusal_with_its_reason():
    head, rows = table()
    reasons = re.findall(r"^(\d+)\. \S", PAGE.split("## Refusals")[1].split("## ")[0], re.MULTILINE)
    refused = set()
    for row in rows:
        assert len(row) == len(head)
        for cell in row[2:]:
            found = re.fullmatch(r"\d+\.\d|\((\d+)\)", cell)
            assert found, f"{row[0]}: {cell}"
            refused |= {found[1]} - {None}
    assert refused == set(reasons) != set()
