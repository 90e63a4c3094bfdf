"""What every sink does: take samples in their order, and count them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fokker.partial import Partial, cannot_write

__all__ = ["About", "Floats", "Integers", "Sink", "WholeFileSink"]

About: TypeAlias = str | int | float | bool | None
"""What can be said of the samples under a name."""

Floats: TypeAlias = NDArray[np.float32]
Integers: TypeAlias = NDArray[np.int64]


class Sink(ABC):
    """A place that takes samples one block after another.

    Used as a context manager: at the end, every sample that was announced must have been written; on an exception what
    is not whole is removed.

    Args:
        path: The file or folder.
        n: Number of samples that will be written.
        event_shape: Shape `*D` of one sample.
        first: Absolute index of the first sample.
        labels: Whether samples come with labels.
    """

    def __init__(self, path: Path, n: int, event_shape: tuple[int, ...], *, first: int, labels: bool) -> None:
        self.path = path
        self.n = n
        self.event_shape = event_shape
        self.first = first
        self.labels = labels
        self.written = 0

    @property
    def note(self) -> str:
        """What a user should know of the file, as a sentence; empty where it simply holds the samples."""
        return ""

    def write(self, first: int, x: Tensor, labels: Tensor | None = None) -> None:
        """Take the next samples.

        Args:
            first: Absolute index of the first of them, the one after the last that was written.
            x: Samples in the data's own units, (B, *D).
            labels: Their class labels, whole numbers, (B,), if the sink was opened for labels.

        Raises:
            ValueError: If they are not the next ones, too many, of another shape, or lack their labels.
            RunError: If they cannot be written, as on a full disk.
        """
        expected = self.first + self.written
        if first != expected:
            raise ValueError(f"sample {expected} is next, got sample {first}")
        if tuple(x.shape[1:]) != self.event_shape:
            raise ValueError(f"samples have shape {self.event_shape}, got {tuple(x.shape[1:])}")
        if self.written + len(x) > self.n:
            raise ValueError(f"{self.n} samples were announced, got {self.written + len(x)}")
        if (labels is not None) != self.labels or (labels is not None and labels.shape != (len(x),)):
            raise ValueError(f"labels were {'' if self.labels else 'not '}announced, got {labels}")
        rows: Floats = x.detach().cpu().numpy().astype(np.float32, order="C", copy=False)
        kinds: Integers | None = None if labels is None else labels.detach().cpu().numpy().astype(np.int64, copy=False)
        try:
            self._append(rows, kinds)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        self.written += len(x)

    def close(self) -> None:
        """Finish.

        Raises:
            ValueError: If samples are missing.
            RunError: If the file cannot be written.
        """
        if self.written != self.n:
            self.drop()
            raise ValueError(f"{self.n} samples were announced, got {self.written}")
        try:
            self._finish()
        except BaseException as error:
            self.drop()
            if isinstance(error, OSError):
                raise cannot_write(self.path, error) from error
            raise

    @abstractmethod
    def drop(self) -> None:
        """Remove what is not whole."""

    @abstractmethod
    def _append(self, x: Floats, labels: Integers | None) -> None:
        """Write the next rows."""

    @abstractmethod
    def _finish(self) -> None:
        """Make it whole; all rows have been written."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.drop()


class WholeFileSink(Sink):
    """A sink that is one file, whole or not there; arguments as for `Sink`.

    Args:
        path: The file.
        n: Number of samples that will be written.
        event_shape: Shape `*D` of one sample.
        first: Absolute index of the first sample.
        labels: Whether samples come with labels.
        about: How the samples are made; for formats with a place for it.
    """

    def __init__(
        self,
        path: Path,
        n: int,
        event_shape: tuple[int, ...],
        *,
        first: int,
        labels: bool,
        about: Mapping[str, About],
    ) -> None:
        super().__init__(path, n, event_shape, first=first, labels=labels)
        self._partial = Partial(path)
        self._file = self._partial.file
        try:
            self._begin(about)
        except OSError as error:
            self._partial.drop()
            raise cannot_write(path, error) from error

    @abstractmethod
    def _begin(self, about: Mapping[str, About]) -> None:
        """Write what comes before the samples."""

    def _finish(self) -> None:
        self._partial.move_in()

    def drop(self) -> None:
        """Remove the unfinished file."""
        self._partial.drop()
