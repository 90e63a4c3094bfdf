import gzip
import hashlib

import numpy as np
import pytest
import torch

from fokker.errors import DataError
from fokker_data import fashion_mnist
from fokker_data.fashion_mnist import MIRRORS, SHA256, FashionMNIST, download


@pytest.fixture
def small(tmp_path, monkeypatch, write_idx):
    """A folder of four small files whose sums are taken for the published ones; returns (root, contents by name)."""
    random = np.random.RandomState(0)
    contents = {}
    for stem, n in (("train", 7), ("t10k", 3)):
        for name, array in (
            (f"{stem}-images-idx3-ubyte", random.randint(0, 256, (n, 28, 28)).astype("u1")),
            (f"{stem}-labels-idx1-ubyte", random.randint(0, 10, n).astype("u1")),
        ):
            contents[name] = write_idx(name, array).read_bytes()
            monkeypatch.setitem(SHA256, name, hashlib.sha256(contents[name]).hexdigest())
    return tmp_path, contents


def refuse(url, target):
    raise AssertionError(f"nothing is to be downloaded, {url} was")


def test_the_published_test_split(shared):
    examples = FashionMNIST(root=str(shared / "data" / "fashion-mnist")).open("test")
    assert len(examples) == 10_000 and examples.event_shape == (1, 32, 32) and examples.classes == 10
    batch = examples.fetch([0, 1, 2, 3])
    assert batch.cond["label"].tolist() == [9, 2, 1, 1]  # ankle boot, pullover, trousers, trousers
    x = batch.x
    assert x.dtype == torch.float32 and x.min() == 0 and x.max() == 1
    assert not x[:, :, :2].any() and not x[:, :, -2:].any() and not x[..., :2].any() and not x[..., -2:].any()
    assert torch.equal(x * 255, (x * 255).round())


def test_splits_pad_and_labels(small, monkeypatch):
    root, contents = small
    monkeypatch.setattr(fashion_mnist, "_fetch", refuse)
    for split, stem, n in (("train", "train", 7), ("test", "t10k", 3)):
        pixels = np.frombuffer(contents[f"{stem}-images-idx3-ubyte"], "u1", offset=16).reshape(n, 1, 28, 28)
        expected = torch.from_numpy(pixels.copy()) / 255
        for pad in (0, 2, 5):
            examples = FashionMNIST(root=str(root), pad=pad).open(split)
            assert examples.event_shape == (1, 28 + 2 * pad, 28 + 2 * pad)
            batch = examples.fetch(range(n))
            assert torch.equal(batch.x, torch.nn.functional.pad(expected, (pad,) * 4))
            assert batch.cond["label"].tolist() == list(contents[f"{stem}-labels-idx1-ubyte"][8:])


def test_files_may_be_packed_by_any_gzip(small, monkeypatch):
    root, contents = small
    monkeypatch.setattr(fashion_mnist, "_fetch", refuse)
    for name, data in contents.items():
        (root / name).unlink()
        (root / f"{name}.gz").write_bytes(gzip.compress(data, compresslevel=1, mtime=7))
    assert len(FashionMNIST(root=str(root)).open("train")) == 7


def test_only_the_files_of_the_split_are_read(small, monkeypatch):
    root, contents = small
    monkeypatch.setattr(fashion_mnist, "_fetch", refuse)
    for name in contents:
        if name.startswith("train"):
            (root / name).unlink()
    assert len(FashionMNIST(root=str(root)).open("test")) == 3


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-1], "is not the published file.*delete it"),
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "is not the published file.*delete it"),
        (lambda data: b"<html>sign in</html>", "is not the published file.*its 20 unpacked bytes"),
        (lambda data: gzip.compress(data, mtime=0)[:-30], "truncated or damaged"),
    ],
    ids=["cut short", "one bit flipped", "a web page", "packed and cut short"],
)
@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"])
def test_a_damaged_file_is_named_and_left_alone(small, monkeypatch, name, damage, message):
    root, contents = small
    monkeypatch.setattr(fashion_mnist, "_fetch", refuse)
    (root / name).write_bytes(damage(contents[name]))
    with pytest.raises(DataError, match=f"{name}.*{message}"):
        FashionMNIST(root=str(root)).open("train")
    assert (root / name).read_bytes() == damage(contents[name])


def test_a_file_in_the_place_of_another_is_named(small):
    root, contents = small
    (root / "t10k-images-idx3-ubyte").write_bytes(contents["train-images-idx3-ubyte"])
    with pytest.raises(DataError, match="t10k-images-idx3-ubyte is not the published file"):
        FashionMNIST(root=str(root)).open("test")


def test_missing_files_are_downloaded_once(small, monkeypatch):
    source, contents = small
    root = source / "new" / "folder"
    asked = []

    def fetch(url, target):
        asked.append(url)
        target.write_bytes(gzip.compress(contents[url.rsplit("/", 1)[1].removesuffix(".gz")]))

    monkeypatch.setattr(fashion_mnist, "_fetch", fetch)
    for _ in range(2):
        assert len(FashionMNIST(root=str(root)).open("test")) == 3
    assert asked == [f"{MIRRORS[0]}t10k-labels-idx1-ubyte.gz", f"{MIRRORS[0]}t10k-images-idx3-ubyte.gz"]
    assert sorted(p.name for p in root.iterdir()) == ["t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"]


def test_the_next_mirror_is_asked_when_one_fails(small, monkeypatch):
    source, contents = small
    name = "t10k-labels-idx1-ubyte"

    def fetch(url, target):
        if url.startswith(MIRRORS[0]):
            target.write_bytes(b"half a file")
            raise ConnectionError("lost")
        if url.startswith(MIRRORS[1]):
            target.write_bytes(b"<html>sign in</html>")
        else:
            target.write_bytes(contents[name])  # unpacked by the server on the way: the contents count

    monkeypatch.setattr(fashion_mnist, "_fetch", fetch)
    path = download(name, source / "new")
    assert path.name == f"{name}.gz" and path.read_bytes() == contents[name]


def test_a_download_that_fails_everywhere_says_why_and_leaves_nothing(small, monkeypatch):
    source, _ = small

    def fetch(url, target):
        if url.startswith(MIRRORS[1]):
            target.write_bytes(b"<html>sign in</html>")
        else:
            raise TimeoutError("a very long story")

    monkeypatch.setattr(fashion_mnist, "_fetch", fetch)
    with pytest.raises(DataError, match="is not there and could not be downloaded") as error:
        FashionMNIST(root=str(source / "new")).open()
    message = str(error.value)
    assert "train-labels-idx1-ubyte.gz" in message
    assert "amazonaws.com: TimeoutError, github.com: wrong contents" in message and "\n" not in message
    assert "set root" in message
    assert not (source / "new").exists()


def test_a_folder_that_cannot_be_made_is_named(small):
    source, _ = small
    (source / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"folder cannot be written.*set root"):
        FashionMNIST(root=str(source / "file" / "folder")).open()


def test_downloads_go_through_pooch(tmp_path, monkeypatch):
    seen = {}

    class Downloader:
        def __init__(self, **settings):
            seen.update(settings)

        def __call__(self, url, output_file, pooch):
            seen.update(url=url, output_file=output_file)

    monkeypatch.setattr("pooch.HTTPDownloader", Downloader)
    fashion_mnist._fetch("https://example.org/a.gz", tmp_path / "a.gz")
    assert seen["url"] == "https://example.org/a.gz" and seen["output_file"] == str(tmp_path / "a.gz")
    assert seen["timeout"] > 0
