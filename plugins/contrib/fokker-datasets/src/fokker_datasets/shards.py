"""Tar shards of the library webdataset."""

import glob
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from annotated_types import Gt, Interval
from webdataset.shardlists import expand_urls

from fokker.component import component
from fokker.data import DataSource, Examples, Split, Transform
from fokker.errors import ConfigError, DataError
from fokker_data.pictures import Mode, Resize
from fokker_data.transforms import Range, Standardise
from fokker_datasets.files import stamps
from fokker_datasets.store import Survey, examples_of, survey
from fokker_datasets.tar import Shards
from fokker_datasets.value import Value, value_of

__all__ = ["WebDataset"]


@component
class WebDataset(DataSource):
    """Samples in tar shards: pictures in [0, 1], (channels, height, width), or numbers of .npy files, (*D).

    Where each sample begins is found from the headers on opening, so that any is read by its position. Pickled objects
    are not read, and nothing is downloaded.

    Args:
        path: A shard, a pattern such as `shards/train-*.tar` or `shards/train-{000..015}.tar`, or a folder of
            .tar files.
        image: Suffix of a sample's picture, such as `jpg`; several that are looked for in turn, `jpg;png`.
        array: Suffix of a sample's .npy file.
        label: Suffix of a sample's class, a text with a whole number from 0, or a word; words are numbered in the order
            of the alphabet.
        size: Height and width in pixels; none: that of the first picture, which all must have.
        mode: What pictures are converted to; `rgb` and `grey` drop an alpha channel.
        resize: How a picture is brought to `size`: `crop` scales it to cover the frame and cuts what stands over at
            the longer sides, `stretch` changes its proportions, `none` demands that it fits.
        shape: Shape that the numbers of an example are brought to, of `array` only; none: their own.
        together: Number of shards that are mixed at a time.
        skip: Whether broken shards and samples are left out and counted; every sample is decoded once to find them.
        test: The shards of the test split, as in `path`, which are then no part of the training split; a share of the
            samples in `path` unless given.
        test_share: That share, spread evenly, in [0, 1).
        transforms: Applied in this order on the way to the model; unless given `range` for pictures, and `standardise`
            for numbers.
    """

    path: str
    image: str | None = None
    array: str | None = None
    label: str | None = None
    size: tuple[Annotated[int, Gt(0)], Annotated[int, Gt(0)]] | None = None
    mode: Mode = "rgb"
    resize: Resize = "none"
    shape: tuple[Annotated[int, Gt(0)], ...] | None = None
    together: Annotated[int, Gt(0)] = 8
    skip: bool = False
    test: str | None = None
    test_share: Annotated[float, Interval(ge=0, lt=1)] = 0.1
    transforms: tuple[Transform, ...] | None = None  # type: ignore[assignment]  # filled in below

    def __post_init__(self) -> None:
        if self.transforms is None:
            usual = Standardise() if self.image is None else Range(-1.0, 1.0)
            object.__setattr__(self, "transforms", (usual,))
        if self.test is not None and self.test_share != type(self).test_share:
            raise ConfigError(
                "WebDataset.test_share has no effect beside test, whose shards are the split: leave it out."
            )

    def open(self, split: Split = "train") -> Examples:
        """Open a split; the headers of its shards are read, and without `skip` no sample but the first.

        Raises:
            ConfigError: If it is not one of pictures and numbers that is asked for, or a field has no effect on it.
            DataError: If there is no such shard, or one is broken and `skip` is not given.
        """
        value = value_of(
            type(self).__name__,
            self.image,
            self.array,
            size=self.size,
            mode=self.mode,
            resize=self.resize,
            shape=self.shape,
        )
        own = self.test is not None
        where = self.test if split == "test" and self.test is not None else self.path
        files = _shards(where)
        if self.test is not None and split == "train":
            held_out = {file.resolve() for file in _shards(self.test)}
            files = tuple(file for file in files if file.resolve() not in held_out)
            if not files:
                raise DataError(
                    f"{self.path} holds no shards but those of test={self.test}: name others, or leave test out."
                )
        suffixes = tuple(s.strip().lower() for s in (self.image or self.array or "").split(";"))
        label = None if self.label is None else self.label.lower()
        store, seen = _looked_through(files, value, suffixes, label, self.skip, stamps(files))
        share = 0.0 if own else self.test_share
        return examples_of(
            store, seen, "train" if own else split, test_share=share, together=self.together, where=where
        )


def _shards(path: str) -> tuple[Path, ...]:
    """The shards that a path names, in the order of their names.

    Raises:
        DataError: If there is none, or it is no path.
    """
    if "://" in path or path.startswith("pipe:"):
        raise DataError(f"{path} is no path: shards are read from the disk, download them first.")
    if Path(path).is_dir():
        found = sorted(Path(path).glob("*.tar"))
    else:
        found = []
        for name in expand_urls(path):
            here = sorted(glob.glob(name)) if glob.has_magic(name) else [name]
            found += [Path(f) for f in here]
    if not found:
        raise DataError(f"{path} names no .tar files: set path to shards on the disk.")
    return tuple(dict.fromkeys(found))


@lru_cache(maxsize=8)  # `fokker train` opens its data several times, and to look through it may take long
def _looked_through(
    files: tuple[Path, ...],
    value: Value,
    suffixes: tuple[str, ...],
    label: str | None,
    skip: bool,
    stamps: tuple[tuple[int, int], ...],
) -> tuple[Shards, Survey]:
    store = Shards(files, value, suffixes, label, skip)
    return store, survey(store, skip, value.shape)
