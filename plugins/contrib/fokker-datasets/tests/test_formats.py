"""Every format gives the examples that were put into it."""

import numpy as np
import pytest
import torch
from made import SHAPE, N, picture, wave

from fokker.errors import ConfigError, DataError
from fokker_data.transforms import Range, Standardise


def pixels(i):
    return torch.from_numpy(np.asarray(picture(i), np.float32).transpose(2, 0, 1) / np.float32(255))


PICTURES = {
    "parquet": ("hf", {"path": "parquet", "image": "image", "label": "label"}),
    "one file": ("hf", {"path": "parquet/[ab].parquet", "image": "image", "label": "label"}),
    "saved": ("hf", {"path": "saved", "image": "image", "label": "label"}),
    "mapped": ("hf", {"path": "saved", "image": "image", "label": "label", "streaming": False}),
    "shards": ("webdataset", {"path": "shards", "image": "jpg;png", "label": "cls"}),
    "braces": ("webdataset", {"path": "shards/w-{0..3}.tar", "image": "png", "label": "cls"}),
}


def opened(source, folder, which, **more):
    name, fields = which
    return source(name, **{**fields, "path": str(folder / fields["path"]), **more})


@pytest.mark.parametrize("which", PICTURES)
def test_pictures_come_as_they_were_stored(source, folder, which):
    examples = opened(source, folder, PICTURES[which], test_share=0.0).open()
    assert (len(examples), examples.event_shape, examples.classes, examples.notes) == (N, (3, *SHAPE), 3, ())
    order = [39, 0, 17, 17, 26, 3]
    batch = examples.fetch(order)
    assert torch.equal(batch.x, torch.stack([pixels(i) for i in order]))
    assert batch.cond["label"].tolist() == [i % 3 for i in order]
    assert (examples.blocks is None) == (which == "mapped")


def test_a_folder_of_pictures_has_its_own_splits_and_classes(source, folder):
    data = source("hf", path=str(folder / "pictures"), image="image", label="label")
    for split, numbers in (("train", range(30)), ("test", range(30, N))):
        examples = data.open(split)
        assert (len(examples), examples.event_shape, examples.classes) == (len(numbers), (3, *SHAPE), 3)
        batch = examples.fetch(range(len(examples)))
        found = (batch.x[:, 0, 0, 0] * 255).round().int().tolist()
        assert sorted(found) == list(numbers)
        assert batch.cond["label"].tolist() == [i % 3 for i in found]
        assert torch.equal(batch.x, torch.stack([pixels(i) for i in found]))


NUMBERS = {
    "a list": ("hf", {"path": "parquet", "array": "wave"}, (9,), wave),
    "a list, saved": ("hf", {"path": "saved", "array": "wave"}, (9,), wave),
    "a list, mapped": ("hf", {"path": "saved", "array": "wave", "streaming": False}, (9,), wave),
    "an npy": ("webdataset", {"path": "shards", "array": "npy"}, (9,), wave),
    "a field": ("hf", {"path": "parquet", "array": "field"}, (2, 3), lambda i: np.full((2, 3), i)),
    "a number": ("hf", {"path": "parquet", "array": "one"}, (1,), lambda i: np.array([i])),
    "a shape": ("hf", {"path": "parquet", "array": "wave", "shape": [1, 3, 3]}, (1, 3, 3), lambda i: wave(i)),
    "npy, a shape": ("webdataset", {"path": "shards", "array": "npy", "shape": [3, 3]}, (3, 3), lambda i: wave(i)),
}


@pytest.mark.parametrize("which", NUMBERS)
def test_numbers_of_any_shape_come_as_they_were_stored(source, folder, which):
    name, fields, shape, expected = NUMBERS[which]
    data = opened(source, folder, (name, fields), test_share=0.0)
    examples = data.open()
    assert (len(examples), examples.event_shape, examples.classes) == (N, shape, None)
    order = [11, 38, 0, 11]
    wanted = torch.stack([torch.tensor(expected(i), dtype=torch.float32).reshape(shape) for i in order])
    assert torch.equal(examples.fetch(order).x, wanted)
    assert data.transforms == (Standardise(),)


def test_parquet_is_mapped_where_it_is_not_streamed(source, folder, tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    whole = source("hf", path=str(folder / "parquet"), array="wave", streaming=False, test_share=0.0).open()
    assert whole.blocks is None and torch.equal(whole.fetch([31]).x[0], torch.from_numpy(wave(31)))
    assert list(tmp_path.rglob("*.arrow"))


def test_words_are_classes_in_the_order_of_the_alphabet(source, folder):
    examples = source("hf", path=str(folder / "parquet"), array="one", label="word", test_share=0.0).open()
    assert examples.classes == 2
    assert examples.fetch([0, 1, 2, 39]).cond["label"].tolist() == [0, 1, 0, 1]


def test_pictures_are_brought_to_a_size(source, folder):
    for name, fields in (PICTURES["parquet"], PICTURES["shards"]):
        data = opened(source, folder, (name, fields), size=[4, 8], resize="crop", mode="grey")
        assert data.open().fetch([1]).x.shape == (1, 1, 4, 8)
        assert data.transforms == (Range(-1.0, 1.0),)


def test_splits_share_no_example_and_miss_none(source, folder):
    for which in ("parquet", "saved", "shards"):
        data = opened(source, folder, PICTURES[which], test_share=0.25)
        seen = [
            (data.open(split).fetch(range(len(data.open(split)))).x[:, 0, 0, 0] * 255).round().int().tolist()
            for split in ("train", "test")
        ]
        assert sorted(seen[0] + seen[1]) == list(range(N)) and 6 <= len(seen[1]) <= 14


def test_shards_of_their_own_are_the_test_split(source, folder):
    path = str(folder / "shards")
    data = source("webdataset", path=f"{path}/w-[01].tar", test=f"{path}/w-2.tar", array="npy")
    assert (len(data.open()), len(data.open("test"))) == (20, 10)
    assert data.open("test").fetch([0]).x[0, 0] == 20
    # a folder that has them too does not train on them
    whole = source("webdataset", path=path, test=f"{path}/w-2.tar", array="npy")
    assert len(whole.open()) == N - 10
    with pytest.raises(DataError, match="holds no shards but those of test="):
        source("webdataset", path=f"{path}/w-2.tar", test=f"{path}/w-2.tar", array="npy").open()


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("hf", {"path": "nowhere", "image": "image"}, "There is no file or folder .*nowhere"),
        ("hf", {"path": "parquet", "image": "picture"}, "has no column 'picture', it has image, label, word"),
        ("hf", {"path": "parquet", "image": "wave"}, "the column 'wave' holds .*no pictures"),
        ("hf", {"path": "parquet", "array": "word"}, "the column 'word' holds string, no numbers"),
        ("hf", {"path": "parquet", "array": "wave", "label": "kind"}, "has no column 'kind'"),
        ("hf", {"path": "parquet"}, "takes pictures or numbers: name one of image and array"),
        ("hf", {"path": "parquet", "image": "image", "array": "wave"}, "takes pictures or numbers"),
        ("hf", {"path": "parquet", "array": "wave", "mode": "grey"}, "mode has no effect on numbers"),
        ("hf", {"path": "parquet", "image": "image", "shape": [3]}, "shape has no effect on pictures"),
        ("hf", {"path": "parquet", "image": "image", "resize": "crop"}, "needs a size to resize to"),
        ("hf", {"path": "pictures", "image": "image", "streaming": False}, "streaming has no effect on a folder"),
        ("hf", {"path": "parquet", "array": "wave", "shape": [2, 3]}, r"has the shape \(9,\), which is not that of"),
        ("webdataset", {"path": "shards", "image": "jpg"}, "sample 0 .counted from 0. has no .jpg"),
        ("webdataset", {"path": "http://host/x.tar", "image": "jpg"}, "is no path: shards are read from the disk"),
        ("webdataset", {"path": "pictures", "image": "jpg"}, "names no .tar files"),
    ],
)
def test_what_cannot_be_read_is_one_line(source, folder, name, fields, message):
    if "://" not in fields["path"]:
        fields = {**fields, "path": str(folder / fields["path"])}
    with pytest.raises((ConfigError, DataError), match=message) as caught:
        source(name, **fields).open().fetch([0])
    assert "\n" not in str(caught.value)
