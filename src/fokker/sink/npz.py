"""A zip archive of arrays, as `numpy.load` reads it."""

import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from typing import IO

from fokker.sink.npy import write_header
from fokker.sink.sink import About, Floats, Integers, WholeFileSink

__all__ = ["NpzSink"]


class NpzSink(WholeFileSink):
    """An .npz file: `x`, (n, *D), float32, and `label`, (n,), int64.

    Members of an archive are written one after the other, so labels wait in a temporary file.
    """

    def _begin(self, about: Mapping[str, About]) -> None:
        self._archive = zipfile.ZipFile(self._file, "w")
        self._labels = tempfile.TemporaryFile() if self.labels else None
        self._member: IO[bytes] = self._open("x", (self.n, *self.event_shape), "<f4")

    def _open(self, name: str, shape: tuple[int, ...], dtype: str) -> IO[bytes]:
        # the date is fixed, so that the same samples are the same bytes
        info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
        member = self._archive.open(info, "w", force_zip64=True)
        write_header(member, shape, dtype)
        return member

    def _append(self, x: Floats, labels: Integers | None) -> None:
        self._member.write(x.astype("<f4", copy=False).data)
        if self._labels is not None and labels is not None:
            self._labels.write(labels.astype("<i8", copy=False).tobytes())

    def _finish(self) -> None:
        self._member.close()
        if self._labels is not None:
            self._labels.seek(0)
            self._member = self._open("label", (self.n,), "<i8")
            shutil.copyfileobj(self._labels, self._member)
            self._member.close()
            self._labels.close()
        self._archive.close()
        super()._finish()

    def drop(self) -> None:
        """Remove the unfinished file."""
        with suppress(OSError):  # closing an archive writes its table of contents, for which there may be no room
            if self._labels is not None:
                self._labels.close()
            self._member.close()
            self._archive.close()
        super().drop()
