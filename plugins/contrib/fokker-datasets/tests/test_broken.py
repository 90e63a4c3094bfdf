"""What is broken is named, and with skip=true left out and counted."""

import io
import shutil

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import webdataset
from made import N, dataset, picture, wave, write_shard

from fokker.errors import DataError
from fokker.plan import check, resolve


def numbers(examples):
    return examples.fetch(range(len(examples))).x[:, 0].round().int().tolist()


@pytest.fixture
def shards(tmp_path):
    for s in range(3):
        write_shard(tmp_path / f"w-{s}.tar", range(10 * s, 10 * s + 10))
    return tmp_path


def refused(data):
    """The message of what comes when everything is read."""
    with pytest.raises(DataError) as caught:
        examples = data.open()
        examples.fetch(range(len(examples)))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_shard_that_is_cut_off_is_kept_up_to_there(source, shards):
    path = shards / "w-1.tar"
    path.write_bytes(path.read_bytes()[:12_000])
    fields = {"path": str(shards), "array": "npy", "test_share": 0.0}
    said = refused(source("webdataset", **fields))
    assert str(path) in said and "is cut off, damaged or no tar (unexpected end of data)" in said
    assert said.endswith("skip=true.")
    examples = source("webdataset", **fields, skip=True).open()
    found = numbers(examples)
    kept = [i for i in found if 10 <= i < 20]
    assert found == [*range(10), *kept, *range(20, 30)] and 0 < len(kept) < 10
    (note,) = examples.notes
    assert note.startswith(f"skip=true left out 1 file: {path} is cut off") and f"the {len(kept)} samples" in note


@pytest.mark.parametrize("what", ["zeros at the end cut", "a header overwritten", "no tar", "packed"])
def test_other_ways_to_break_a_shard_are_named(source, shards, what):
    import gzip

    path, kept = shards / "w-2.tar", 20
    whole = path.read_bytes()
    if what == "zeros at the end cut":
        path.write_bytes(whole.rstrip(b"\0") + bytes(-len(whole.rstrip(b"\0")) % 512))
        kept = 29  # of the last sample nobody can tell whether it was whole
    elif what == "a header overwritten":
        at = whole.index(b"part/0023.png")
        path.write_bytes(whole[:at] + b"\xff" * 512 + whole[at + 512 :])
        kept = 23
    elif what == "no tar":
        path.write_bytes(b"something else" * 100)
    else:
        path.write_bytes(gzip.compress(whole))
    fields = {"path": str(shards), "array": "npy", "test_share": 0.0}
    assert str(path) in refused(source("webdataset", **fields))
    examples = source("webdataset", **fields, skip=True).open()
    assert numbers(examples)[:kept] == list(range(kept)) and kept <= len(examples) <= kept + 1
    assert "left out 1 file" in examples.notes[0]


def test_broken_samples_are_named_and_counted(source, tmp_path):
    with webdataset.TarWriter(str(tmp_path / "w.tar")) as tar:
        for i in range(12):
            sample = {"__key__": f"s{i:02d}", "png": picture(i), "cls": i % 3, "npy": wave(i)}
            if i == 3:
                sample["png"] = b"no picture"
            if i == 5:
                del sample["png"]
            if i == 7:
                sample["cls"] = b"-4"
            tar.write(sample)
    fields = {"path": str(tmp_path / "w.tar"), "image": "png", "label": "cls", "test_share": 0.0}
    assert f"{tmp_path / 'w.tar'}, s07.png has the label -4" in refused(source("webdataset", **fields))
    fields.pop("label")
    assert f"{tmp_path / 'w.tar'}, s03.png cannot be read as a picture" in refused(source("webdataset", **fields))
    examples = source("webdataset", **fields, label="cls", skip=True).open()
    found = (examples.fetch(range(len(examples))).x[:, 0, 0, 0] * 255).round().int().tolist()
    assert found == [0, 1, 2, 4, 6, 8, 9, 10, 11] and examples.classes == 3
    (note,) = examples.notes
    assert note.startswith("skip=true left out 3 rows: ") and "s03.png" in note and "has no .png" in note
    with pytest.raises(DataError, match=r"sample 5 .counted from 0. has no .png"):
        source("webdataset", **fields).open().fetch([5])


def test_an_object_in_an_npy_is_not_unpickled(source, tmp_path):
    file = io.BytesIO()
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with webdataset.TarWriter(str(tmp_path / "w.tar")) as tar:
        tar.write({"__key__": "a", "npy": file.getvalue()})
    assert "a.npy is no .npy file of plain numbers" in refused(source("webdataset", path=str(tmp_path), array="npy"))


def test_a_parquet_file_that_is_none_is_named_and_left_out(source, folder, tmp_path):
    for name in "ab":
        shutil.copy(folder / "parquet" / f"{name}.parquet", tmp_path)
    (tmp_path / "a0.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-20])
    fields = {"path": str(tmp_path / "*.parquet"), "array": "wave", "test_share": 0.0}
    assert f"{tmp_path / 'a0.parquet'} is damaged or no Parquet file" in refused(source("hf", **fields))
    examples = source("hf", **fields, skip=True).open()
    assert numbers(examples) == list(range(N))
    assert examples.notes[0].startswith(f"skip=true left out 1 file: {tmp_path / 'a0.parquet'} is damaged")


def test_a_row_group_that_cannot_be_read_is_named_and_left_out(source, folder, tmp_path):
    path = tmp_path / "a.parquet"
    whole = bytearray((folder / "parquet" / "a.parquet").read_bytes())
    column = next(
        c
        for c in (pq.ParquetFile(io.BytesIO(whole)).metadata.row_group(1).column(k) for k in range(20))
        if c.path_in_schema.startswith("wave")
    )
    begin = column.dictionary_page_offset or column.data_page_offset
    whole[begin : begin + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(whole)
    fields = {"path": str(path), "array": "wave", "test_share": 0.0}
    assert f"{path}, row 6 (counted from 0)" in refused(source("hf", **fields))
    examples = source("hf", **fields, skip=True).open()
    assert numbers(examples) == [*range(6), *range(12, 25)]
    assert examples.notes[0].startswith("skip=true left out 6 rows: ") and "and 3 more" in examples.notes[0]


@pytest.mark.parametrize("form", ["parquet", "saved"])
def test_broken_rows_are_named_and_counted(source, tmp_path, form):
    rows = [list(map(float, wave(i))) for i in range(20)]
    rows[4], rows[9], rows[11] = None, rows[9][:5], [*rows[11][:8], float("nan")]
    data = datasets.Dataset.from_dict({"wave": rows, "label": [None if i == 13 else i % 2 for i in range(20)]})
    if form == "parquet":
        data.to_parquet(tmp_path / "d.parquet", batch_size=8)
    else:
        data.save_to_disk(tmp_path / "d")
    path = tmp_path / ("d.parquet" if form == "parquet" else "d")
    fields = {"path": str(path), "array": "wave", "test_share": 0.0}
    assert "row 4 (counted from 0), is empty" in refused(source("hf", **fields))
    assert "row 13 (counted from 0), has no label" in refused(source("hf", **fields, label="label"))
    plain = source("hf", **fields).open()
    with pytest.raises(DataError, match=r"row 9 .counted from 0., has the shape \(5,\), the first example has \(9,\)"):
        plain.fetch([9])
    with pytest.raises(DataError, match=r"row 11 .counted from 0., holds nan"):
        plain.fetch([11])
    examples = source("hf", **fields, label="label", skip=True).open()
    assert numbers(examples) == [i for i in range(20) if i not in (4, 9, 11, 13)]
    assert examples.notes[0].startswith("skip=true left out 4 rows: ")


def test_a_file_that_is_left_out_moves_no_example_of_the_others(source, shards):
    fields = {"path": str(shards), "array": "npy", "test_share": 0.3, "skip": True}
    before = numbers(source("webdataset", **fields).open("test"))
    path = shards / "w-0.tar"
    path.write_bytes(path.read_bytes()[:9_000])
    after = numbers(source("webdataset", **fields).open("test"))
    assert [i for i in after if i >= 10] == [i for i in before if i >= 10]
    assert {i for i in after if i < 10} <= set(before) and len(before) > 5


def test_leaving_out_moves_no_example_to_another_split(source, tmp_path):
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
    rows = [list(map(float, wave(i))) for i in range(40)]
    datasets.Dataset.from_dict({"wave": rows}).to_parquet(tmp_path / "whole" / "d.parquet")
    rows[3] = rows[21] = None
    datasets.Dataset.from_dict({"wave": rows}).to_parquet(tmp_path / "broken" / "d.parquet")
    for split in ("train", "test"):
        fields = {"array": "wave", "test_share": 0.3, "skip": True}
        whole, broken = (
            numbers(source("hf", path=str(tmp_path / name / "d.parquet"), **fields).open(split))
            for name in ("whole", "broken")
        )
        assert broken == [i for i in whole if i not in (3, 21)]


def test_a_picture_of_another_size_is_broken(source, tmp_path):
    pictures = [picture(i) for i in range(4)]
    pictures[2] = pictures[2].resize((9, 9))
    features = datasets.Features({"image": datasets.Image()})
    datasets.Dataset.from_dict({"image": pictures}, features=features).to_parquet(tmp_path / "d.parquet")
    fields = {"path": str(tmp_path / "d.parquet"), "image": "image", "test_share": 0.0}
    assert "row 2 (counted from 0), has the shape (3, 9, 9), the first example has (3, 7, 5)" in refused(
        source("hf", **fields)
    )
    assert len(source("hf", **fields, skip=True).open()) == 3
    said = refused(source("hf", **fields, size=(9, 9)))
    assert "has the shape (3, 7, 5), and size=[9, 9] asks for (3, 9, 9): give resize=crop or stretch" in said


def test_the_plan_shows_what_was_left_out(host, tmp_path):
    rows = [list(map(float, wave(i))) for i in range(30)]
    rows[7] = None
    datasets.Dataset.from_dict({"wave": rows}).to_parquet(tmp_path / "d.parquet")
    spec = {"name": "hf", "path": str(tmp_path / "d.parquet"), "array": "wave"}
    _, problems = check(resolve(host.registry, {"data": spec}))
    assert "row 7 (counted from 0), is empty" in problems[0].message and problems[0].where == "data"
    facts, problems = check(resolve(host.registry, {"data": {**spec, "skip": True}}))
    assert not problems and facts.notes[0].startswith("skip=true left out 1 row: ")


def test_nothing_broken_is_said_too(source, tmp_path):
    dataset(6).to_parquet(tmp_path / "d.parquet")
    data = source("hf", path=str(tmp_path / "d.parquet"), array="one", skip=True)
    assert data.open().notes == ("skip=true left out nothing: all of 6 rows are whole.",)


def test_a_file_that_changed_is_looked_through_again(source, tmp_path):
    data = source("hf", path=str(tmp_path / "d.parquet"), array="one", test_share=0.0)
    for n in (6, 9):
        dataset(n).to_parquet(tmp_path / "d.parquet")
        assert torch.equal(data.open().fetch(range(n)).x.flatten(), torch.arange(n).float())
