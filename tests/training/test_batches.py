"""Which examples a step sees, and that reading them changes nothing."""

import os
from itertools import pairwise

import pytest
import torch

from fokker.data import Batch, Blocks, Examples
from fokker.errors import DataError
from fokker.training.batches import Order, batches


class Numbers(Examples):
    """Example i is the number i; 13 cannot be read if it is `damaged`."""

    event_shape = (1,)

    def __init__(self, n, damaged=False, blocks=None):
        self.n, self.damaged, self.blocks = n, damaged, blocks

    def __len__(self):
        return self.n

    def fetch(self, index):
        if self.damaged and 13 in index:
            raise DataError("numbers.npy: row 13 is damaged: remove it.")
        return Batch(torch.tensor(index, dtype=torch.float32)[:, None], {"label": torch.tensor(index)})


def seen(order, steps):
    return [i for step in steps for i in order.step(step)]


@pytest.mark.parametrize(("n", "batch_size"), [(12, 4), (10, 4), (7, 16), (1, 3)])
def test_every_example_comes_once_per_epoch(n, batch_size):
    found = seen(Order(n, batch_size, 0), range(4 * n))
    for epoch in range(4 * batch_size):
        assert sorted(found[epoch * n : (epoch + 1) * n]) == list(range(n))


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = [seen(Order(50, 50, seed), [step]) for seed in (0, 1, -1, 2**40) for step in range(3)]
    assert len({tuple(order) for order in orders}) == len(orders)


def test_the_order_is_a_function_of_seed_and_step():
    order = Order(10, 4, 3)
    expected = {step: Order(10, 4, 3).step(step) for step in range(20)}
    for step in (19, 0, 7, 7, 3, 12, 2, 19):
        assert order.step(step) == expected[step]


def test_the_batch_size_only_cuts_the_order():
    assert seen(Order(10, 3, 5), range(14)) == seen(Order(10, 7, 5), range(6))
    before = torch.get_rng_state()
    Order(10, 3, 5).step(8)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_workers_change_nothing(workers):
    before = torch.get_rng_state()
    order = Order(10, 6, 0)
    found = list(batches(Numbers(10), order, 2, 9, slice(2, 4), workers))
    assert [b.x.flatten().tolist() for b in found] == [order.step(step)[2:4] for step in range(2, 9)]
    assert [b.cond["label"].tolist() for b in found] == [order.step(step)[2:4] for step in range(2, 9)]
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_example_that_cannot_be_read_is_one_line(workers):
    with pytest.raises(DataError) as caught:
        list(batches(Numbers(20, damaged=True), Order(20, 4, 0), 0, 5, slice(0, 4), workers))
    assert str(caught.value) == "numbers.npy: row 13 is damaged: remove it."


def test_no_steps_are_no_batches():
    assert list(batches(Numbers(3), Order(3, 2, 0), 4, 4, slice(0, 2), 0)) == []


BLOCKS = Blocks((3, 5, 1, 4, 2, 6, 3), together=3)
N = sum(BLOCKS.sizes)
BLOCK_OF = [b for b, size in enumerate(BLOCKS.sizes) for _ in range(size)]


@pytest.mark.parametrize("batch_size", [1, 4, 7, 24, 60])
@pytest.mark.parametrize("together", [1, 3, 7, 50])
def test_every_example_of_blocks_comes_once_per_epoch(together, batch_size):
    found = seen(Order(N, batch_size, 0, Blocks(BLOCKS.sizes, together)), range(3 * N))
    for epoch in range(3 * batch_size):
        assert sorted(found[epoch * N : (epoch + 1) * N]) == list(range(N))


def test_no_more_blocks_are_mixed_than_are_at_hand():
    for seed in range(5):
        found = seen(Order(N, 1, seed, BLOCKS), range(N))
        visited = []
        for i in found:
            if BLOCK_OF[i] not in visited:
                visited.append(BLOCK_OF[i])
        for first in range(0, len(visited), 3):
            members = {i for i in range(N) if BLOCK_OF[i] in visited[first : first + 3]}
            begin = sum(BLOCKS.sizes[b] for b in visited[:first])
            assert set(found[begin : begin + len(members)]) == members
    # and those that are at hand are mixed: blocks do not come one after another
    blocks = [BLOCK_OF[i] for i in found]
    assert sum(a != b for a, b in pairwise(blocks)) > len(BLOCKS.sizes)


def test_the_order_of_blocks_is_a_function_of_seed_and_step():
    expected = {step: Order(N, 7, 3, BLOCKS).step(step) for step in range(20)}
    order = Order(N, 7, 3, BLOCKS)
    for step in (19, 0, 7, 7, 3, 12, 2, 19):
        assert order.step(step) == expected[step]
    mixed = [tuple(seen(Order(N, 1, seed, BLOCKS), range(e * N, (e + 1) * N))) for seed in (0, 1) for e in range(2)]
    assert len(set(mixed)) == 4


class Reads(Numbers):
    """Numbers that come with the process that read them."""

    def fetch(self, index):
        found = super().fetch(index)
        return Batch(found.x, {**found.cond, "process": torch.full((len(index),), os.getpid())})


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_workers_change_nothing_where_there_are_blocks(workers):
    order = Order(N, 8, 0, BLOCKS)
    found = list(batches(Numbers(N, blocks=BLOCKS), order, 2, 9, slice(2, 6), workers))
    assert [b.x.flatten().tolist() for b in found] == [order.step(step)[2:6] for step in range(2, 9)]
    assert [b.cond["label"].tolist() for b in found] == [order.step(step)[2:6] for step in range(2, 9)]


def test_processes_and_workers_seldom_read_the_same_block():
    blocks = Blocks((64,) * 32, together=8)
    n = 32 * 64
    read = {}
    for part in (slice(0, 32), slice(32, 64)):
        for batch in batches(Reads(n, blocks=blocks), Order(n, 64, 0, blocks), 0, n // 64, part, 2):
            for process, i in zip(batch.cond["process"].tolist(), batch.cond["label"].tolist(), strict=True):
                read.setdefault(process, []).append(i)
    assert len(read) == 4
    assert sorted(i for examples in read.values() for i in examples) == list(range(n))
    # each of the four could read all 32 blocks; a quarter of them, and neighbours where shares part
    assert all(len({i // 64 for i in examples}) <= 24 for examples in read.values())
    assert sum(len({i // 64 for i in examples}) for examples in read.values()) < 0.6 * 4 * 32
