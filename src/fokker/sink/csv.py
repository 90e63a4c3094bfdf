"""Numbers between commas: a line of names, then a sample a line."""

from collections.abc import Mapping
from math import prod

import numpy as np

from fokker.sink.sink import About, Floats, Integers, WholeFileSink

__all__ = ["CsvSink"]


class CsvSink(WholeFileSink):
    """A .csv file with the columns x0, x1, ... of the flattened sample, and last `label`.

    Nine significant digits give every float32 back exactly.
    """

    def _begin(self, about: Mapping[str, About]) -> None:
        d = prod(self.event_shape)
        names = [f"x{i}" for i in range(d)] + ["label"] * self.labels
        self._formats = ["%.9g"] * d + ["%d"] * self.labels
        self._file.write((",".join(names) + "\n").encode())

    def _append(self, x: Floats, labels: Integers | None) -> None:
        columns = [x.reshape(len(x), -1).astype(np.float64)]
        if labels is not None:
            columns.append(labels[:, None].astype(np.float64))
        np.savetxt(self._file, np.hstack(columns), fmt=self._formats, delimiter=",", newline="\n")
