import csv
import errno
import json
import os
import tracemalloc

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch.testing import assert_close

from fokker import draw
from fokker.errors import ConfigError, DataError, RunError
from fokker.sink import open_sink, read_back, shards

SHAPES = [(2,), (16,), (1, 128), (3, 17, 23), (1, 8, 9, 10)]
FILES = ["x.npy", "x.npz", "x.safetensors", "x.csv", "x.png"]
LABELLED = ["x.npz", "x.safetensors", "x.csv", "x/"]


def draws(n, shape=(2,)):
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(0))


def fill(path, x, *, first=0, labels=None, block=3, **options):
    """Write samples block by block; the sink's note."""
    with open_sink(path, len(x), x.shape[1:], first=first, labels=labels is not None, **options) as sink:
        for at in range(0, len(x), block):
            part = None if labels is None else labels[at : at + block]
            sink.write(first + at, x[at : at + block], part)
    return sink.note


def read_csv(path):
    with open(path, newline="") as file:
        names, *rows = csv.reader(file)
    return names, torch.tensor([[float(v) for v in row] for row in rows])


def read(path, shape):
    """Samples and labels of any sink but a picture."""
    if path.is_dir():
        found = [np.load(shard.path) for shard in shards(path)]
        kinds = [np.load(p) for p in sorted(path.glob("labels-*"))]
        return torch.from_numpy(np.concatenate(found)), torch.from_numpy(np.concatenate(kinds)) if kinds else None
    if path.suffix == ".npy":
        return torch.from_numpy(np.load(path)), None
    if path.suffix == ".npz":
        with np.load(path) as file:
            kinds = torch.from_numpy(file["label"]) if "label" in file else None
            return torch.from_numpy(file["x"]), kinds
    if path.suffix == ".csv":
        names, table = read_csv(path)
        labelled = names[-1] == "label"
        x = table[:, :-1] if labelled else table
        return x.reshape(len(x), *shape), table[:, -1].long() if labelled else None
    with safe_open(path, "pt") as file:
        return file.get_tensor("x"), file.get_tensor("label") if "label" in file.keys() else None


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("shape", SHAPES, ids=repr)
@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.safetensors", "x.csv", "x/"])
def test_samples_come_back_as_they_were(tmp_path, name, shape):
    x = draws(11, shape)
    assert fill(f"{tmp_path}/{name}", x) == ""
    found, labels = read(tmp_path / name, shape)
    assert found.dtype == torch.float32
    assert torch.equal(found, x)
    assert labels is None


@pytest.mark.parametrize("name", LABELLED)
def test_labels_come_back_with_their_samples(tmp_path, name):
    x, labels = draws(11, (3, 2)), torch.arange(11) % 4
    assert fill(f"{tmp_path}/{name}", x, labels=labels) == ""
    found, kinds = read(tmp_path / name, (3, 2))
    assert torch.equal(found, x)
    assert torch.equal(kinds, labels)


def test_format_without_a_place_for_labels_says_so(tmp_path):
    x = draws(5)
    assert "no place for the labels" in fill(tmp_path / "x.npy", x, labels=torch.arange(5))
    assert torch.equal(read(tmp_path / "x.npy", (2,))[0], x)


@pytest.mark.parametrize("name", [*FILES, "x/"])
def test_blocks_leave_no_trace_in_the_bytes(tmp_path, name):
    x, labels = draws(23, (1, 4, 4)), torch.arange(23)
    for block in (1, 4, 23):
        fill(f"{tmp_path}/{block}/{name}", x, labels=labels, block=block)
    assert contents(tmp_path / "1") == contents(tmp_path / "4") == contents(tmp_path / "23") != {}


def test_other_layouts_and_types_are_written_as_float32(tmp_path):
    x = draws(6, (3, 4, 5)).double().to(memory_format=torch.channels_last).requires_grad_()
    fill(tmp_path / "x.npy", x)
    assert_close(read(tmp_path / "x.npy", ())[0], x.detach().float())


def test_safetensors_tells_how_the_samples_were_made(tmp_path):
    fill(tmp_path / "x.safetensors", draws(5), first=40, about={"seed": 7, "sampler": "ddim:eta=0.5"})
    with safe_open(tmp_path / "x.safetensors", "pt") as file:
        assert file.metadata() == {"first": "40", "seed": "7", "sampler": "ddim:eta=0.5"}
    assert int.from_bytes((tmp_path / "x.safetensors").read_bytes()[:8], "little") % 8 == 0


def test_csv_has_a_line_of_names(tmp_path):
    fill(tmp_path / "x.csv", draws(5, (2, 2)), labels=torch.arange(5))
    names, table = read_csv(tmp_path / "x.csv")
    assert names == ["x0", "x1", "x2", "x3", "label"]
    assert table[:, -1].tolist() == [0, 1, 2, 3, 4]
    assert (tmp_path / "x.csv").read_text().splitlines()[3].endswith(",2")


def test_picture_shows_the_first_samples_and_says_so(tmp_path):
    x = torch.rand(300, 1, 4, 4)
    note = fill(tmp_path / "x.png", x, block=70)
    assert "first 256 of 300" in note
    assert (tmp_path / "x.png").read_bytes() == draw.samples(x[:256]).png
    assert fill(tmp_path / "y.png", x[:20]) == ""


def test_picture_keeps_a_copy_of_its_samples(tmp_path):
    x = torch.rand(8, 1, 4, 4)
    block = torch.empty(4, 1, 4, 4)
    with open_sink(tmp_path / "x.png", 8, (1, 4, 4)) as sink:
        for at in (0, 4):
            sink.write(at, block.copy_(x[at : at + 4]))
    assert (tmp_path / "x.png").read_bytes() == draw.samples(x).png


@pytest.mark.parametrize("name", [*FILES, "x/"])
def test_memory_does_not_grow_with_the_number_of_samples(tmp_path, name):
    draw.samples(torch.rand(2, 1, 8, 8))  # what is loaded once does not count
    block = torch.rand(200, 1, 8, 8)
    size = block.numel() * 4

    def peak(blocks):
        sink = open_sink(f"{tmp_path}/{blocks}{name}", 200 * blocks, (1, 8, 8))
        tracemalloc.start()
        for k in range(blocks - 1):
            sink.write(200 * k, block)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        sink.drop()
        return found

    assert peak(9) < peak(2) + 3 * size


@pytest.mark.parametrize("name", FILES)
def test_file_appears_when_it_is_whole(tmp_path, name):
    with open_sink(tmp_path / "deep" / name, 4, (2,)) as sink:
        sink.write(0, draws(4))
        assert not (tmp_path / "deep" / name).exists()
    assert [p.name for p in (tmp_path / "deep").iterdir()] == [name]


@pytest.mark.parametrize("name", FILES)
def test_failure_leaves_what_was_there(tmp_path, name):
    fill(tmp_path / name, draws(4))
    before = contents(tmp_path)
    with pytest.raises(KeyboardInterrupt), open_sink(tmp_path / name, 9, (2,), force=True, labels=True) as sink:
        sink.write(0, draws(4), torch.arange(4))
        raise KeyboardInterrupt
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_overwritten_unless_forced(tmp_path, name):
    fill(tmp_path / name, draws(4))
    with pytest.raises(RunError, match=r"is there already: .*--force"):
        open_sink(tmp_path / name, 4, (2,))
    before = contents(tmp_path)
    fill(tmp_path / name, 1 - draws(4), force=True)
    assert contents(tmp_path).keys() == before.keys()
    assert contents(tmp_path) != before


@pytest.mark.parametrize("name", [*FILES, "x/"])
def test_missing_samples_are_an_error_and_leave_no_file(tmp_path, name):
    with (
        pytest.raises(ValueError, match="5 samples were announced, got 4"),
        open_sink(f"{tmp_path}/{name}", 5, (2,)) as s,
    ):
        s.write(0, draws(4))
    assert contents(tmp_path) == {}


def test_only_the_next_samples_are_taken(tmp_path):
    with pytest.raises(ValueError, match="one sample or more"):
        open_sink(tmp_path / "x.npy", 0, (2,))
    sink = open_sink(tmp_path / "x.npy", 5, (2,), first=10)
    with pytest.raises(ValueError, match="sample 10 is next, got sample 0"):
        sink.write(0, draws(2))
    sink.write(10, draws(2))
    with pytest.raises(ValueError, match="sample 12 is next, got sample 10"):
        sink.write(10, draws(2))
    with pytest.raises(ValueError, match=r"shape \(2,\), got \(3,\)"):
        sink.write(12, draws(2, (3,)))
    with pytest.raises(ValueError, match="5 samples were announced, got 6"):
        sink.write(12, draws(4))
    with pytest.raises(ValueError, match="labels were not announced"):
        sink.write(12, draws(3), torch.arange(3))
    sink.drop()
    sink = open_sink(tmp_path / "y.npy", 5, (2,), labels=True)
    for labels in (None, torch.arange(4)):
        with pytest.raises(ValueError, match="labels were announced"):
            sink.write(0, draws(5), labels)
    sink.drop()
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("name", [*FILES, "x/"])
def test_full_disk_is_one_line_and_leaves_no_file(tmp_path, name, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(RunError, match=r"cannot be written: No space left on device\.$"):
        fill(f"{tmp_path}/{name}", draws(4))
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.safetensors", "x.csv", "x/"])
def test_full_disk_while_writing_is_one_line_too(tmp_path, name, monkeypatch):
    def refuse(self, *_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    sink = open_sink(f"{tmp_path}/{name}", 4, (2,))
    monkeypatch.setattr(type(sink), "_append", refuse)
    with pytest.raises(RunError, match="No space left"), sink:
        sink.write(0, draws(4))
    assert contents(tmp_path) == {}


def test_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for name in ("file/x.npy", "file/x"):
        with pytest.raises(RunError, match=r"x(\.npy)? cannot be written: .*file is not a folder\.$"):
            open_sink(tmp_path / name, 4, (2,))
    with pytest.raises(RunError, match="is a file; without a suffix a folder is meant"):
        open_sink(tmp_path / "file", 4, (2,))


def test_suffix_decides_and_unknown_ones_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"'\.jpg'.* \.npy, \.npz, \.safetensors, \.csv, \.png"):
        open_sink(tmp_path / "x.jpg", 4, (2,))
    fill(tmp_path / "X.NPY", draws(4))
    assert np.load(tmp_path / "X.NPY").shape == (4, 2)
    fill(f"{tmp_path}/eta-0.5/", draws(4))
    assert [s.path.name for s in shards(tmp_path / "eta-0.5")] == ["samples-00000000-00000003.npy"]
    fill(tmp_path / "eta-0.5", draws(4), first=4)  # a folder stays one
    assert len(shards(tmp_path / "eta-0.5")) == 2


def names(folder):
    return [s.path.name for s in shards(folder)]


def test_shards_end_before_round_numbers(tmp_path):
    x = draws(2300)
    fill(tmp_path / "x", x[:1500], block=400)
    fill(tmp_path / "x", x[1500:], first=1500, block=700)
    assert [(s.first, s.last) for s in shards(tmp_path / "x")] == [(0, 999), (1000, 1499), (1500, 1999), (2000, 2299)]
    assert names(tmp_path / "x")[0] == "samples-00000000-00000999.npy"
    assert torch.equal(read(tmp_path / "x", (2,))[0], x)


def test_manifest_says_what_the_shards_hold(tmp_path):
    fill(tmp_path / "x", draws(5, (3, 4)), labels=torch.arange(5), about={"seed": 0, "sampler": "ddpm"})
    assert json.loads((tmp_path / "x" / "manifest.json").read_text()) == {
        "format": "fokker-samples-1",
        "dtype": "float32",
        "event_shape": [3, 4],
        "labels": True,
        "about": {"seed": 0, "sampler": "ddpm"},
    }


def test_crash_leaves_whole_shards_that_can_be_continued(tmp_path):
    x, labels = draws(3000), torch.arange(3000)
    with pytest.raises(KeyboardInterrupt), open_sink(tmp_path / "x", 3000, (2,), labels=True) as sink:
        sink.write(0, x[:2600], labels[:2600])
        raise KeyboardInterrupt
    assert sorted(p.name for p in (tmp_path / "x").iterdir()) == [
        "labels-00000000-00000999.npy",
        "labels-00001000-00001999.npy",
        "manifest.json",
        "samples-00000000-00000999.npy",
        "samples-00001000-00001999.npy",
    ]
    fill(tmp_path / "x", x[2000:], first=2000, labels=labels[2000:])
    found, kinds = read(tmp_path / "x", (2,))
    assert torch.equal(found, x) and torch.equal(kinds, labels)


def test_what_a_killed_process_leaves_is_not_in_the_way(tmp_path):
    x = draws(1500)
    sink = open_sink(tmp_path / "x", 1500, (2,))
    sink.write(0, x[:1200])
    sink._files[0].file.close()
    assert names(tmp_path / "x") == ["samples-00000000-00000999.npy"]  # and an unfinished file
    fill(tmp_path / "x", x[1000:], first=1000)
    assert torch.equal(read(tmp_path / "x", (2,))[0], x)


def test_several_processes_may_fill_one_folder(tmp_path):
    x = draws(4000)
    one, other = (open_sink(tmp_path / "x", 2000, (2,), first=first) for first in (0, 2000))
    with one, other:
        for at in range(0, 2000, 500):
            one.write(at, x[at : at + 500])
            other.write(2000 + at, x[2000 + at : 2500 + at])
    assert torch.equal(read(tmp_path / "x", (2,))[0], x)


def test_shards_are_not_written_twice(tmp_path):
    fill(tmp_path / "x", draws(1500), block=500)
    for first, n in [(0, 10), (1499, 1), (1400, 5000)]:
        with pytest.raises(
            RunError, match=r"holds samples \d+ to \d+ already: continue with --first 1500, or .*--force"
        ):
            open_sink(tmp_path / "x", n, (2,), first=first)
    fill(tmp_path / "x", draws(10), first=5000)  # a gap is no harm
    assert [s.first for s in shards(tmp_path / "x")] == [0, 1000, 5000]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"about": {"seed": 2}}, "seed is 1 there, 2 here"),
        ({"about": {}}, "seed is 1 there, None here"),
        ({"labels": torch.arange(4)}, "labels is False there, True here"),
    ],
)
def test_samples_of_another_making_are_refused(tmp_path, options, said):
    fill(tmp_path / "x", draws(4), about={"seed": 1})
    with pytest.raises(RunError, match=f"{said}.*--force"):
        fill(tmp_path / "x", draws(4), first=4, **{"about": {"seed": 1}, **options})
    with pytest.raises(RunError, match=r"event_shape is \[2\] there, \[3\] here"):
        fill(tmp_path / "x", draws(4, (3,)), first=4, about={"seed": 1})


def test_force_starts_a_folder_again_once_there_is_something_new(tmp_path):
    fill(tmp_path / "x", draws(2500), labels=torch.arange(2500), block=500, about={"seed": 1})
    before = contents(tmp_path)
    with pytest.raises(KeyboardInterrupt), open_sink(tmp_path / "x", 1500, (3,), force=True) as sink:
        sink.write(0, draws(900, (3,)))
        raise KeyboardInterrupt
    assert contents(tmp_path) == before
    fill(tmp_path / "x", draws(1500, (3,)), block=500, force=True, about={"seed": 2})
    assert sorted(p.name for p in (tmp_path / "x").iterdir()) == [
        "manifest.json",
        "samples-00000000-00000999.npy",
        "samples-00001000-00001499.npy",
    ]
    fill(tmp_path / "x", draws(3, (3,)), first=1500, about={"seed": 2})


def test_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match=r"not a folder of samples \(it has no manifest\.json\)"):
        open_sink(tmp_path, 4, (2,))
    fill(tmp_path, draws(4), force=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("text", ["{", "[]", "7", ""])
def test_damaged_manifest_is_named(tmp_path, text):
    fill(tmp_path / "x", draws(4))
    (tmp_path / "x" / "manifest.json").write_text(text)
    with pytest.raises(RunError, match=r"manifest\.json is damaged"):
        open_sink(tmp_path / "x", 4, (2,), first=4)
    fill(tmp_path / "x", draws(4), force=True)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.safetensors", "x.csv", "x/"])
def test_what_was_written_is_read_back(name, shape, tmp_path):
    x, labels = draws(7, shape), torch.arange(7) % 3
    for kinds in (None, labels):
        fill(f"{tmp_path}/{name}", x, first=995, labels=kinds, force=True)
        found = read_back(tmp_path / name.rstrip("/"), shape)
        assert found.x.dtype == np.float32
        assert np.array_equal(found.x, x.numpy())
        assert found.first == (995 if name in ("x.safetensors", "x/") else 0)
        if kinds is None or name == "x.npy":
            assert found.labels is None
        else:
            assert found.labels.dtype == np.int64 and found.labels.tolist() == labels.tolist()


def test_other_numbers_are_read_as_float32(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(6).reshape(3, 2))
    assert read_back(tmp_path / "a.npy", (2,)).x.tolist() == [[0, 1], [2, 3], [4, 5]]


def broken(folder):
    """Files that hold nothing to be read, each with the reason."""
    np.save(folder / "text.npy", np.array(["a"]))
    np.save(folder / "object.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(folder / "shape.npy", np.zeros((3, 4)))
    np.save(folder / "none.npy", np.zeros((0, 2)))
    np.save(folder / "nan.npy", np.array([[0.0, 1.0], [np.nan, 1.0]]))
    (folder / "cut.npy").write_bytes(b"\x93NUMPY")
    np.savez(folder / "y.npz", y=np.zeros((3, 2)))
    np.savez(folder / "labels.npz", x=np.zeros((3, 2)), label=np.zeros(2))
    (folder / "cut.safetensors").write_bytes(b"1234")
    (folder / "wide.csv").write_text("x0,x1,x2\n1,2,3\n")
    (folder / "words.csv").write_text("x0,x1\na,b\n")
    (folder / "empty.csv").write_text("x0,x1\n")
    (folder / "folder").mkdir()
    (folder / "picture.png").write_bytes(b"")
    for first in (0, 2000):
        fill(f"{folder}/gap/", draws(2), first=first)
    return {
        "text.npy": "holds <U1: real numbers are needed",
        "object.npy": "is damaged or no file of plain numbers",
        "shape.npy": r"holds an array of shape \(3, 4\): \(n, 2\) is needed",
        "none.npy": r"holds an array of shape \(0, 2\)",
        "nan.npy": r"row 1 \(counted from 0\) holds a value that is not finite",
        "cut.npy": "is damaged",
        "y.npz": "is damaged or no file of plain numbers",
        "labels.npz": r"holds 3 samples and labels of shape \(2,\)",
        "cut.safetensors": "is damaged",
        "wide.csv": r"holds samples of 3 values; shape \(2,\) has 2",
        "words.csv": "is damaged or no file of plain numbers",
        "empty.csv": "is damaged or no file of plain numbers",
        "folder": "holds no shards",
        "gap": "lacks samples 2 to 1999",
        "missing.npy": "cannot be read: No such file or directory",
    }


def test_what_cannot_be_read_is_one_line(tmp_path):
    for name, message in broken(tmp_path).items():
        with pytest.raises(DataError, match=f"{name}.*{message}") as caught:
            read_back(tmp_path / name, (2,))
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"picture.png cannot be read as '.png'"):
        read_back(tmp_path / "picture.png", (2,))
