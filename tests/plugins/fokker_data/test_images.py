import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from fokker.errors import ConfigError, DataError
from fokker_data.images import Images
from fokker_data.transforms import Range

RANDOM = np.random.RandomState(0)


def pixels(height, width, *channels, high=256, dtype=np.uint8):
    return RANDOM.randint(0, high, (height, width, *channels)).astype(dtype)


def save(path, array, **settings):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **settings)
    return path


def only(root, **fields):
    """The one picture under a folder."""
    return Images(str(root), test_share=0.0, **fields).open().fetch([0]).x[0]


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "PNG", "ppm", "webp"])
def test_pictures_without_loss_are_read_exactly(tmp_path, suffix):
    array = pixels(5, 7, 3)
    save(tmp_path / f"a.{suffix}", array, **({"lossless": True} if suffix == "webp" else {}))
    expected = torch.from_numpy(array).permute(2, 0, 1) / 255
    assert torch.equal(only(tmp_path), expected)


def test_jpeg_is_read_nearly(tmp_path):
    array = np.full((16, 16, 3), [200, 100, 50], np.uint8)
    save(tmp_path / "a.jpeg", array)
    assert (only(tmp_path) * 255 - torch.from_numpy(array).permute(2, 0, 1)).abs().max() <= 4


@pytest.mark.parametrize(("mode", "channels"), [("grey", 1), ("rgb", 3), ("rgba", 4)])
@pytest.mark.parametrize("stored", [(), (3,), (4,)])
def test_modes_have_their_channels(tmp_path, mode, channels, stored):
    array = pixels(4, 6, *stored)
    save(tmp_path / "a.png", array)
    x = only(tmp_path, mode=mode)
    assert x.shape == (channels, 4, 6) and x.dtype == torch.float32
    if stored == ():
        assert all(torch.equal(plane * 255, torch.from_numpy(array).float()) for plane in x[:3])
    if mode == "rgba":
        alpha = array[..., 3] if stored == (4,) else np.full((4, 6), 255)
        assert torch.equal(x[3] * 255, torch.from_numpy(alpha).float())


@pytest.mark.parametrize(("mode", "channels"), [("grey", 1), ("rgb", 3), ("rgba", 4)])
def test_16_bits_are_kept(tmp_path, mode, channels):
    array = pixels(4, 6, high=65536, dtype=np.uint16)
    save(tmp_path / "a.png", array)
    x = only(tmp_path, mode=mode)
    assert x.shape == (channels, 4, 6)
    expected = torch.from_numpy(array.astype(np.float32)) / 65535
    assert all(torch.equal(plane, expected) for plane in x[:3])
    assert mode != "rgba" or (x[3] == 1).all()


def test_16_bits_are_resized_within_the_unit_interval(tmp_path):
    array = np.zeros((20, 20), np.uint16)
    array[:, 10:] = 65535
    save(tmp_path / "a.png", array)
    x = only(tmp_path, mode="grey", size=(7, 9), resize="stretch")
    assert x.shape == (1, 7, 9) and x.min() == 0 and x.max() == 1


def test_values_without_a_known_range_are_refused(tmp_path):
    save(tmp_path / "a.tif", np.ones((3, 3), np.float32))
    with pytest.raises(DataError, match=r"a\.tif has values of no known range \(mode F\)"):
        only(tmp_path)


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
@pytest.mark.parametrize(
    ("orientation", "turn"), [(1, np.asarray), (3, lambda a: np.rot90(a, 2)), (6, lambda a: np.rot90(a, -1))]
)
def test_pictures_are_turned_as_their_orientation_says(tmp_path, suffix, orientation, turn):
    array = pixels(3, 5)
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(tmp_path / f"a.{suffix}", array, exif=exif, **({"lossless": True} if suffix == "webp" else {}))
    x = only(tmp_path, mode="grey")
    assert torch.equal(x[0] * 255, torch.from_numpy(turn(array).copy()).float())


# -- sizes


def test_crop_keeps_proportions_and_the_middle(tmp_path):
    array = np.zeros((20, 60), np.uint8)
    array[:, 20:40] = 255
    save(tmp_path / "a.png", array)
    assert (only(tmp_path, mode="grey", size=(10, 10), resize="crop")[:, :, 1:-1] == 1).all()
    stretched = only(tmp_path, mode="grey", size=(20, 30), resize="stretch")
    assert stretched.shape == (1, 20, 30)
    assert (stretched[..., 11:19] == 1).all() and (stretched[..., :8] == 0).all() and (stretched[..., 22:] == 0).all()


def test_a_picture_of_the_right_size_is_left_as_it_is(tmp_path):
    array = pixels(6, 9, 4)
    save(tmp_path / "a.png", array)
    for resize in ("none", "crop", "stretch"):
        x = only(tmp_path, mode="rgba", size=(6, 9), resize=resize)
        assert torch.equal(x * 255, torch.from_numpy(array).permute(2, 0, 1).float())


def test_sizes_must_agree_unless_they_are_changed(tmp_path):
    save(tmp_path / "a.png", pixels(6, 9))
    save(tmp_path / "b.png", pixels(6, 8))
    with pytest.raises(DataError, match=r"b\.png has 6x8 pixels .*a\.png has 6x9.*resize=crop"):
        Images(str(tmp_path)).open()
    with pytest.raises(DataError, match=r"a\.png has 6x9 pixels .*size asks for 6x8"):
        Images(str(tmp_path), size=(6, 8)).open()
    assert len(Images(str(tmp_path), size=(6, 8), resize="crop", test_share=0.0).open().fetch([0, 1]).x) == 2
    with pytest.raises(ConfigError, match="needs a size"):
        Images(str(tmp_path), resize="crop")


def test_a_picture_that_changes_afterwards_is_named(tmp_path):
    path = save(tmp_path / "a.png", pixels(6, 9))
    examples = Images(str(tmp_path), test_share=0.0).open()
    save(path, pixels(9, 6))
    with pytest.raises(DataError, match=r"a\.png has 9x6 pixels .*not 6x9"):
        examples.fetch([0])


# -- the folder


@pytest.fixture
def tree(tmp_path):
    """Forty pictures in two folders, each of one grey value that is its number; and files that are no pictures."""
    for i in range(40):
        save(tmp_path / ("cats" if i % 2 else "ants") / "more" / f"{i:02}.png", np.full((3, 4), i, np.uint8))
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "ants" / "._00.png").write_text("no picture")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "00.png").write_text("no picture")
    return tmp_path


def numbers(examples):
    return (examples.fetch(range(len(examples))).x[:, 0, 0, 0] * 255).round().int().tolist()


def test_pictures_come_in_the_order_of_their_paths(tree):
    examples = Images(str(tree), mode="grey", test_share=0.0).open()
    assert examples.event_shape == (1, 3, 4) and examples.classes is None
    assert numbers(examples) == [*range(0, 40, 2), *range(1, 40, 2)]
    batch = examples.fetch(np.array([21, 0, 21]))
    assert (batch.x[:, 0, 0, 0] * 255).tolist() == [3, 0, 3] and batch.cond == {}
    assert examples.fetch([]).x.shape == (0, 1, 3, 4)


def test_folders_are_classes(tree):
    for split in ("train", "test"):
        examples = Images(str(tree), mode="grey", labels=True, test_share=0.3).open(split)
        assert examples.classes == 2
        assert examples.fetch(range(len(examples))).cond["label"].tolist() == [n % 2 for n in numbers(examples)]
    save(tree / "loose.png", pixels(3, 4))
    with pytest.raises(DataError, match=r"loose\.png is in no sub-folder"):
        Images(str(tree), labels=True).open()


def test_splits_depend_on_the_path_alone(tree):
    source = Images(str(tree), mode="grey", test_share=0.3)
    train, test = numbers(source.open("train")), numbers(source.open("test"))
    assert sorted(train + test) == list(range(40))
    assert 4 <= len(test) <= 20
    assert set(numbers(Images(str(tree), mode="grey", test_share=0.2).open("test"))) < set(test)
    moved = tree.rename(tree.with_name("elsewhere"))
    save(moved / "bees" / "00.png", np.full((3, 4), 200, np.uint8))
    again = numbers(Images(str(moved), mode="grey", test_share=0.3).open("test"))
    assert [n for n in again if n < 200] == test


def test_accents_do_not_change_the_split(tmp_path):
    names = [f"caf\u00e9-{i}.png" for i in range(30)]
    for form, folder in ((lambda n: n, "composed"), (lambda n: n.replace("\u00e9", "e\u0301"), "decomposed")):
        for i, name in enumerate(names):
            save(tmp_path / folder / form(name), np.full((2, 2), i, np.uint8))
    splits = [numbers(Images(str(tmp_path / f), test_share=0.5).open("test")) for f in ("composed", "decomposed")]
    assert splits[0] == splits[1]


def test_an_empty_split_is_refused(tmp_path):
    save(tmp_path / "a.png", pixels(3, 4))
    with pytest.raises(DataError, match=r"the test split is empty \(1 pictures, test_share=0\): raise test_share"):
        Images(str(tmp_path), test_share=0.0).open("test")


def test_a_folder_without_pictures_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere is no folder"):
        Images(str(tmp_path / "nowhere")).open()
    with pytest.raises(DataError, match="holds no pictures"):
        Images(str(tmp_path)).open()


@pytest.mark.parametrize("keep", [0, 10, 40, 200])
def test_an_unreadable_picture_is_named(tmp_path, keep):
    save(tmp_path / "good.png", pixels(20, 20))
    path = save(tmp_path / "bad.png", pixels(20, 20))
    path.write_bytes(path.read_bytes()[:keep])
    examples = Images(str(tmp_path), size=(20, 20), resize="stretch", test_share=0.0).open()
    assert examples.fetch([1]).x.shape == (1, 3, 20, 20)
    with pytest.raises(DataError, match=r"bad\.png cannot be read as a picture"):
        examples.fetch([1, 0])


def test_an_unreadable_header_is_found_on_opening(tmp_path):
    (tmp_path / "bad.jpg").write_text("no picture")
    with pytest.raises(DataError, match=r"bad\.jpg cannot be read as a picture \(it is no picture of a known format\)"):
        Images(str(tmp_path)).open()


def test_opening_decodes_nothing_and_examples_can_be_sent_to_another_process(tree, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise AssertionError("a picture was decoded")

    with monkeypatch.context() as patch:
        patch.setattr("PIL.PngImagePlugin.PngImageFile.load", refuse)
        examples = Images(str(tree), mode="grey", test_share=0.0).open()
    assert numbers(pickle.loads(pickle.dumps(examples))) == numbers(examples)
    assert Images(str(tree)).transforms == (Range(-1, 1),)
