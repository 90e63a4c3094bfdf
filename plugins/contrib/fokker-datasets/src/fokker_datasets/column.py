"""A column of an Arrow table, as examples.

Pictures are structs of bytes and a path (what `datasets.Image` is on disk), or plain bytes. Numbers are lists in lists
of any depth, of fixed length or not, whose lengths agree, or single numbers.
"""

from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fokker.errors import DataError
from fokker_datasets.value import MEND, Numbers, Picture, Value

__all__ = ["Column", "check_column"]


def check_column(schema: pa.Schema, column: str, value: Value, where: str) -> None:
    """Refuse a column that is not there, or does not hold what is asked of it.

    Raises:
        DataError: If so; the columns that there are are named.
    """
    if column not in schema.names:
        raise DataError(f"{where} has no column '{column}', it has {', '.join(schema.names)}: name one of them.")
    kind = schema.field(column).type
    stored = _plain(kind)
    if isinstance(value, Picture):
        picture = pa.types.is_struct(stored) and any(stored.field(i).name == "bytes" for i in range(stored.num_fields))
        if not (picture or _is_bytes(stored)):
            raise DataError(
                f"{where}: the column '{column}' holds {kind}, no pictures: name another, or array={column}."
            )
        return
    while _is_list(stored):
        stored = _plain(stored.value_type)
    if not (pa.types.is_integer(stored) or pa.types.is_floating(stored) or pa.types.is_boolean(stored)):
        raise DataError(f"{where}: the column '{column}' holds {kind}, no numbers: name another, or image={column}.")


class Column:
    """The values of one block, in memory.

    Args:
        values: The column.
        value: What it holds.
        folder: Where the paths of pictures without bytes start.
    """

    def __init__(self, values: pa.ChunkedArray, value: Value, folder: Path) -> None:
        array = values.combine_chunks()
        while isinstance(array, pa.ExtensionArray):
            array = array.storage
        self._array, self._value, self._folder = array, value, folder
        self._numbers = _whole(array) if isinstance(value, Numbers) else None

    def read(
        self, rows: Sequence[int], shape: tuple[int, ...] | None, name: Callable[[int], str]
    ) -> NDArray[np.float32]:
        """Some rows, (rows, *D).

        Args:
            rows: Rows of the block.
            shape: The shape that each must have; None takes any, of one row.
            name: What a row is called.

        Raises:
            DataError: If one is broken.
        """
        numbers = self._numbers
        if numbers is not None and shape is not None and prod(numbers.shape[1:]) == prod(shape):
            found = numbers[np.asarray(rows, np.int64)].astype(np.float32)
            if np.isfinite(found).all() and self._value.shape in (None, shape):
                fits = numbers.shape[1:] == shape or self._value.shape is not None or numbers.ndim == 1
                if fits:
                    return found.reshape(len(rows), *shape)
        x: NDArray[np.float32] | None = None
        for i, row in enumerate(rows):
            one = self._one(row, name(row))
            if shape is not None and one.shape != shape:
                raise self._value.misfit(name(row), one.shape, shape)
            if x is None:
                x = np.empty((len(rows), *one.shape), np.float32)
            x[i] = one
        return np.empty((0, *(shape or ())), np.float32) if x is None else x

    def _one(self, row: int, name: str) -> NDArray[np.float32]:
        scalar = self._array[row]
        if not scalar.is_valid:
            raise DataError(f"{name} is empty: {MEND}")
        if isinstance(self._value, Numbers):
            return self._value.checked(_ragged(scalar.as_py(), name), name)
        data = scalar.as_py()
        if isinstance(data, dict):
            data = data["bytes"] if data["bytes"] is not None else self._file(data.get("path"), name)
        return self._value.decode(data, name)

    def _file(self, path: str | None, name: str) -> bytes:
        if path is None or "://" in path:
            raise DataError(f"{name} has neither bytes nor a file ({path}): {MEND}")
        try:
            return (self._folder / path).read_bytes()
        except OSError as error:
            raise DataError(f"{name}: {path} cannot be read ({error.strerror}): {MEND}") from None


def _plain(kind: pa.DataType) -> pa.DataType:
    while isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    return kind


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _whole(array: pa.Array) -> NDArray[Any] | None:
    """All rows as one array, without a copy where it can be had; None if any is empty or has a shape of its own."""
    sizes = [len(array)]
    while _is_list(array.type):
        if array.null_count:
            return None
        if pa.types.is_fixed_size_list(array.type):
            sizes.append(array.type.list_size)
        else:
            lengths = pc.min_max(array.value_lengths()).as_py()
            if lengths["min"] != lengths["max"] or lengths["min"] is None:
                return None
            sizes.append(lengths["min"])
        array = array.flatten()
        while isinstance(array, pa.ExtensionArray):
            array = array.storage
    if array.null_count or prod(sizes) != len(array):
        return None
    return np.asarray(array.to_numpy(zero_copy_only=False)).reshape(sizes)


def _ragged(stored: Any, name: str) -> NDArray[Any]:
    try:
        return np.array(stored)
    except ValueError:
        raise DataError(f"{name} holds lists whose lengths differ: {MEND}") from None
