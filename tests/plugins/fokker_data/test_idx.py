import gzip
import struct

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fokker.errors import DataError
from fokker_data.idx import Idx, parse_idx, read_idx

TYPES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


@given(
    st.sampled_from(sorted(TYPES)).flatmap(
        lambda kind: hnp.arrays(np.dtype(kind), hnp.array_shapes(min_dims=1, max_dims=5, max_side=4))
    )
)
def test_every_type_and_rank_is_read(tmp_path_factory, array):
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, TYPES[array.dtype.str[1:]], array.ndim, *array.shape)
    data = head + array.astype(array.dtype.newbyteorder(">")).tobytes()
    path = tmp_path_factory.mktemp("idx") / "file"
    path.write_bytes(data)
    for found in (parse_idx(data, path), read_idx(path)):
        np.testing.assert_array_equal(found, array)


def test_a_plain_file_is_mapped_and_a_packed_one_is_not(tmp_path, write_idx):
    path = write_idx("a", np.arange(6, dtype="i4"))
    assert isinstance(read_idx(path), np.memmap)
    packed = tmp_path / "b"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read_idx(packed).tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("shape", "event"), [((20,), (1,)), ((20, 3), (3,)), ((20, 4, 5), (1, 4, 5)), ((20, 3, 4, 5), (3, 4, 5))]
)
def test_examples_are_the_rows(write_idx, shape, event):
    array = np.random.RandomState(0).randint(0, 256, shape).astype("u1")
    source = Idx(str(write_idx("images", array)), labels=str(write_idx("labels", np.arange(20, dtype="u1") % 3)))
    train, test = source.open("train"), source.open("test")
    assert (len(train), len(test)) == (18, 2)
    assert train.event_shape == event and train.classes == test.classes == 3
    seen = torch.cat([e.fetch(range(len(e))).x for e in (train, test)])
    expected = torch.from_numpy(array).reshape(20, *event) / 255
    assert sorted(seen.flatten(1).tolist()) == sorted(expected.flatten(1).tolist())
    first = train.fetch([0])
    assert torch.equal(first.x[0], expected[0]) and first.cond["label"].tolist() == [0]


def test_values_are_divided_by_scale(write_idx):
    path = str(write_idx("a", np.array([[-300, 600]], "i2")))
    assert Idx(path, test_share=0.0).open().fetch([0]).x.tolist() == [[-300.0, 600.0]]
    assert Idx(path, test_share=0.0, scale=300.0).open().fetch([0]).x.tolist() == [[-1.0, 2.0]]


def test_a_float_that_is_not_finite_is_named(write_idx):
    path = write_idx("waves", np.array([[0.0], [np.nan]], "f4"))
    with pytest.raises(DataError, match="waves: row 1"):
        Idx(str(path), test_share=0.0).open().fetch([1])


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda b: b[:-1], "is truncated: its header promises 24 bytes.*there are 23"),
        (lambda b: b + b"\0", "is damaged: its header promises 24 bytes.*there are 25"),
        (lambda b: b[:7], "header ends after 7 of 12 bytes"),
        (lambda b: b"", "no IDX file.*nothing"),
        (lambda b: b"\x89PNG" + b[4:], "no IDX file: it starts with 89 50 4e 47"),
        (lambda b: b"\0\0\x0a" + b[3:], "no IDX file"),
        (lambda b: b"\0\0\x08\0\x07", "no IDX file"),
        (lambda b: b"\0\0\x08\x02" + struct.pack(">II", 0, 4), "is empty"),
        (lambda b: b[:4] + b"\xff" * 8 + b[12:], "is truncated"),
    ],
    ids=[
        "one byte short",
        "one byte long",
        "header cut",
        "nothing",
        "another magic",
        "unknown type",
        "rank 0",
        "no examples",
        "enormous shape",
    ],
)
def test_a_file_that_is_not_what_its_header_says_is_named(tmp_path, write_idx, packed, damage, message):
    path = write_idx("images", np.arange(12, dtype="u1").reshape(3, 4))
    data = damage(path.read_bytes())
    path.write_bytes(gzip.compress(data) if packed else data)
    with pytest.raises(DataError, match=f"images.*{message}"):
        Idx(str(path)).open()


@pytest.mark.parametrize("cut", [15, -4, -12])
def test_a_packed_file_cut_short_is_named(tmp_path, cut):
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(bytes(1000))[:cut])
    with pytest.raises(DataError, match=r"images\.gz is truncated or damaged"):
        read_idx(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere cannot be read: No such file"):
        Idx(str(tmp_path / "nowhere")).open()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.arange(4, dtype="u1"), r"shape \(4,\); one is needed for each of 5"),
        (np.arange(10, dtype="u1").reshape(5, 2), r"shape \(5, 2\)"),
        (np.array([0, 1, 2, -1, 0], "i1"), "row 3 .* holds -1"),
        (np.array([0, 1, 0.5, 1, 0], "f4"), "row 2 .* holds 0.5"),
        (np.array([0, np.inf, 1, 1, 0], "f4"), "row 1 .* holds inf"),
    ],
)
def test_labels_that_do_not_fit_are_named(write_idx, labels, message):
    images = write_idx("images", np.zeros((5, 2), "u1"))
    with pytest.raises(DataError, match=f"labels.*{message}"):
        Idx(str(images), labels=str(write_idx("labels", labels))).open()


def test_fashion_mnist_is_read_as_idx(shared):
    source = Idx(str(shared / "data/fashion-mnist/t10k-images-idx3-ubyte.gz"), test_share=0.0)
    examples = source.open()
    assert len(examples) == 10_000 and examples.event_shape == (1, 28, 28)
