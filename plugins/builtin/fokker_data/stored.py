"""Examples that lie in one array, in memory or mapped from a file; a batch is converted when it is read.

    x_i = float32(array[rows[i]]) / scale

So a batch of bytes costs a quarter of its floats until it is asked for, and a mapped file costs nothing.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fokker.data import Batch, Examples, Split
from fokker.errors import DataError

__all__ = ["StoredExamples", "positions", "split_rows"]

GOLDEN = 0x9E3779B97F4A7C15  # 2^64 divided by the golden ratio


class StoredExamples(Examples):
    """Rows of an array as examples.

    A mapped file stays mapped: only the rows asked for are read, and a copy sent to another process maps it again.

    Args:
        array: All values, (N, ...), of any real dtype.
        rows: Which rows are the examples, in their order; all of them if None.
        scale: What values are divided by.
        event_shape: Shape of an example, of as many values as a row; the row's own shape if None.
        labels: Class of every row of `array`, int64, (N,).
        classes: Number of classes; one more than the largest label if None.
        source: Name of the file or the source, for messages.
    """

    def __init__(
        self,
        array: NDArray[Any],
        *,
        rows: NDArray[np.int64] | None = None,
        scale: float = 1.0,
        event_shape: tuple[int, ...] | None = None,
        labels: NDArray[np.int64] | None = None,
        classes: int | None = None,
        source: str = "the data",
    ) -> None:
        self.event_shape = array.shape[1:] if event_shape is None else event_shape
        if labels is not None:
            self.classes = int(labels.max()) + 1 if classes is None else classes
        self._array = array
        self._rows = np.arange(len(array)) if rows is None else rows
        self._scale = scale
        self._labels = labels
        self._source = source

    def __len__(self) -> int:
        """Number of examples."""
        return len(self._rows)

    def fetch(self, index: Sequence[int]) -> Batch:
        """Read the examples at these positions, in this order.

        Args:
            index: Positions in [0, len), repeats allowed.

        Returns:
            Values in float32, (B, *event_shape), and `label`, (B,), if there are labels.

        Raises:
            DataError: If a value is not finite in float32; file, row and value are named.
        """
        rows = self._rows[positions(index, len(self))]
        stored = np.asarray(self._array[rows])
        with np.errstate(over="ignore"):  # too large for float32: reported below
            x = stored.astype(np.float32, order="C")
        if self._scale != 1:
            x /= np.float32(self._scale)
        if stored.dtype.kind == "f":
            self._check_finite(stored, x, rows)
        cond = {} if self._labels is None else {"label": torch.from_numpy(self._labels[rows])}
        return Batch(torch.from_numpy(x.reshape(len(rows), *self.event_shape)), cond)

    def _check_finite(self, stored: NDArray[Any], x: NDArray[np.float32], rows: NDArray[np.int64]) -> None:
        bad = ~np.isfinite(x)
        if bad.any():
            first = tuple(int(i) for i in np.argwhere(bad)[0])
            raise DataError(
                f"{self._source}: row {rows[first[0]]} (counted from 0) holds {stored[first]}, which is not a finite "
                f"float32 number: remove the row or mend the value."
            )

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        if isinstance(self._array, np.memmap):  # pickled as it is, it would become a copy of the whole file
            a = self._array
            order = "F" if np.isfortran(a) else "C"
            state["_array"] = {"filename": a.filename, "dtype": a.dtype, "shape": a.shape, "offset": a.offset}
            state["_array"] |= {"mode": "r", "order": order}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ = state
        if isinstance(self._array, dict):
            self._array = np.memmap(**self._array)


def positions(index: Sequence[int], n: int) -> NDArray[np.int64]:
    """Positions as an array, checked against the number of examples.

    Args:
        index: Whole numbers of any kind (Python's, numpy's, tensors of no dimension), repeats allowed.
        n: Number of examples.

    Raises:
        IndexError: If a position is not in [0, n).
        TypeError: If they are not whole numbers.
    """
    wanted = np.asarray(index)
    if wanted.size == 0:
        return np.zeros(0, np.int64)
    if wanted.ndim != 1 or wanted.dtype.kind not in "iu":
        raise TypeError(f"positions must be a flat list of whole numbers, got {wanted.dtype} of shape {wanted.shape}")
    if wanted.min() < 0 or wanted.max() >= n:
        outside = wanted[(wanted < 0) | (wanted >= n)][0]
        raise IndexError(f"position {outside} is not in [0, {n})")
    return wanted.astype(np.int64)


def split_rows(n: int, test_share: float, split: Split, source: str) -> NDArray[np.int64]:
    """Which of n rows belong to a split: spread evenly, and the same for a row whatever comes after it.

    Row i is a test row if the fractional part of (i + 1)/golden ratio is below the share; every run of rows then has
    its share of test rows, to within a few.

    Args:
        n: Number of rows.
        test_share: Share of test rows, in [0, 1).
        split: `train` or `test`.
        source: Name of the data, for the message.

    Raises:
        DataError: If the split is empty.
    """
    turn = np.arange(1, n + 1, dtype=np.uint64) * np.uint64(GOLDEN)  # modulo 2^64
    test = turn < np.uint64(round(test_share * 2**64)) if test_share else np.zeros(n, bool)
    rows = np.flatnonzero(test if split == "test" else ~test)
    if not len(rows):
        raise DataError(
            f"{source}: the {split} split is empty ({n} examples, test_share={test_share:g}): "
            f"{'raise' if split == 'test' else 'lower'} test_share or take the other split."
        )
    return rows
