"""Arrow tables on disk, read a block at a time.

    Parquet    a block is a row group
    Arrow      a block is a record batch of an IPC file or stream, such as `datasets` writes
    Held       one table that is at hand as a whole: mapped by `datasets`, or a list of files

Of a row group only the columns that are needed are read. Where a block begins is taken from the footer, or in a stream
from its messages, whose bodies are not touched.
"""

import os
from abc import abstractmethod
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fokker.errors import DataError
from fokker_datasets.column import Column, check_column
from fokker_datasets.store import Store
from fokker_datasets.value import MEND, Value

__all__ = ["ArrowFiles", "Columns", "Held", "ParquetFiles"]


@dataclass(frozen=True)
class Columns:
    """Which columns are read, and how.

    Args:
        name: The column of pictures or numbers.
        label: The column of labels, if any.
        value: What the first one holds.
        together: Number of blocks that are kept in memory.
    """

    name: str
    label: str | None
    value: Value
    together: int


class _Tables(Store):
    """Blocks of tables; the ones read last stay in memory."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._recent: OrderedDict[int, Column] = OrderedDict()

    @abstractmethod
    def _table(self, block: int, columns: list[str]) -> pa.Table:
        """Some columns of a block."""

    @abstractmethod
    def _folder(self, block: int) -> Path:
        """The folder of a block's file."""

    def read(self, block: int, rows: Sequence[int], shape: tuple[int, ...] | None) -> NDArray[np.float32]:
        """Some rows of a block."""
        column = self._recent.get(block)
        if column is None:
            while len(self._recent) >= self._columns.together:
                self._recent.popitem(last=False)
            table = self._attempt(block, [self._columns.name])
            column = Column(table.column(0), self._columns.value, self._folder(block))
            self._recent[block] = column
        self._recent.move_to_end(block)
        return column.read(rows, shape, lambda row: self.name(block, row))

    def labels(self, block: int) -> Sequence[Any] | None:
        """The label column of a block."""
        label = self._columns.label
        return None if label is None else self._attempt(block, [label]).column(0).to_pylist()

    def _attempt(self, block: int, columns: list[str]) -> pa.Table:
        try:
            return self._table(block, columns)
        except (pa.ArrowException, OSError, EOFError) as error:
            last = self.sizes[block] - 1
            raise DataError(
                f"{self.name(block, 0)} to {last} further cannot be read ({_line(error)}): {MEND}"
            ) from error

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_recent": OrderedDict()}


class _Files(_Tables):
    """Files of blocks.

    Args:
        files: Their paths.
        columns: Which columns are read.
        skip: Whether a broken file is left out.

    Raises:
        DataError: If a file is broken and `skip` is not given, or none is left, or a column is missing.
    """

    kind: str

    def __init__(self, files: Sequence[Path], columns: Columns, skip: bool) -> None:
        super().__init__(columns)
        sizes: list[int] = []
        lost: list[str] = []
        self._paths: list[Path] = []
        self._firsts: list[int] = []
        self._places: list[int] = []
        for path in files:
            try:
                schema, found = self._blocks(path)
                check_column(schema, columns.name, columns.value, str(path))
                if columns.label is not None and columns.label not in schema.names:
                    known = ", ".join(schema.names)
                    raise DataError(f"{path} has no column '{columns.label}', it has {known}: name one of them.")
            except DataError as error:
                if not skip:
                    raise
                lost.append(str(error))
                continue
            except (pa.ArrowException, OSError, EOFError) as error:
                said = f"{path} is damaged or no {self.kind} file ({_line(error)}): {MEND}"
                if not skip:
                    raise DataError(said) from error
                lost.append(said)
                continue
            self._paths.append(path)
            self._firsts.append(len(sizes))
            sizes += [rows for rows, _ in found]
            self._places += [place for _, place in found]
        if not sum(sizes):
            raise DataError(lost[0] if lost else f"{files[0]} and {len(files) - 1} more files hold no rows.")
        self.sizes, self.lost = tuple(sizes), tuple(lost)
        self._starts = (0, *accumulate(sizes))

    @abstractmethod
    def _blocks(self, path: Path) -> tuple[pa.Schema, list[tuple[int, int]]]:
        """The columns of a file, and the number of rows and the place of each block."""

    def _file(self, block: int) -> int:
        return bisect_right(self._firsts, block) - 1

    def _folder(self, block: int) -> Path:
        return self._paths[self._file(block)].parent

    def place(self, block: int) -> tuple[str, int]:
        """The file's name, and the number of rows before the block."""
        k = self._file(block)
        return self._paths[k].name, self._starts[block] - self._starts[self._firsts[k]]

    def name(self, block: int, row: int) -> str:
        """The file, and the row in it."""
        return f"{self._paths[self._file(block)]}, row {self.place(block)[1] + row} (counted from 0),"


class ParquetFiles(_Files):
    """Parquet files: a block is a row group."""

    kind = "Parquet"

    def _blocks(self, path: Path) -> tuple[pa.Schema, list[tuple[int, int]]]:
        with pq.ParquetFile(path) as file:
            rows = [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)]
            return file.schema_arrow, [(n, g) for g, n in enumerate(rows)]

    def _table(self, block: int, columns: list[str]) -> pa.Table:
        # opened anew for each row group: its footer is little beside it, and no handle is shared between processes
        with pq.ParquetFile(self._paths[self._file(block)], pre_buffer=False) as file:
            return file.read_row_group(self._places[block], columns=columns, use_threads=False)


class ArrowFiles(_Files):
    """Arrow IPC files and streams: a block is a record batch."""

    kind = "Arrow"

    def _blocks(self, path: Path) -> tuple[pa.Schema, list[tuple[int, int]]]:
        if os.path.getsize(path) == 0:
            raise pa.ArrowInvalid("it is empty")
        with pa.memory_map(str(path)) as file:
            if _is_ipc_file(file):
                opened = pa.ipc.open_file(file)
                return opened.schema, [(opened.get_batch(i).num_rows, i) for i in range(opened.num_record_batches)]
            schema, found = pa.ipc.read_schema(file), []
            while file.tell() < file.size():
                place = file.tell()
                message = _next_message(file)
                if message is None:
                    break
                found.append((pa.ipc.read_record_batch(message, schema).num_rows, place))
            return schema, found

    def _table(self, block: int, columns: list[str]) -> pa.Table:
        path, place = str(self._paths[self._file(block)]), self._places[block]
        # labels alone are read from a map, which touches nothing but them
        mapped = columns == [self._columns.label] and columns != [self._columns.name]
        with pa.memory_map(path) if mapped else pa.OSFile(path) as file:
            if _is_ipc_file(file):
                batch = pa.ipc.open_file(file).get_batch(place)
            else:
                schema = pa.ipc.read_schema(file)
                file.seek(place)
                batch = pa.ipc.read_record_batch(pa.ipc.read_message(file), schema)
            return pa.Table.from_batches([batch]).select(columns)


class Held(_Tables):
    """A table of which any row is near.

    Args:
        data: Gives rows of it: a `datasets.Dataset` in the format `arrow`, or a `pyarrow.Table`.
        columns: Which columns are read.
        schema: The columns that there are.
        where: What it is called in messages.
    """

    near = True

    def __init__(self, data: Any, columns: Columns, schema: pa.Schema, where: str) -> None:
        super().__init__(columns)
        check_column(schema, columns.name, columns.value, where)
        if columns.label is not None and columns.label not in schema.names:
            known = ", ".join(schema.names)
            raise DataError(f"{where} has no column '{columns.label}', it has {known}: name one of them.")
        self._data, self._where = data, where
        self._values = data if isinstance(data, pa.Table) else data.select_columns([columns.name])
        self.sizes = (len(data),)
        if not len(data):
            raise DataError(f"{where} holds no rows.")

    def read(self, block: int, rows: Sequence[int], shape: tuple[int, ...] | None) -> NDArray[np.float32]:
        """Some rows."""
        table = self._data.take(list(rows)) if isinstance(self._data, pa.Table) else self._values[list(rows)]
        column = Column(table.column(self._columns.name), self._columns.value, Path(self._where))
        return column.read(range(len(rows)), shape, lambda i: self.name(block, rows[i]))

    def _table(self, block: int, columns: list[str]) -> pa.Table:
        return self._data.select(columns) if isinstance(self._data, pa.Table) else self._data.data.table.select(columns)

    def _folder(self, block: int) -> Path:
        return Path(self._where)

    def place(self, block: int) -> tuple[str, int]:
        """The data's name."""
        return Path(self._where).name, 0

    def name(self, block: int, row: int) -> str:
        """The data, and the row in it."""
        return f"{self._where}, row {row} (counted from 0),"


def _is_ipc_file(file: Any) -> bool:
    magic = bytes(file.read(6))
    file.seek(0)
    return magic == b"ARROW1"


def _next_message(file: Any) -> Any:
    """The next message of a stream; None at its end.

    Raises:
        pa.ArrowInvalid: If it is no record batch.
    """
    try:
        message = pa.ipc.read_message(file)
    except EOFError:
        return None
    if message.type != "record batch":
        raise pa.ArrowInvalid(f"it has a message of the type '{message.type}', such as words in a dictionary")
    return message


def _line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
