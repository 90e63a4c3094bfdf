import os

import pytest

from fokker.errors import RunError
from fokker.partial import Partial


def test_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "deep" / "file"
    with Partial(path) as file:
        file.write(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert list(path.parent.iterdir()) == [path]


def test_exception_leaves_what_was_there(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), Partial(path) as file:
        file.write(b"new")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_was_there_is_replaced_in_one_step(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    seen = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (seen.append(path.read_bytes()), replace(a, b)))
    with Partial(path) as file:
        file.write(b"new")
    assert seen == [b"old"]
    assert path.read_bytes() == b"new"


def test_refusals_of_the_system_are_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"file/x cannot be written: .*file is not a folder\.$"):
        Partial(tmp_path / "file" / "x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(RunError, match=r"folder cannot be written: Is a directory\.$"), Partial(tmp_path / "folder"):
        pass
    with pytest.raises(RunError, match=r"y cannot be written: No space left on device\.$"), Partial(tmp_path / "y"):
        raise OSError(28, "No space left on device")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


def test_dropping_after_the_move_does_nothing(tmp_path):
    partial = Partial(tmp_path / "file")
    partial.file.write(b"x")
    partial.move_in()
    partial.drop()
    assert (tmp_path / "file").read_bytes() == b"x"
