"""Which examples a step sees, and that reading them changes nothing."""

import pytest
import torch

from fokker.data import Batch, Examples
from fokker.errors import DataError
from fokker.training.batches import Order, batches


class Numbers(Examples):
    """Example i is the number i; 13 cannot be read if it is `damaged`."""

    event_shape = (1,)

    def __init__(self, n, damaged=False):
        self.n, self.damaged = n, damaged

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
