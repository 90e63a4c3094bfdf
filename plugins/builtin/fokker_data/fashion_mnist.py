"""Fashion-MNIST: 70,000 grey pictures of clothes (Xiao et al., 2017), read from four IDX files.

What is checked is what is inside: the SHA-256 sums are those of the unpacked files, so a file may be plain or packed
by any gzip.
"""

import hashlib
import logging
import os
import tempfile
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import numpy as np
from annotated_types import Ge

from fokker.component import component
from fokker.data import DataSource, Examples, Split, Transform
from fokker.errors import DataError
from fokker_data.idx import parse_idx, read_contents
from fokker_data.labels import check_labels
from fokker_data.stored import StoredExamples
from fokker_data.transforms import Range

__all__ = ["MIRRORS", "SHA256", "FashionMNIST", "download"]

MIRRORS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
)

SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}

log = logging.getLogger(__name__)


@component
class FashionMNIST(DataSource):
    """Pictures of clothes in ten classes (Xiao et al., 2017), values in [0, 1].

    The event shape is (1, 28 + 2 pad, 28 + 2 pad); there are 60,000 pictures to train and 10,000 to test. Only the
    files of the opened split are read; one that is not in `root` is downloaded into it from the published mirrors.

    Args:
        root: Folder of the four IDX files, plain or .gz.
        pad: Zeros added on each side; 2 gives 32x32 pixels, which halve five times.
        transforms: Applied in this order on the way to the model.
    """

    root: str = "data/fashion-mnist"
    pad: Annotated[int, Ge(0)] = 2
    transforms: tuple[Transform, ...] = (Range(-1.0, 1.0),)

    def open(self, split: Split = "train") -> Examples:
        """Open a split, downloading what is missing.

        Raises:
            DataError: If a file is damaged or not the published one, or is missing and cannot be downloaded.
        """
        stem = "train" if split == "train" else "t10k"
        labels_file = _find(Path(self.root), f"{stem}-labels-idx1-ubyte")
        images_file = _find(Path(self.root), f"{stem}-images-idx3-ubyte")
        labels = parse_idx(_checked(labels_file), labels_file)
        images = parse_idx(_checked(images_file), images_file)
        margin = (self.pad, self.pad)
        return StoredExamples(
            np.pad(images, ((0, 0), margin, margin))[:, None],
            scale=255,
            labels=check_labels(labels, len(images), str(labels_file)),
            classes=10,
            source=str(images_file),
        )


def download(name: str, root: Path) -> Path:
    """Download one file from the first mirror that has it whole, as `root/name.gz`.

    It is fetched and checked beside its place and then moved in: `root` never holds half a file, and is not made for
    none.

    Args:
        name: One of the names in `SHA256`.
        root: Folder, made if it is not there.

    Raises:
        DataError: If `root` cannot be written, or no mirror gave the published file; each failure is named.
    """
    target = root / f"{name}.gz"
    failures: list[tuple[str, Exception]] = []
    try:
        there = next(folder for folder in (root, *root.absolute().parents) if folder.exists())
        with tempfile.TemporaryDirectory(prefix=".download-", dir=there) as scratch:
            fetched = Path(scratch) / target.name
            for mirror in MIRRORS:
                try:
                    _fetch(mirror + target.name, fetched)
                    _checked(fetched)
                except (OSError, DataError) as error:
                    failures.append((mirror, error))
                else:
                    root.mkdir(parents=True, exist_ok=True)
                    os.replace(fetched, target)
                    return target
    except OSError as error:
        raise DataError(f"{root} cannot be written ({error.strerror or error}): set root to another folder.") from error
    reasons = ", ".join(f"{urlsplit(mirror).netloc}: {_reason(error)}" for mirror, error in failures)
    raise DataError(
        f"{target} is not there and could not be downloaded ({reasons}): put the four IDX files of Fashion-MNIST "
        f"there, or set root to the folder that holds them."
    ) from failures[-1][1]


def _fetch(url: str, target: Path) -> None:
    import pooch

    log.info("downloading %s", url)
    pooch.HTTPDownloader(timeout=30, chunk_size=2**20)(url, str(target), None)


def _reason(error: Exception) -> str:
    """In a word or two: the messages of network libraries fill a screen."""
    return "wrong contents" if isinstance(error, DataError) else type(error).__name__


def _find(root: Path, name: str) -> Path:
    for path in (root / name, root / f"{name}.gz"):
        if path.is_file():
            return path
    return download(name, root)


def _checked(path: Path) -> bytes:
    """Contents of a file if they are the published ones."""
    data = read_contents(path)
    found, expected = hashlib.sha256(data).hexdigest(), SHA256[path.name.removesuffix(".gz")]
    if found != expected:
        raise DataError(
            f"{path} is not the published file (its {len(data)} unpacked bytes have SHA-256 {found[:12]}..., expected "
            f"{expected[:12]}...): delete it to have it downloaded again, or put the right file there."
        )
    return data
