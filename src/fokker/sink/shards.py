"""A folder of shards: any number of samples, a thousand to a file, to be continued.

    FOLDER/ manifest.json                     format, shape, and how the samples are made
            samples-00000000-00000999.npy     samples 0 to 999, (1000, *D), float32
            labels-00000000-00000999.npy      their labels, int64, if they have any

The names say which samples there are. A shard is moved in when it is whole, after its labels, so that whatever a crash
leaves can be read and continued; several processes may write different samples into one folder.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fokker.errors import RunError
from fokker.partial import Partial, cannot_write
from fokker.sink.npy import write_header
from fokker.sink.sink import About, Floats, Integers, Sink

__all__ = ["FORMAT", "SHARD", "Shard", "ShardsSink", "shards"]

FORMAT = "fokker-samples-1"
"""The manifest's `format`."""

SHARD = 1000
"""Shards end before the multiples of this number, and at the last sample."""

_NAME = re.compile(r"samples-(\d{8,})-(\d{8,})\.npy")


@dataclass(frozen=True)
class Shard:
    """A whole shard.

    Args:
        path: The file.
        first: Absolute index of its first sample.
        last: That of its last one.
    """

    path: Path
    first: int
    last: int


def shards(folder: Path) -> list[Shard]:
    """The shards of a folder, in the order of their samples."""
    found = ((path, _NAME.fullmatch(path.name)) for path in folder.iterdir())
    return sorted((Shard(p, int(m[1]), int(m[2])) for p, m in found if m), key=lambda shard: shard.first)


class ShardsSink(Sink):
    """A folder of shards.

    Args:
        path: The folder; made if it is missing.
        n: Number of samples that will be written.
        event_shape: Shape `*D` of one sample.
        first: Absolute index of the first sample.
        labels: Whether samples come with labels.
        about: How the samples are made; the folder takes only samples of which the same is said.
        force: Replace all samples of the folder, when the first new shard is whole.

    Raises:
        RunError: If some of the samples are there already, if those that are there were made in another way, or if the
            folder holds something else.
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
        force: bool,
    ) -> None:
        super().__init__(path, n, event_shape, first=first, labels=labels)
        self._manifest = {"format": FORMAT, "dtype": "float32", "event_shape": list(event_shape), "labels": labels}
        self._manifest |= {"about": dict(about)}
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(path, error) from error
        self._stale = shards(path) if force else []
        if not force:
            self._check_there()
        self._started = False
        self._files: list[Partial] = []  # of the shard in the making: samples, labels

    def _check_there(self) -> None:
        path, there = self.path, shards(self.path)
        manifest = path / "manifest.json"
        if manifest.exists():
            try:
                found = json.loads(manifest.read_text(encoding="utf-8"))
                differences = _differences(found, self._manifest)
            except (ValueError, AttributeError) as error:
                raise RunError(
                    f"{manifest} is damaged: choose another folder, or give --force to replace it."
                ) from error
            if differences:
                raise RunError(
                    f"{path} holds samples of another making ({'; '.join(differences)}): choose another folder, or "
                    f"give --force to replace them."
                )
        elif any(not entry.name.startswith(".") for entry in path.iterdir()):
            raise RunError(f"{path} is not a folder of samples (it has no manifest.json): choose another folder.")
        last = self.first + self.n - 1
        common = [s for s in there if s.first <= last and s.last >= self.first]
        if common:
            raise RunError(
                f"{path} holds samples {common[0].first} to {common[-1].last} already: continue with --first "
                f"{there[-1].last + 1}, or give --force to replace all samples of the folder."
            )

    def _append(self, x: Floats, labels: Integers | None) -> None:
        done = 0
        while done < len(x):
            at = self.first + self.written + done  # the absolute index of row `done`
            end = min(at - at % SHARD + SHARD, self.first + self.n)
            if not self._files:
                self._open(at, end)
            count = min(end - at, len(x) - done)
            rows = slice(done, done + count)
            self._files[0].file.write(x[rows].astype("<f4", copy=False).data)
            if labels is not None:
                self._files[1].file.write(labels[rows].astype("<i8", copy=False).tobytes())
            done += count
            if at + count == end:
                self._move_in()

    def _open(self, first: int, end: int) -> None:
        span = f"{first:08d}-{end - 1:08d}.npy"
        self._files = [Partial(self.path / f"samples-{span}")]
        write_header(self._files[0].file, (end - first, *self.event_shape), "<f4")
        if self.labels:
            self._files.append(Partial(self.path / f"labels-{span}"))
            write_header(self._files[1].file, (end - first,), "<i8")

    def _move_in(self) -> None:
        if not self._started:
            for shard in self._stale:
                shard.path.unlink()
                shard.path.with_name(shard.path.name.replace("samples", "labels", 1)).unlink(missing_ok=True)
            with Partial(self.path / "manifest.json") as file:
                file.write((json.dumps(self._manifest, indent=1) + "\n").encode())
            self._started = True
        while self._files:  # the labels first: a shard's samples are there only with them
            self._files.pop().move_in()

    def _finish(self) -> None:
        """Every shard is in its place."""

    def drop(self) -> None:
        """Remove the unfinished shard; whole ones stay."""
        while self._files:
            self._files.pop().drop()


def _differences(there: Mapping[str, object], here: Mapping[str, object]) -> list[str]:
    """What two manifests say differently, in words."""
    found = []
    for key in sorted(there.keys() | here.keys()):
        old, new = there.get(key), here.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            found += _differences(old, new)
        elif old != new:
            found.append(f"{key} is {old} there, {new} here")
    return found
