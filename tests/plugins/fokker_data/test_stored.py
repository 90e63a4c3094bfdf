import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fokker.errors import DataError
from fokker_data.stored import StoredExamples, positions, split_rows


@given(st.lists(st.integers(0, 6)))
def test_fetch_reads_any_list_of_positions(index):
    array = np.arange(14).reshape(7, 2)
    batch = StoredExamples(array, labels=np.arange(7)).fetch(index)
    assert batch.x.dtype == torch.float32
    assert batch.x.tolist() == [[2.0 * i, 2.0 * i + 1] for i in index]
    assert batch.cond["label"].dtype == torch.int64
    assert batch.cond["label"].tolist() == index


@pytest.mark.parametrize(
    "index",
    [[2, 0, 2], (2, 0, 2), np.array([2, 0, 2]), [np.int32(2), np.uint8(0), 2], torch.tensor([2, 0, 2])],
    ids=["list", "tuple", "array", "mixed", "tensor"],
)
def test_positions_may_be_whole_numbers_of_any_kind(index):
    assert positions(index, 3).tolist() == [2, 0, 2]


def test_fetch_of_nothing_has_the_shape_of_an_empty_batch():
    assert StoredExamples(np.zeros((3, 4, 5))).fetch([]).x.shape == (0, 4, 5)


@pytest.mark.parametrize("index", [[-1], [3], [0, 1, 3]])
def test_positions_outside_are_refused(index):
    with pytest.raises(IndexError, match=r"is not in \[0, 3\)"):
        positions(index, 3)


@pytest.mark.parametrize("index", [[0.5], [True], [[0, 1]]])
def test_positions_that_are_no_whole_numbers_are_refused(index):
    with pytest.raises(TypeError):
        positions(index, 3)


def test_rows_pick_and_order_the_examples():
    examples = StoredExamples(np.arange(5), rows=np.array([4, 1]), event_shape=(1,), labels=np.arange(5) * 10)
    assert len(examples) == 2
    assert examples.fetch([0, 1]).x.tolist() == [[4.0], [1.0]]
    assert examples.fetch([1]).cond["label"].tolist() == [10]


def test_a_batch_is_a_copy():
    array = np.zeros((2, 2), np.float32)
    StoredExamples(array).fetch([0, 1]).x.add_(1)
    assert not array.any()


def test_bytes_are_divided_exactly():
    x = StoredExamples(np.arange(256, dtype=np.uint8)[:, None], scale=255).fetch(range(256)).x
    assert torch.equal(x[:, 0], torch.arange(256) / 255)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e39])
def test_a_value_that_is_not_finite_names_file_and_row(bad):
    array = np.zeros((6, 2, 2))
    array[4, 1, 0] = bad
    examples = StoredExamples(array, rows=np.array([5, 4]), source="waves.npy")
    assert examples.fetch([0]).x.shape == (1, 2, 2)
    with pytest.raises(DataError, match=r"waves\.npy: row 4 .*finite"):
        examples.fetch([0, 1])


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_mapped_file_is_pickled_by_name(tmp_path, order):
    array = np.array(np.arange(60_000).reshape(2000, 30), order=order)
    np.save(tmp_path / "a.npy", array)
    examples = StoredExamples(np.load(tmp_path / "a.npy", mmap_mode="r"), rows=np.array([3, 1999]))
    dump = pickle.dumps(examples)
    assert len(dump) < 2000
    assert torch.equal(pickle.loads(dump).fetch([1, 0]).x, torch.from_numpy(array[[1999, 3]]).float())


@given(n=st.integers(1, 3000), share=st.floats(0, 0.99))
def test_splits_are_disjoint_complete_and_of_their_share(n, share):
    parts = []
    for split in ("train", "test"):
        try:
            parts.append(split_rows(n, share, split, "x"))
        except DataError:
            parts.append(np.zeros(0, np.int64))
    assert sorted(np.concatenate(parts)) == list(range(n))
    assert abs(len(parts[1]) - share * n) < 4


@given(n=st.integers(50, 500), more=st.integers(1, 500))
def test_rows_keep_their_split_when_others_are_added(n, more):
    short, long = split_rows(n, 0.1, "test", "x"), split_rows(n + more, 0.1, "test", "x")
    assert long[: len(short)].tolist() == short.tolist()
    assert (long[len(short) :] >= n).all()


def test_an_empty_split_is_refused_with_a_way_out():
    with pytest.raises(DataError, match=r"rows\.csv: the test split is empty \(10 examples, test_share=0\): raise"):
        split_rows(10, 0.0, "test", "rows.csv")
