"""A picture of the first samples."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch

from fokker.sink.sink import About, Floats, Integers, WholeFileSink

if TYPE_CHECKING:
    from fokker.data import DataSource

__all__ = ["PngSink"]


class PngSink(WholeFileSink):
    """A .png file with the first samples, drawn by `fokker.draw.samples`; the others are let go."""

    source: "DataSource | None" = None
    """Where such data comes from, which may draw it in its own way."""

    @property
    def note(self) -> str:
        """How many of the samples the picture shows."""
        if self.n <= self._room:
            return ""
        return f"The picture shows the first {self._room} of {self.n} samples; .npy and other formats hold all."

    def _begin(self, about: Mapping[str, About]) -> None:
        from fokker.draw import shown  # matplotlib takes long to load: not for those who write numbers

        self._room = shown(self.event_shape)
        self._kept: list[Floats] = []

    def _append(self, x: Floats, labels: Integers | None) -> None:
        # a copy: the caller may use its block again
        self._kept.append(x[: max(0, self._room - self.written)].copy())

    def _finish(self) -> None:
        from fokker.draw import samples

        drawn = samples(torch.from_numpy(np.concatenate(self._kept)), source=self.source)
        self._file.write(drawn.png)
        super()._finish()
