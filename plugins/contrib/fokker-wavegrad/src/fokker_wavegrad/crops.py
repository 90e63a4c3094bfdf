"""Crops: the examples of every audio source, a waveform each and the mel spectrogram that goes with it."""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fokker.errors import DataError
from fokker.data import Batch, Examples
from fokker_wavegrad.mel import LogMel

__all__ = ["Crops", "generator"]


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
    def cut(self, i: int, margin: int) -> "np.ndarray[tuple[int], np.dtype[np.float32]]":
        """The waveform of example `i` with `margin` values more on both sides, float32, (margin + L + margin,)."""
