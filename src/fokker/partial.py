"""Files that appear under their name once they are whole, or not at all.

What is moved in outlives a power failure too: the file is flushed before it gets its name, its folder after that.
"""

import os
from pathlib import Path
from types import TracebackType
from typing import IO

from fokker.errors import RunError

__all__ = ["Partial", "cannot_write", "flush", "write_text"]


class Partial:
    """A file in the making: written beside its place under a name of its own, flushed to the disk, then moved in.

    What was there before stays until the move, and stays for good if the file is dropped. As a context manager it gives
    the file to write, moves it in at the end, and drops it on an exception.

    Args:
        path: Where the file will be; missing folders are made.

    Raises:
        RunError: If the place cannot be written, here or in any later call.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.file: IO[bytes] = self._beside.open("wb+")
        except OSError as error:
            raise cannot_write(path, error) from error

    def move_in(self) -> None:
        """Give the file its name, in one step."""
        try:
            self.file.flush()
            os.fsync(self.file.fileno())
            self.file.close()
            os.replace(self._beside, self.path)
            flush(self.path.parent)
        except BaseException as error:
            self.drop()
            if isinstance(error, OSError):
                raise cannot_write(self.path, error) from error
            raise

    def drop(self) -> None:
        """Remove what was written; nothing is done after the move."""
        try:
            self.file.close()
        except OSError:  # the last bytes did not fit: they are removed anyway
            pass
        self._beside.unlink(missing_ok=True)

    def __enter__(self) -> IO[bytes]:
        return self.file

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.move_in()
            return
        self.drop()
        if isinstance(error, OSError):
            raise cannot_write(self.path, error) from error


def write_text(path: Path, text: str) -> None:
    """Replace a text file: a reader sees the old or the new one, never a part.

    Raises:
        RunError: If the place cannot be written.
    """
    with Partial(path) as file:
        file.write(text.encode())


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def cannot_write(path: Path, error: OSError) -> RunError:
    """An operating system's refusal as one line."""
    if isinstance(error, (FileExistsError, NotADirectoryError)):  # what making the folders says of a file in their way
        return RunError(f"{path} cannot be written: {path.parent} is not a folder.")
    return RunError(f"{path} cannot be written: {error.strerror or error}.")
