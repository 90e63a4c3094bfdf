"""Results: files that hold what is known so far, written anew with every row."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fokker.compare.measure import Row
from fokker.errors import ConfigError, RunError
from fokker.partial import write_text

if TYPE_CHECKING:
    from fokker.draw.picture import Picture

__all__ = ["Results", "files_of"]

_NAMES = {".json": "compare.json", ".md": "compare.md", ".png": "compare.png"}


def files_of(out: Path, *, force: bool = False) -> dict[str, Path]:
    """The files that are written, by suffix.

    Args:
        out: A file ending in .json, .md or .png, or a folder, which gets all three.
        force: Whether they may be replaced.

    Raises:
        ConfigError: If it is a file of another kind.
        RunError: If one is there.
    """
    if out.suffix in _NAMES:
        found = {out.suffix: out}
    elif out.suffix:
        raise ConfigError(f"A comparison is written as .png, .json, .md, or all three into a folder; got --out {out}.")
    elif out.exists() and not out.is_dir():
        raise RunError(f"{out} is a file; give --out a folder, or a name that ends in .png, .json or .md.")
    else:
        found = {suffix: out / name for suffix, name in _NAMES.items()}
    for path in found.values():
        if path.exists() and not force:
            raise RunError(f"{path} is there already: choose another --out, or give --force to replace it.")
    return found


class Results:
    """What is known so far; as a context manager it is written whole at the end, however that comes.

    Args:
        files: Where it goes, by suffix.
        text: Makes the Markdown of rows.
        picture: Draws rows.
    """

    def __init__(
        self,
        files: dict[str, Path],
        text: Callable[[Sequence[Row]], str],
        picture: Callable[[Sequence[Row]], "Picture"],
    ) -> None:
        self.rows: list[Row] = []
        self._files, self._text, self._picture = files, text, picture

    def add(self, row: Row) -> None:
        """Take a row, and write the files of text."""
        self.rows.append(row)
        self._write()

    def _write(self) -> None:
        if ".json" in self._files:
            table = [each.table() for each in self.rows]
            write_text(self._files[".json"], json.dumps(table, indent=2, ensure_ascii=False) + "\n")
        if ".md" in self._files:
            write_text(self._files[".md"], self._text(self.rows))

    def __enter__(self) -> "Results":
        return self

    def __exit__(self, *error: object) -> None:
        if self.rows and error[0] is not None:  # what was interrupted may have been the writing
            self._write()
        if ".png" in self._files and any(row.refused is None for row in self.rows):
            self._picture(self.rows).save(self._files[".png"])
