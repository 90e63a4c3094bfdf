"""Own arrays of any shape (N, *D): .npy (mapped), .npz and .csv."""

import warnings
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Interval
from numpy.typing import NDArray

from fokker.component import component
from fokker.data import DataSource, Examples, Split, Transform
from fokker.errors import ConfigError, DataError
from fokker_data.labels import check_labels
from fokker_data.stored import StoredExamples, split_rows
from fokker_data.transforms import Standardise

__all__ = ["Array", "read_array"]

SUFFIXES = (".npy", ".npz", ".csv")


@component
class Array(DataSource):
    """Examples in the rows of an array (N, *D), in the units of the file; (N,) is read as (N, 1).

    An .npy file is mapped, only the rows asked for are read; of an .npz file one array is read; a .csv file holds
    numbers between commas, one example a line, and may start with a line of names. Every value is checked when it is
    read. No pickled objects are read.

    Args:
        path: File ending in .npy, .npz or .csv.
        key: Name of the array in an .npz file; may be left out if there is only one besides the labels.
        labels: File with the class of each row, one whole number each.
        labels_key: Name of the labels in an .npz file: in `labels`, or in `path` if `labels` is not given.
        test_share: Share of rows in the test split, spread evenly, in [0, 1).
        transforms: Applied in this order on the way to the model; the default standardises each channel.
    """

    path: str
    key: str | None = None
    labels: str | None = None
    labels_key: str | None = None
    test_share: Annotated[float, Interval(ge=0, lt=1)] = 0.1
    transforms: tuple[Transform, ...] = (Standardise(),)

    def __post_init__(self) -> None:
        for name, path, key in (
            ("key", self.path, self.key),
            ("labels_key", self._labels_path or self.path, self.labels_key),
        ):
            if Path(path).suffix not in SUFFIXES:
                raise ConfigError(f"Array reads .npy, .npz and .csv files, got {path!r}.")
            if key is not None and Path(path).suffix != ".npz":
                raise ConfigError(f"Array.{name} names an array in an .npz file, {path!r} is none: leave it out.")

    @property
    def _labels_path(self) -> str | None:
        return self.path if self.labels is None and self.labels_key is not None else self.labels

    def open(self, split: Split = "train") -> Examples:
        """Open a split.

        Raises:
            DataError: If a file is missing, damaged, not numeric, or does not fit the other one.
        """
        labels_here = self.labels_key if self._labels_path == self.path else None
        array = read_array(Path(self.path), self.key, besides=labels_here)
        if array.ndim == 0 or not array.size:
            raise DataError(f"{self.path} holds an array of shape {array.shape}: examples are its rows, one is needed.")
        labels = None
        if self._labels_path is not None:
            besides = self.key if self._labels_path == self.path else None
            found = read_array(Path(self._labels_path), self.labels_key, besides=besides)
            labels = check_labels(np.atleast_1d(found), len(array), self._labels_path)
        return StoredExamples(
            array,
            rows=split_rows(len(array), self.test_share, split, self.path),
            event_shape=array.shape[1:] or (1,),
            labels=labels,
            source=self.path,
        )


def read_array(path: Path, key: str | None = None, *, besides: str | None = None) -> NDArray[Any]:
    """Read an array of real numbers; .npy is mapped, .csv is (N, D) in float64.

    Args:
        path: File ending in .npy, .npz or .csv.
        key: Name of the array in an .npz file; the only one if None.
        besides: An array of the .npz file that does not count as one of them.

    Raises:
        DataError: If the file is missing or damaged, or holds no real numbers, or does not hold the key.
    """
    try:
        if path.suffix == ".csv":
            return _read_csv(path)
        array = _read_npz(path, key, besides) if path.suffix == ".npz" else np.load(path, mmap_mode="r")
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    except Exception as error:  # a damaged header or archive raises anything, NotImplementedError and TokenError too
        cause = _first_line(error)
        raise DataError(f"{path} is damaged or no {path.suffix} file of plain numbers ({cause}).") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        kind = getattr(array, "dtype", type(array).__name__)
        raise DataError(f"{path} holds {kind}: real numbers are needed.")
    return array


def _read_npz(path: Path, key: str | None, besides: str | None) -> Any:
    with path.open("rb") as file:
        archive = np.load(file)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("it holds a single array; name it .npy")
        names = archive.files
        if key is None:
            candidates = [name for name in names if name != besides]
            key = candidates[0] if len(candidates) == 1 else None
        if key not in names:
            asked = "no array is named" if key is None else f"an array {key!r} is asked for"
            raise DataError(f"{path}: {asked}, it holds {', '.join(names) or 'none'}: name one of them.")
        return archive[key]


def _read_csv(path: Path) -> NDArray[np.float64]:
    skip = 0
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file):
            text = line.split("#")[0].strip()
            if text:
                skip = number if any(_is_number(cell) for cell in text.split(",")) else number + 1
                break
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*input contained no data", category=UserWarning)
        return np.loadtxt(path, delimiter=",", ndmin=2, skiprows=skip, encoding="utf-8-sig")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].split(";")[0].rstrip(".") if str(error) else type(error).__name__
