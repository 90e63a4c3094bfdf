"""Files as they are now, to tell whether what was found in them still holds."""

from collections.abc import Iterable
from pathlib import Path

from fokker.errors import DataError

__all__ = ["stamps"]


def stamps(files: Iterable[Path]) -> tuple[tuple[int, int], ...]:
    """Size and time of the last change of each file.

    Raises:
        DataError: If one is not there.
    """
    found = []
    for path in files:
        try:
            at = path.stat()
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror}): bring it back.") from error
        found.append((at.st_size, at.st_mtime_ns))
    return tuple(found)
