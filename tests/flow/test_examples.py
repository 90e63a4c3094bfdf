"""Examples on their way to a model: its units, its labels, and the same numbers in any batch."""

import math

import pytest
import torch

from fokker.data import Batch, Chain, Examples
from fokker.errors import ConfigError, DataError
from fokker.flow import read
from fokker.network import DataSpec
from fokker_data.transforms import Dequantise, Range


class Levels(Examples):
    """Ten pictures of 17 levels."""

    event_shape = (1, 2, 2)

    def __init__(self, classes=None):
        self.classes = classes

    def __len__(self):
        return 10

    def fetch(self, index):
        k = torch.tensor(list(index))
        x = (k[:, None] + torch.arange(4)).float().reshape(-1, 1, 2, 2) / 16
        return Batch(x, {} if self.classes is None else {"label": k % self.classes})


CHAIN = Chain((Dequantise(levels=17), Range(-1.0, 1.0)))
SPEC = DataSpec((1, 2, 2))


def together(**options):
    found = list(read(Levels(), CHAIN, SPEC, **options))
    return torch.cat([f.x for f in found]), torch.cat([f.volume for f in found]), found


def test_an_example_has_the_same_numbers_in_any_batch():
    whole, volume, _ = together(n=10, seed=3)
    assert whole.shape == (10, 1, 2, 2)
    for options in ({"batch_size": 1}, {"batch_size": 4}):
        x, _, found = together(n=10, seed=3, **options)
        assert torch.equal(x, whole)
        assert [f.first for f in found] == list(range(0, 10, options["batch_size"]))
    part, _, found = together(n=3, first=6, seed=3, batch_size=2)
    assert torch.equal(part, whole[6:9]) and found[0].first == 6
    assert not torch.equal(together(n=10, seed=4)[0], whole)
    assert volume.dtype == torch.float64
    torch.testing.assert_close(volume, torch.full((10,), -4 * math.log(17 / 2), dtype=torch.float64))


def test_what_is_drawn_next_is_an_example_s_own_too():
    def drawn(batch_size):
        return torch.cat([f.noise.rademacher(f.x) for f in read(Levels(), CHAIN, SPEC, n=10, batch_size=batch_size)])

    assert torch.equal(drawn(10), drawn(3))


def test_labels_are_the_data_s_own_unless_one_is_given():
    spec = DataSpec((1, 2, 2), classes=3)
    (found,) = read(Levels(3), CHAIN, spec, n=5)
    assert found.labels.tolist() == found.cond["label"].tolist() == [0, 1, 2, 0, 1]
    (found,) = read(Levels(3), CHAIN, spec, n=5, label=2)
    assert found.cond["label"].tolist() == [2] * 5
    (found,) = read(Levels(), CHAIN, spec, n=2, label=1)
    assert found.cond["label"].tolist() == [1, 1]
    (found,) = read(Levels(3), CHAIN, SPEC, n=5)
    assert found.labels is None and found.cond is None


@pytest.mark.parametrize(
    ("examples", "spec", "n", "error", "message"),
    [
        (Levels(), DataSpec((4,)), 1, ConfigError, r"made for examples of shape \(4,\); this data has \(1, 2, 2\)."),
        (
            Levels(),
            DataSpec((1, 2, 2), 3),
            1,
            ConfigError,
            "labels of 3 classes, and this data has no labels; give --l",
        ),
        (Levels(5), DataSpec((1, 2, 2), 3), 1, ConfigError, "labels of 3 classes, and this data has labels of 5; give"),
        (Levels(), SPEC, 9, DataError, "There are 10 examples; 2 to 10 were asked for."),
    ],
)
def test_what_a_model_cannot_take_is_refused(examples, spec, n, error, message):
    with pytest.raises(error, match=message):
        next(read(examples, CHAIN, spec, n=n, first=2))


def test_states_take_the_dtype_that_is_asked_for():
    (found,) = read(Levels(), CHAIN, SPEC, n=2, dtype=torch.float64)
    assert found.x.dtype == torch.float64
