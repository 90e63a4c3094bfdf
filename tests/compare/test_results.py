"""Files that hold what is known so far."""

import json

import pytest

from fokker.compare.measure import Row
from fokker.compare.results import Results, files_of
from fokker.draw.pareto import Curve, Panel, pareto
from fokker.errors import ConfigError, RunError

ROW = Row("ddim", "karras", 5, 0, 10, 5, 1.0, 0.5, {"m": 1.0})


def picture(rows):
    return pareto([Panel("m", [Curve("a", [5.0], [1.0], [float(len(rows))], [0.0])])], width=300)


def results(out):
    return Results(files_of(out), lambda rows: f"{len(rows)} rows", picture)


def test_files_grow_with_every_row(tmp_path):
    with results(tmp_path / "f") as found:
        for count in (1, 2):
            found.add(ROW)
            assert len(json.loads((tmp_path / "f/compare.json").read_text())) == count
            assert (tmp_path / "f/compare.md").read_text() == f"{count} rows"
        assert not (tmp_path / "f/compare.png").exists()
    assert (tmp_path / "f/compare.png").exists()


@pytest.mark.parametrize("suffix", [".json", ".md", ".png"])
def test_one_file_alone(tmp_path, suffix):
    with results(tmp_path / f"c{suffix}") as found:
        found.add(ROW)
    assert [p.name for p in tmp_path.iterdir()] == [f"c{suffix}"]


def test_what_is_interrupted_while_it_is_written_is_written_at_the_end(tmp_path):
    def stopped(rows):
        if not seen:
            seen.append(rows)
            raise KeyboardInterrupt
        return "whole"

    seen = []
    found = Results(files_of(tmp_path / "f"), stopped, picture)
    with pytest.raises(KeyboardInterrupt), found:
        found.add(ROW)
    assert {p.name for p in (tmp_path / "f").iterdir()} == {"compare.json", "compare.md", "compare.png"}
    assert (tmp_path / "f/compare.md").read_text() == "whole"


def test_of_refused_rows_there_is_no_picture(tmp_path):
    with results(tmp_path / "f") as found:
        found.add(Row("ddim", "knots", 5, refused="why"))
    assert {p.name for p in (tmp_path / "f").iterdir()} == {"compare.json", "compare.md"}


def test_nothing_is_replaced_unless_told_to(tmp_path):
    (tmp_path / "compare.md").write_text("mine")
    with pytest.raises(RunError, match=r"compare.md is there already.*--force"):
        files_of(tmp_path)
    assert set(files_of(tmp_path, force=True)) == {".json", ".md", ".png"}
    with pytest.raises(RunError, match="is a file"):
        (tmp_path / "plain").write_text("")
        files_of(tmp_path / "plain")
    with pytest.raises(ConfigError, match=r"got --out .*c.gif"):
        files_of(tmp_path / "c.gif")
