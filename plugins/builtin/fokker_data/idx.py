"""IDX files: a header with type and shape, then the values, big-endian (LeCun et al., the MNIST database).

    0 0 TYPE RANK   SIZE_1 ... SIZE_RANK (4 bytes each)   values

The header gives the length of the file, which is checked before anything is read.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Gt, Interval
from numpy.typing import NDArray

from fokker.component import component
from fokker.data import DataSource, Examples, Split, Transform
from fokker.errors import DataError
from fokker_data.labels import check_labels
from fokker_data.stored import StoredExamples, split_rows
from fokker_data.transforms import Range

__all__ = ["Idx", "parse_idx", "read_contents", "read_idx"]

DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


@component
class Idx(DataSource):
    """Examples in an IDX file such as MNIST's, plain or .gz.

    A file of shape (N, H, W) is read as N grey pictures, event shape (1, H, W); (N,) as N numbers, event shape (1,);
    every other shape as it is. A plain file is mapped: only what is asked for is read.

    Args:
        images: File with the values.
        labels: File with the class of each example, one number each.
        scale: What values are divided by; none: 255 for bytes, 1 for every other type.
        test_share: Share of examples in the test split, spread evenly, in [0, 1).
        transforms: Applied in this order on the way to the model; the default takes [0, 1] to [-1, 1].
    """

    images: str
    labels: str | None = None
    scale: Annotated[float, Gt(0)] | None = None
    test_share: Annotated[float, Interval(ge=0, lt=1)] = 0.1
    transforms: tuple[Transform, ...] = (Range(-1.0, 1.0),)

    def open(self, split: Split = "train") -> Examples:
        """Open a split.

        Raises:
            DataError: If a file is missing, damaged, or does not fit the other one.
        """
        values = read_idx(Path(self.images))
        labels = None
        if self.labels is not None:
            labels = check_labels(read_idx(Path(self.labels)), len(values), self.labels)
        shape = {1: (1,), 3: (1, *values.shape[1:])}.get(values.ndim, values.shape[1:])
        by_default = 255.0 if values.dtype == np.uint8 else 1.0
        return StoredExamples(
            values,
            rows=split_rows(len(values), self.test_share, split, self.images),
            scale=by_default if self.scale is None else self.scale,
            event_shape=shape,
            labels=labels,
            source=self.images,
        )


def read_idx(path: Path) -> NDArray[Any]:
    """Read an IDX file; a plain one is mapped, a .gz one (told by its first bytes) is unpacked into memory.

    Raises:
        DataError: If it is missing, unreadable, no IDX file, or of another length than its header says.
    """
    try:
        with path.open("rb") as file:
            head = file.read(4 + 4 * 255)
            length = file.seek(0, 2)
    except OSError as error:
        raise _unreadable(path, error) from error
    if head[:2] == b"\x1f\x8b":
        return parse_idx(read_contents(path), path)
    dtype, shape, offset = _header(head, length, path)
    return np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=shape)


def read_contents(path: Path) -> bytes:
    """All bytes of a file, unpacked if it is a .gz (told by its first bytes).

    Raises:
        DataError: If it is missing or unreadable, or cannot be unpacked.
    """
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is truncated or damaged ({error}): replace it by a whole copy.") from error
    except OSError as error:
        raise _unreadable(path, error) from error


def parse_idx(data: bytes, path: Path) -> NDArray[Any]:
    """The array in the unpacked contents of an IDX file.

    Raises:
        DataError: If it is no IDX file, or of another length than its header says.
    """
    dtype, shape, offset = _header(data[: 4 + 4 * 255], len(data), path)
    return np.frombuffer(data, dtype, offset=offset).reshape(shape)


def _header(head: bytes, length: int, path: Path) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    """Type, shape and where the values start; `head` holds at least the whole header if the file does."""
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in DTYPES or head[3] == 0:
        raise DataError(f"{path} is no IDX file: it starts with {head[:4].hex(' ') or 'nothing'}.")
    dtype, rank = np.dtype(DTYPES[head[2]]), head[3]
    offset = 4 + 4 * rank
    if len(head) < offset:
        raise DataError(f"{path} is truncated: its header ends after {len(head)} of {offset} bytes.")
    shape = struct.unpack(f">{rank}I", head[4:offset])
    expected = offset + math.prod(shape) * dtype.itemsize
    if length != expected:
        what = "truncated" if length < expected else "damaged"
        raise DataError(
            f"{path} is {what}: its header promises {expected} bytes for shape {shape}, there are {length}: "
            f"replace it by a whole copy."
        )
    if not math.prod(shape):
        raise DataError(f"{path} is empty: its shape is {shape}.")
    return dtype, shape, offset


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"{path} cannot be read: {error.strerror or error}.")
