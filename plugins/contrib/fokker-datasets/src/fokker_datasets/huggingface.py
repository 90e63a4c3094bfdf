"""Datasets of Hugging Face's library `datasets`, from the disk."""

import glob
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import datasets
import pyarrow as pa
from annotated_types import Gt, Interval
from datasets.data_files import DataFilesDict, EmptyDatasetError, get_data_patterns

from fokker.component import component
from fokker.data import DataSource, Examples, Split, Transform
from fokker.errors import ConfigError, DataError
from fokker_data.pictures import Mode, Resize
from fokker_data.transforms import Range, Standardise
from fokker_datasets.files import stamps
from fokker_datasets.store import Store, Survey, examples_of, survey
from fokker_datasets.table import ArrowFiles, Columns, Held, ParquetFiles
from fokker_datasets.value import MEND, value_of

__all__ = ["HuggingFace"]

FILES = {".parquet": ParquetFiles, ".arrow": ArrowFiles}
PICTURES = [".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"]


@component
class HuggingFace(DataSource):
    """A dataset of the library `datasets` on disk: pictures in [0, 1], (channels, height, width), or numbers, (*D).

    `path` is a Parquet or Arrow file, a pattern of such files, a folder of them, a folder that `save_to_disk` wrote, or
    a folder of pictures. Splits are found by the names of files and folders, as `load_dataset` finds them. Nothing is
    ever downloaded.

    Args:
        path: File, pattern such as `data/*.parquet`, or folder.
        image: Column of pictures.
        array: Column of numbers, lists of any depth whose lengths agree.
        label: Column of classes: whole numbers from 0, or words, which are numbered in the order of the alphabet.
        size: Height and width in pixels; none: that of the first picture, which all must have.
        mode: What pictures are converted to; `rgb` and `grey` drop an alpha channel.
        resize: How a picture is brought to `size`: `crop` scales it to cover the frame and cuts what stands over at
            the longer sides, `stretch` changes its proportions, `none` demands that it fits.
        shape: Shape that the numbers of an example are brought to, of `array` only; none: their own.
        streaming: Whether Parquet and Arrow are read in place, some row groups at a time; otherwise `datasets` maps
            them into memory, for which it writes Parquet into its cache as Arrow.
        together: Number of row groups, or record batches, that are in memory and mixed at a time, in streaming.
        skip: Whether broken files and rows are left out and counted; every example is decoded once to find them.
        test_share: Share of rows in the test split where the data has none of its own, spread evenly, in [0, 1).
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
    streaming: bool = True
    together: Annotated[int, Gt(0)] = 8
    skip: bool = False
    test_share: Annotated[float, Interval(ge=0, lt=1)] = 0.1
    transforms: tuple[Transform, ...] | None = None  # type: ignore[assignment]  # filled in below

    def __post_init__(self) -> None:
        if self.transforms is None:
            usual = Standardise() if self.image is None else Range(-1.0, 1.0)
            object.__setattr__(self, "transforms", (usual,))

    def open(self, split: Split = "train") -> Examples:
        """Open a split; without `skip` no example is decoded but the first.

        Raises:
            ConfigError: If it is not one of pictures and numbers that is asked for, or a field has no effect on it.
            DataError: If there is no such file or column, or a file is broken and `skip` is not given.
        """
        columns = self._columns()
        found = _found(self.path)
        own = found.own_test
        self._refuse_idle(found)
        files = found.test if split == "test" and own else found.train
        key = (found.kind, self.path, files, split if own else "train", self.streaming, self.skip, columns)
        store, seen = _looked_through(*key, stamps(files))
        return examples_of(
            store,
            seen,
            "train" if own else split,
            test_share=0.0 if own else self.test_share,
            together=self.together,
            where=self.path,
        )

    def _refuse_idle(self, found: "_Found") -> None:
        """Refuse fields that have no effect on what was found."""
        pictures = found.kind == "imagefolder"
        idle = {
            "streaming": (pictures and not self.streaming, "on a folder of pictures, which are read one by one"),
            "together": (pictures or not self.streaming, "where any example is near: all are mixed"),
            "test_share": (found.own_test, "beside the test split that the data has"),
        }
        for name, (without_effect, why) in idle.items():
            if without_effect and getattr(self, name) != getattr(type(self), name):
                raise ConfigError(f"HuggingFace.{name} has no effect {why}: leave it out.")

    def _columns(self) -> Columns:
        value = value_of(
            type(self).__name__,
            self.image,
            self.array,
            size=self.size,
            mode=self.mode,
            resize=self.resize,
            shape=self.shape,
        )
        return Columns(self.image or self.array or "", self.label, value, self.together)


@dataclass(frozen=True)
class _Found:
    """What is at a path.

    Args:
        kind: `parquet`, `arrow` or `imagefolder`.
        train: Files of the training split.
        test: Files of the test split.
    """

    kind: str
    train: tuple[Path, ...]
    test: tuple[Path, ...] = ()

    @property
    def own_test(self) -> bool:
        return bool(self.test)


def _found(path: str) -> _Found:
    """The files of the splits.

    Raises:
        DataError: If there are none.
    """
    place = Path(path)
    if place.is_dir():
        return _saved(place) or _folder(place)
    files = tuple(Path(f) for f in sorted(glob.glob(path, recursive=True)) if Path(f).is_file())
    if not files:
        raise DataError(f"There is no file or folder {path}: set path to one; nothing is downloaded.")
    suffixes = {f.suffix.lower() for f in files}
    if len(suffixes) > 1 or suffixes.isdisjoint(FILES):
        raise DataError(f"{path} names files ending in {', '.join(sorted(suffixes))}: give .parquet or .arrow files.")
    return _Found(suffixes.pop()[1:], files)


def _saved(folder: Path) -> _Found | None:
    """What `save_to_disk` wrote; None if this is something else."""
    if (folder / "dataset_dict.json").is_file():
        splits = _json(folder / "dataset_dict.json").get("splits", [])
        if "train" not in splits:
            raise DataError(f"{folder} has the splits {', '.join(splits) or 'none'}: set path to the folder of one.")
        return _Found("arrow", _parts(folder / "train"), _parts(folder / "test") if "test" in splits else ())
    return _Found("arrow", _parts(folder)) if (folder / "state.json").is_file() else None


def _parts(folder: Path) -> tuple[Path, ...]:
    files = _json(folder / "state.json").get("_data_files", [])
    return tuple(folder / f["filename"] for f in files)


def _json(path: Path) -> dict[str, Any]:
    try:
        read = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}): save the dataset again.") from error
    if not isinstance(read, dict):
        raise DataError(f"{path} is not what save_to_disk writes: save the dataset again.")
    return read


def _folder(folder: Path) -> _Found:
    """A folder of Parquet or Arrow files, or of pictures."""
    base = str(folder.resolve())
    try:
        patterns = get_data_patterns(base)
    except EmptyDatasetError:
        raise DataError(f"{folder} holds no data files.") from None
    for kind, extensions in (("parquet", [".parquet"]), ("arrow", [".arrow"]), ("imagefolder", PICTURES)):
        try:
            splits = DataFilesDict.from_patterns(patterns, base_path=base, allowed_extensions=extensions)
        except FileNotFoundError:
            continue
        files = {name: tuple(sorted(map(Path, found))) for name, found in splits.items() if found}
        if files:
            if "train" not in files:
                raise DataError(f"{folder} has the splits {', '.join(files)}: set path to the files of one.")
            return _Found(kind, files["train"], files.get("test", ()))
    raise DataError(f"{folder} holds no .parquet or .arrow files, and no pictures: set path to a folder that does.")


@lru_cache(maxsize=8)  # `fokker train` opens its data several times, and to look through it may take long
def _looked_through(
    kind: str,
    path: str,
    files: tuple[Path, ...],
    split: Split,
    streaming: bool,
    skip: bool,
    columns: Columns,
    stamps: tuple[tuple[int, int], ...],
) -> tuple[Store, Survey]:
    if kind == "imagefolder":
        with _silent():
            table = _pictures(path, split, columns)
        store: Store = Held(table, columns, table.schema, path)
    elif streaming:
        store = FILES[f".{kind}"](files, columns, skip)
    else:
        with _silent():
            store = _mapped(kind, path, files, columns)
    return store, survey(store, skip, columns.value.shape)


def _pictures(path: str, split: Split, columns: Columns) -> pa.Table:
    """The files of a folder of pictures with their labels, as the library finds them; none is decoded."""
    listed = datasets.load_dataset("imagefolder", data_dir=path, split=split, streaming=True).decode(False)
    wanted = [name for name in (columns.name, columns.label) if name is not None]
    known = list(listed.features)
    for name in wanted:
        if name not in known:
            raise DataError(f"{path} has no column '{name}', it has {', '.join(known)}: name one of them.")
    rows: dict[str, list[Any]] = {name: [] for name in wanted}
    for row in listed:
        for name in wanted:
            rows[name].append(row[name])
    schema = datasets.Features({name: listed.features[name] for name in wanted}).arrow_schema
    return pa.table(rows, schema=schema)


def _mapped(kind: str, path: str, files: Sequence[Path], columns: Columns) -> Held:
    """The files as one dataset that is mapped into memory."""
    names = [str(f) for f in files]
    try:
        if kind == "parquet":
            data = datasets.load_dataset("parquet", data_files=names, split="train")
        else:
            data = datasets.concatenate_datasets([datasets.Dataset.from_file(name) for name in names])
    except Exception as error:  # the library wraps what it meets, and names the file in the cause or not at all
        cause = error.__cause__ or error
        said = str(cause).splitlines()[0] if str(cause) else type(cause).__name__
        raise DataError(f"{path} cannot be read by the library datasets ({said}): {MEND}") from error
    return Held(data.with_format("arrow"), columns, data.features.arrow_schema, path)


@contextmanager
def _silent() -> Iterator[None]:
    """Without the library's progress bars."""
    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()
