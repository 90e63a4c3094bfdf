"""A folder tree of pictures, decoded one by one when they are asked for."""

import hashlib
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated

import numpy as np
import torch
from annotated_types import Gt, Interval
from numpy.typing import NDArray

from fokker.component import component
from fokker.data import Batch, DataSource, Examples, Split, Transform
from fokker.errors import ConfigError, DataError
from fokker_data.pictures import MODES, Mode, Resize, picture_size, read_picture, unreadable
from fokker_data.stored import positions
from fokker_data.transforms import Range

__all__ = ["Images"]

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})


@component
class Images(DataSource):
    """Pictures under a folder, values in [0, 1], event shape (channels, height, width).

    Examples are in the order of their paths. Pictures are turned as their EXIF orientation says; of an animation the
    first frame is taken. Whether a picture is in the test split depends on its path under `root` alone, so adding
    pictures moves none.

    Args:
        root: Folder; all .png, .jpg, .jpeg, .bmp, .gif, .tif, .tiff, .webp, .pgm and .ppm files under it are read,
            hidden ones excepted.
        size: Height and width in pixels; none: that of the pictures, which must agree.
        mode: What pictures are converted to; `rgb` and `grey` drop an alpha channel.
        resize: How a picture is brought to `size`: `crop` scales it to cover the frame and cuts what stands over at
            the longer sides, `stretch` changes its proportions, `none` demands that it fits (the headers of all are
            then read on opening).
        labels: Whether the folders directly under `root` are classes, numbered in the order of their names.
        test_share: Share of pictures in the test split, in [0, 1); met on average.
        transforms: Applied in this order on the way to the model.
    """

    root: str
    size: tuple[Annotated[int, Gt(0)], Annotated[int, Gt(0)]] | None = None
    mode: Mode = "rgb"
    resize: Resize = "none"
    labels: bool = False
    test_share: Annotated[float, Interval(ge=0, lt=1)] = 0.1
    transforms: tuple[Transform, ...] = (Range(-1.0, 1.0),)

    def __post_init__(self) -> None:
        if self.size is None and self.resize != "none":
            raise ConfigError(f"Images(resize={self.resize}) needs a size to resize to: set size=[height, width].")

    def open(self, split: Split = "train") -> Examples:
        """Open a split; no picture is decoded yet.

        Raises:
            DataError: If there are no pictures, or they differ in size and `resize` is `none`, or one lies outside of
                the folders that are classes.
        """
        root = Path(self.root)
        paths = _pictures(root)
        size = self._size(root, paths)
        folders = {name: k for k, name in enumerate(sorted({PurePosixPath(p).parts[0] for p in paths}))}
        if self.labels:
            loose = next((p for p in paths if "/" not in p), None)
            if loose is not None:
                raise DataError(f"{root / loose} is in no sub-folder, so it has no class: move it into one.")
        chosen = [p for p in paths if _in_test(p, self.test_share) == (split == "test")]
        if not chosen:
            raise DataError(
                f"{root}: the {split} split is empty ({len(paths)} pictures, test_share={self.test_share:g}): "
                f"{'raise' if split == 'test' else 'lower'} test_share or take the other split."
            )
        labels = [folders[PurePosixPath(p).parts[0]] for p in chosen] if self.labels else None
        return _ImageExamples(root, chosen, size, self.mode, self.resize, labels, len(folders))

    def _size(self, root: Path, paths: list[str]) -> tuple[int, int]:
        if self.resize != "none" and self.size is not None:
            return self.size
        size, asked = self.size, "size asks for"
        for path in paths:
            found = _size_on_disk(root / path)
            if size is None:
                size, asked = found, f"{root / path} has"
            if found != size:
                raise DataError(
                    f"{root / path} has {found[0]}x{found[1]} pixels (height x width), {asked} {size[0]}x{size[1]}: "
                    f"set size=[height, width] and resize=crop or resize=stretch."
                )
        assert size is not None  # there is at least one picture
        return size


class _ImageExamples(Examples):
    """Pictures by their paths under a root."""

    def __init__(
        self,
        root: Path,
        paths: list[str],
        size: tuple[int, int],
        mode: Mode,
        resize: Resize,
        labels: list[int] | None,
        classes: int,
    ) -> None:
        self.event_shape = (MODES[mode][1], *size)
        self.classes = None if labels is None else classes
        self._root = root
        self._paths = paths
        self._size = size
        self._mode = mode
        self._resize = resize
        self._labels = None if labels is None else np.array(labels, np.int64)

    def __len__(self) -> int:
        return len(self._paths)

    def fetch(self, index: Sequence[int]) -> Batch:
        wanted = positions(index, len(self))
        x = np.empty((len(wanted), *self.event_shape), np.float32)
        for i, k in enumerate(wanted):
            x[i] = self._read(self._root / self._paths[k])
        cond = {} if self._labels is None else {"label": torch.from_numpy(self._labels[wanted])}
        return Batch(torch.from_numpy(x), cond)

    def _read(self, path: Path) -> NDArray[np.float32]:
        try:
            # Given a path, Pillow maps an uncompressed TIFF, and mixes up the pixels of one that is to be turned.
            with path.open("rb") as file:
                x = read_picture(file, str(path), self._mode, self._size, self._resize)
        except OSError as error:
            raise unreadable(str(path), error) from error
        if x.shape != self.event_shape:
            raise DataError(
                f"{path} has {x.shape[1]}x{x.shape[2]} pixels (height x width), not {self._size[0]}x{self._size[1]}: "
                f"it has changed since the folder was opened."
            )
        return x


def _pictures(root: Path) -> list[str]:
    """Paths of the pictures under a folder, relative to it with forward slashes, sorted."""
    if not root.is_dir():
        raise DataError(f"{root} is no folder: set root to the folder that holds the pictures.")
    found = []
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = [s for s in subfolders if not s.startswith(".")]
        inside = Path(folder).relative_to(root)
        found += [
            (inside / f).as_posix() for f in files if not f.startswith(".") and Path(f).suffix.lower() in SUFFIXES
        ]
    if not found:
        raise DataError(f"{root} holds no pictures ({', '.join(sorted(SUFFIXES))}).")
    return sorted(found)


def _in_test(path: str, test_share: float) -> bool:
    """Whether a picture is in the test split: a hash of its path, as a number in [0, 1), is below the share."""
    normal = unicodedata.normalize("NFC", path)  # file systems differ in how they store accents
    digest = hashlib.blake2b(normal.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < test_share * 2**64


def _size_on_disk(path: Path) -> tuple[int, int]:
    try:
        with path.open("rb") as file:
            return picture_size(file, str(path))
    except OSError as error:
        raise unreadable(str(path), error) from error
