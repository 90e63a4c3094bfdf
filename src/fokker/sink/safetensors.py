"""The safetensors format: the length of a JSON header, the header, then the values, little-endian."""

import json
import struct
from collections.abc import Mapping
from math import prod

from fokker.sink.sink import About, Floats, Integers, WholeFileSink

__all__ = ["SafetensorsSink"]


class SafetensorsSink(WholeFileSink):
    """A .safetensors file: `x`, (n, *D), float32, and `label`, (n,), int64; what is said of them as metadata.

    All lengths are known beforehand, so the header comes first and each block goes to its place.
    """

    def _begin(self, about: Mapping[str, About]) -> None:
        split = 8 * self.n if self.labels else 0  # the wider type comes first, as the format's own library has it
        end = split + 4 * self.n * prod(self.event_shape)
        header: dict[str, object] = {"__metadata__": {k: str(v) for k, v in {"first": self.first, **about}.items()}}
        if self.labels:
            header["label"] = {"dtype": "I64", "shape": [self.n], "data_offsets": [0, split]}
        header["x"] = {"dtype": "F32", "shape": [self.n, *self.event_shape], "data_offsets": [split, end]}
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)  # values are aligned
        self._file.write(struct.pack("<Q", len(text)) + text)
        self._label_end = self._file.tell()
        self._x_end = self._label_end + split

    def _append(self, x: Floats, labels: Integers | None) -> None:
        if labels is not None:
            self._file.seek(self._label_end)
            self._label_end += self._file.write(labels.astype("<i8", copy=False).tobytes())
        self._file.seek(self._x_end)
        self._x_end += self._file.write(x.astype("<f4", copy=False).data)
