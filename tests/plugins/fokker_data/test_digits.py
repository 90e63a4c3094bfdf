import torch
from sklearn.datasets import load_digits

from fokker_data.digits import Digits
from fokker_data.transforms import Dequantise, Range


def test_splits_are_the_whole_of_the_digits():
    digits = load_digits()
    whole = sorted(zip((digits.images / 16).reshape(-1, 64).tolist(), digits.target.tolist(), strict=True))
    found, sizes = [], []
    for split in ("train", "test"):
        examples = Digits().open(split)
        assert examples.event_shape == (1, 8, 8) and examples.classes == 10
        batch = examples.fetch(range(len(examples)))
        assert batch.x.shape[1:] == (1, 8, 8)
        sizes.append(len(examples))
        found += zip(batch.x.flatten(1).tolist(), batch.cond["label"].tolist(), strict=True)
    assert sorted(found) == whole
    assert sizes == [1437, 360]


def test_both_splits_hold_every_class():
    for split, least in (("train", 130), ("test", 30)):
        examples = Digits().open(split)
        labels = examples.fetch(range(len(examples))).cond["label"]
        assert torch.bincount(labels, minlength=10).min() >= least


def test_values_are_17_levels_in_the_unit_interval():
    examples = Digits().open()
    x = examples.fetch(range(len(examples))).x
    assert torch.equal(x.unique(), torch.arange(17) / 16)
    Dequantise(levels=17).fit(x)
    assert Digits().transforms == (Range(-1, 1),)
