import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fokker.errors import ConfigError, DataError
from fokker_data.array import Array, read_array
from fokker_data.transforms import Standardise


@pytest.mark.parametrize("shape", [(16,), (1, 128), (3, 17, 23), (1, 8, 9, 10), (2,)])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_examples_of_any_shape(tmp_path, shape, suffix):
    array = np.random.RandomState(0).normal(size=(20, *shape))
    path = tmp_path / f"a{suffix}"
    np.save(path, array) if suffix == ".npy" else np.savez_compressed(path, data=array)
    train, test = Array(str(path)).open("train"), Array(str(path)).open("test")
    assert train.event_shape == test.event_shape == shape
    assert train.classes is None
    assert (len(train), len(test)) == (18, 2)
    assert torch.equal(train.fetch([1, 0]).x, torch.from_numpy(array[[1, 0]]).float())


@pytest.mark.parametrize("dtype", ["u1", "i2", ">i4", "i8", "f2", ">f4", "f8", "?"])
def test_real_types_of_any_byte_order_become_float32(tmp_path, dtype):
    array = np.array([[0, 1], [1, 0]]).astype(dtype)
    np.save(tmp_path / "a.npy", array)
    x = Array(str(tmp_path / "a.npy"), test_share=0.0).open().fetch([0, 1]).x
    assert x.dtype == torch.float32 and x.tolist() == [[0.0, 1.0], [1.0, 0.0]]


def test_npy_is_mapped(tmp_path):
    np.save(tmp_path / "a.npy", np.asfortranarray(np.arange(12.0).reshape(3, 4)))
    assert isinstance(read_array(tmp_path / "a.npy"), np.memmap)
    x = Array(str(tmp_path / "a.npy"), test_share=0.0).open().fetch([2, 0]).x
    assert x.tolist() == [[8, 9, 10, 11], [0, 1, 2, 3]] and x.is_contiguous()


def test_a_flat_array_is_one_number_per_example(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(3.0))
    examples = Array(str(tmp_path / "a.npy"), test_share=0.0).open()
    assert examples.event_shape == (1,) and examples.fetch([2]).x.tolist() == [[2.0]]


def test_one_array_of_several(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.zeros((4, 2)), y=np.ones((4, 3)))
    assert Array(str(path), key="y", test_share=0.0).open().event_shape == (3,)
    with pytest.raises(DataError, match=r"a\.npz: no array is named, it holds x, y"):
        Array(str(path)).open()
    with pytest.raises(DataError, match=r"a\.npz: an array 'z' is asked for, it holds x, y"):
        Array(str(path), key="z").open()


def test_labels_of_their_own_file(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(10.0))
    np.save(tmp_path / "l.npy", np.arange(10) % 4)
    (tmp_path / "l.csv").write_text("class\n" + "\n".join(str(i % 4) for i in range(10)))
    np.savez(tmp_path / "l.npz", c=np.arange(10) % 4, other=np.zeros(3))
    for labels, key in (("l.npy", None), ("l.csv", None), ("l.npz", "c")):
        source = Array(str(tmp_path / "a.npy"), labels=str(tmp_path / labels), labels_key=key)
        for split in ("train", "test"):
            examples = source.open(split)
            batch = examples.fetch(range(len(examples)))
            assert examples.classes == 4
            assert batch.cond["label"].tolist() == [int(v) % 4 for v in batch.x[:, 0].tolist()]


def test_labels_beside_the_data_in_one_file(tmp_path):
    path = str(tmp_path / "a.npz")
    np.savez(path, x=np.zeros((4, 2)), y=np.arange(4))
    for source in (
        Array(path, labels_key="y"),
        Array(path, key="x", labels_key="y"),
        Array(path, labels=path, key="x"),
    ):
        assert source.open().classes == 4
    with pytest.raises(DataError, match="an array 'z' is asked for"):
        Array(path, key="x", labels_key="z").open()


@pytest.mark.parametrize("bad", [np.arange(9), np.arange(20).reshape(10, 2), np.full(10, 0.5), np.full(10, -1)])
def test_labels_that_do_not_fit_are_named(tmp_path, bad):
    np.save(tmp_path / "a.npy", np.arange(10.0))
    np.save(tmp_path / "l.npy", bad)
    with pytest.raises(DataError, match=r"l\.npy"):
        Array(str(tmp_path / "a.npy"), labels=str(tmp_path / "l.npy")).open()


# -- csv


@given(
    st.lists(st.lists(st.floats(-1e6, 1e6, width=32), min_size=3, max_size=3), min_size=1, max_size=5),
    st.sampled_from(
        ["", "a,b,c\n", "# written by hand\n", "# written by hand\n\nx 1,x 2,x 3\n", "\ufeffa,b,c\n", "\ufeff"]
    ),
    st.sampled_from(["\n", "\r\n"]),
)
def test_csv_with_or_without_names(tmp_path_factory, rows, names, newline):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    text = names + "\n".join(",".join(map(repr, row)) for row in rows) + "\n"
    path.write_bytes(text.replace("\n", newline).encode())
    examples = Array(str(path), test_share=0.0).open()
    assert examples.event_shape == (3,)
    assert examples.fetch(range(len(rows))).x.tolist() == rows


def test_csv_of_one_column_is_one_feature(tmp_path):
    (tmp_path / "a.csv").write_text("1\n2\n3\n")
    assert Array(str(tmp_path / "a.csv"), test_share=0.0).open().fetch([0, 2]).x.tolist() == [[1.0], [3.0]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2\n3\n", "columns changed from 2 to 1 at row 2"),
        ("1,2\n3,x\n", "'x'.*row 1"),
        ("1,x\n3,4\n", "'x'.*row 0"),
        ("1,\n3,4\n", "''"),
        ("", "one is needed"),
        ("a,b\n", "one is needed"),
    ],
)
def test_csv_that_is_no_table_of_numbers_is_named(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=rf"a\.csv.*{message}"):
        Array(str(tmp_path / "a.csv")).open()


def test_csv_in_another_encoding_is_named(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"caf\xe9,b\n1,2\n")
    with pytest.raises(DataError, match=r"a\.csv"):
        Array(str(tmp_path / "a.csv")).open()


@pytest.mark.parametrize("value", ["nan", "inf", "1e300"])
def test_a_value_that_is_not_finite_names_file_and_row(tmp_path, value):
    (tmp_path / "a.csv").write_text(f"x,y\n1,2\n3,4\n5,{value}\n")
    examples = Array(str(tmp_path / "a.csv"), test_share=0.0).open()
    assert examples.fetch([0, 1]).x.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    with pytest.raises(DataError, match=r"a\.csv: row 2 "):
        examples.fetch([1, 2])


# -- damage


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("keep", [0, 4, 60, 0.5, 0.9])
def test_a_file_cut_short_is_named(tmp_path, suffix, keep):
    path = tmp_path / f"a{suffix}"
    array = np.random.RandomState(0).normal(size=(50, 3))
    np.save(path, array) if suffix == ".npy" else np.savez(path, array)
    data = path.read_bytes()
    path.write_bytes(data[: keep if isinstance(keep, int) else int(keep * len(data))])
    with pytest.raises(DataError, match=rf"a\{suffix}"):
        Array(str(path)).open()


@given(position=st.integers(0, 2000), flip=st.integers(1, 255))
def test_a_damaged_archive_is_read_right_or_named(tmp_path_factory, position, flip):
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    array = np.arange(50.0)
    np.savez_compressed(path, a=array)
    data = bytearray(path.read_bytes())
    data[position % len(data)] ^= flip
    path.write_bytes(data)
    try:
        x = Array(str(path), test_share=0.0).open().fetch(range(50)).x
    except DataError as error:
        assert "a.npz" in str(error)
    else:
        assert x[:, 0].tolist() == array.tolist()


def test_a_missing_file_is_named(tmp_path):
    for suffix in ("npy", "npz", "csv"):
        with pytest.raises(DataError, match=f"none.{suffix} cannot be read: No such file"):
            Array(str(tmp_path / f"none.{suffix}")).open()


@pytest.mark.parametrize(
    "array",
    [np.array([object()]), np.array(["a"]), np.array([1j]), np.zeros(2, [("a", "f4")]), np.array(["2020"], "M8")],
)
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_what_is_no_real_number_is_refused_without_unpickling(tmp_path, array, suffix):
    path = tmp_path / f"a{suffix}"
    np.save(path, array, allow_pickle=True) if suffix == ".npy" else np.savez(path, array)
    with pytest.raises(DataError, match=rf"a\{suffix}"):
        Array(str(path)).open()


@pytest.mark.parametrize("array", [np.array(1.0), np.zeros((0, 3)), np.zeros((3, 0))])
def test_an_array_without_examples_is_refused(tmp_path, array):
    np.savez(tmp_path / "a.npz", array)
    with pytest.raises(DataError, match=r"a\.npz"):
        Array(str(tmp_path / "a.npz")).open()


def test_fields_that_do_not_fit_together_are_refused_at_once():
    with pytest.raises(ConfigError, match=r"reads .npy, .npz and .csv files, got 'a\.txt'"):
        Array("a.txt")
    with pytest.raises(ConfigError, match=r"'l\.txt'"):
        Array("a.npy", labels="l.txt")
    with pytest.raises(ConfigError, match=r"Array\.key names an array in an .npz file"):
        Array("a.npy", key="x")
    with pytest.raises(ConfigError, match=r"Array\.labels_key"):
        Array("a.npz", key="x", labels="l.npy", labels_key="y")
    with pytest.raises(ConfigError, match="test_share must be less than 1"):
        Array("a.npy", test_share=1.0)
    assert Array("a.npy").transforms == (Standardise(),)
