"""Sinks: where samples are written, in the data's own units, in memory that does not grow with their number.

A file appears under its name once it is whole; a folder of shards grows by whole shards and can be continued.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fokker.errors import ConfigError, RunError
from fokker.sink.csv import CsvSink
from fokker.sink.npy import NpySink
from fokker.sink.npz import NpzSink
from fokker.sink.png import PngSink
from fokker.sink.safetensors import SafetensorsSink
from fokker.sink.shards import Shard, ShardsSink, shards
from fokker.sink.sink import About, Sink, WholeFileSink
from fokker.sink.stored import Stored, read_back

if TYPE_CHECKING:
    from fokker.data import DataSource
    from fokker.plugins.registry import Registry

__all__ = ["About", "Shard", "Sink", "Stored", "WholeFileSink", "open_sink", "read_back", "shards"]

_BY_SUFFIX: dict[str, type[WholeFileSink]] = {
    ".npy": NpySink,
    ".npz": NpzSink,
    ".safetensors": SafetensorsSink,
    ".csv": CsvSink,
    ".png": PngSink,
}


def open_sink(
    path: str | os.PathLike[str],
    n: int,
    event_shape: Sequence[int],
    *,
    first: int = 0,
    labels: bool = False,
    about: Mapping[str, About] | None = None,
    force: bool = False,
    registry: "Registry | None" = None,
    source: "DataSource | None" = None,
) -> Sink:
    """Open the sink that a path asks for by its suffix; nothing is overwritten unless forced.

    | path | holds |
    | --- | --- |
    | `.npy` | an array (n, *D), float32 |
    | `.npz` | the same under `x`; labels under `label`, int64, (n,) |
    | `.safetensors` | the same, and `about` as metadata |
    | `.csv` | a line of names, then a sample a line, flattened: x0, x1, ..., and last its label |
    | `.png` | a picture of the first samples, as many as `fokker.draw.shown` says |
    | a folder | shards of 1000 samples, see `fokker.sink.shards` |
    | any other | what a plugin has registered the suffix for (`Registry.sink`) |

    A path without a suffix, one that ends in a slash, and one that is a folder already are folders of shards.

    Args:
        path: Where to write.
        n: Number of samples that will be written, at least 1.
        event_shape: Shape `*D` of one sample.
        first: Absolute index of the first sample.
        labels: Whether samples come with class labels; the sink's `note` tells where the format has no place for them.
        about: How the samples are made, such as seed and sampler: kept in the file where the format has a place for
            it. A folder is continued only by samples of which the same is said.
        force: Replace what is there.
        registry: Where the sinks of plugins are looked up.
        source: Where such data comes from: what it knows of every sample (`DataSource.facts`) is added to `about`, and
            pictures are drawn its way.

    Raises:
        ConfigError: If the suffix is none of these, or if its sink does not take samples of this shape.
        RunError: If something is there already, or if the place cannot be written.
    """
    if n < 1:
        raise ValueError(f"a sink is opened for one sample or more, got n = {n}")
    place = Path(path)
    shape = tuple(event_shape)
    about = {**(about or {}), **(source.facts if source is not None else {})}
    if place.is_dir() or not place.suffix or os.fspath(path).endswith("/"):
        if place.is_file():
            raise RunError(
                f"{place} is a file; without a suffix a folder is meant: choose another name, or give a suffix."
            )
        return ShardsSink(place, n, shape, first=first, labels=labels, about=about, force=force)
    suffix = place.suffix.lower()
    kind = _BY_SUFFIX.get(suffix)
    if kind is None and registry is not None:
        kind = registry.sink_for(suffix)
    if kind is None:
        known = [*_BY_SUFFIX, *(registry.sink_suffixes() if registry is not None else [])]
        raise ConfigError(
            f"Samples cannot be written as '{place.suffix}': end the path in {', '.join(known)}, or in / for a folder."
        )
    if place.exists() and not force:
        raise RunError(f"{place} is there already: choose another name, or give --force to replace it.")
    sink = kind(place, n, shape, first=first, labels=labels, about=about)
    if isinstance(sink, PngSink):
        sink.source = source
    return sink
