"""Crops: the examples of every audio source, a waveform each and the mel spectrogram that goes with it."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from fokker import DataSource, Examples
from fokker.data import Batch
from fokker.errors import DataError
from numpy.typing import NDArray
from torch import Tensor

from fokker_wavegrad.mel import LogMel

if TYPE_CHECKING:
    from fokker.draw.picture import Picture

__all__ = ["Audio", "Crops", "generator"]


class Audio(DataSource):
    """What audio sources have in common: a sample rate, features, and pictures of sound; subclasses are components."""

    sample_rate: int
    hop: int
    mels: int

    @property
    def features(self) -> LogMel | None:
        """The spectrograms that its waveforms come with, or None."""
        return LogMel(self.sample_rate, self.hop, self.mels) if self.mels else None

    @property
    def facts(self) -> Mapping[str, int]:
        """The sample rate."""
        return {"sample_rate": self.sample_rate}

    def picture(
        self, x: Tensor, *, reference: Tensor | None = None, like: Tensor | None = None, width: int = 720
    ) -> "Picture":
        """Waveforms, one after another, over their spectrogram; see `DataSource.picture`."""
        from fokker_wavegrad.pictures import sounds_beside

        return sounds_beside(x, reference, self.sample_rate, width=width)


def generator(seed: int, *place: int) -> np.random.Generator:
    """A generator whose numbers follow from a seed and a place alone, such as a split and a position."""
    return np.random.Generator(np.random.PCG64([seed & 0xFFFFFFFFFFFFFFFF, *place]))


class Crops(Examples):
    """Waveforms (1, L) that are cut, or made, with what lies around them, so that every frame of `mel` is whole.

    Args:
        n: Number of examples.
        length: Values of a waveform, a multiple of the hop.
        mel: Its features; None for waveforms alone.
    """

    def __init__(self, n: int, length: int, mel: LogMel | None) -> None:
        self.event_shape = (1, length)
        self._n, self._mel = n, mel
        if mel is not None:
            self.condition = {"mel": (mel.mels, length // mel.hop)}

    def __len__(self) -> int:
        return self._n

    def fetch(self, index: Sequence[int]) -> Batch:
        """See `Examples.fetch`."""
        for i in index:
            if not 0 <= i < self._n:
                raise IndexError(f"there are {self._n} examples, and no number {i}")
        margin = 0 if self._mel is None else self._mel.margin
        length = self.event_shape[1]
        wide = torch.from_numpy(np.stack([self.cut(i, margin) for i in index]))
        if wide.shape[1] != length + 2 * margin:
            raise DataError(f"a crop of {wide.shape[1]} values came where {length + 2 * margin} were asked for")
        x = wide[:, None, margin : margin + length].clone()
        return Batch(x, {} if self._mel is None else {"mel": self._mel(wide)})

    @abstractmethod
    def cut(self, i: int, margin: int) -> NDArray[np.float32]:
        """The waveform of example `i` with `margin` values more on both sides, float32, (margin + L + margin,)."""
