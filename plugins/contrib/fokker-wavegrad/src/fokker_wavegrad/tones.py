"""Pieces of tones and chirps that are made up: audio for tests and small models, without any file."""

from math import log, pi
from typing import Annotated, TypeAlias

import numpy as np
from annotated_types import Ge, Gt
from fokker import ConfigError, component
from fokker.data import Split, Transform
from numpy.typing import NDArray

from fokker_wavegrad.crops import Audio, Crops, generator

__all__ = ["Tones", "piece", "ramps"]

Samples: TypeAlias = NDArray[np.float32]

_PITCH = (110.0, 1400.0)
"""Lowest and highest pitch of a note in Hz, at its beginning."""

_LONG = (0.12, 0.5)
"""Shortest and longest note in seconds."""

_RAMP = 0.01
"""Seconds in which a note begins and ends."""


@component
class Tones(Audio):
    """Pieces made of notes: tones of one to three harmonics, half of them chirps, event shape (1, hop frames).

        x(t) = sum_h a_h sin(2 pi h phi(t)),    phi'(t) = f exp(r t)

    Every example is a piece of its own, of notes of 0.12 to 0.5 s from 110 to 1400 Hz; a chirp rises or falls by up to
    an octave a note. Beside each waveform there is its log-mel spectrogram, `mel` of shape (mels, frames).

    Args:
        n: Number of pieces of each split.
        sample_rate: In Hz, 6000 at least.
        hop: Values from one frame of the spectrogram to the next.
        frames: Frames of a piece.
        mels: Bands of the spectrogram; 0 gives waveforms alone.
        seed: Decides the pieces.
        transforms: Applied in this order on the way to the model.
    """

    n: Annotated[int, Gt(0)] = 50_000
    sample_rate: Annotated[int, Ge(6000)] = 8000
    hop: Annotated[int, Gt(0)] = 64
    frames: Annotated[int, Gt(0)] = 64
    mels: Annotated[int, Ge(0)] = 48
    seed: int = 0
    transforms: tuple[Transform, ...] = ()

    def open(self, split: Split = "train") -> Crops:
        """Open a split; nothing is made yet."""
        return _Pieces(self, split)


class _Pieces(Crops):
    def __init__(self, source: Tones, split: Split) -> None:
        super().__init__(source.n, source.hop * source.frames, source.features)
        self._source, self._split = source, 0 if split == "train" else 1

    def cut(self, i: int, margin: int) -> Samples:
        """The middle of a piece that begins and ends `margin` values farther out."""
        s = self._source
        # a piece has its own beginning, so that its features do not depend on how far out it is asked for
        whole = 2048 * -(-margin // 2048)
        x = piece(generator(s.seed, self._split, i), whole + self.event_shape[1] + whole, s.sample_rate)
        return x[whole - margin : len(x) - (whole - margin)]


def piece(random: np.random.Generator, length: int, sample_rate: int) -> Samples:
    """A piece: one note after another, each with a little of a rest behind it.

    Args:
        random: Where its notes come from.
        length: Number of values.
        sample_rate: In Hz.

    Returns:
        Values within [-0.9, 0.9], float32, (length,).

    Raises:
        ConfigError: If the sample rate has no room for its notes.
    """
    if sample_rate < 6000:
        raise ConfigError(f"Pieces of tones need a sample rate of 6000 Hz at least; got {sample_rate}.")
    x = np.zeros(length, np.float64)
    # the first note began before the piece does
    at = -int(random.uniform(0, _LONG[1]) * sample_rate)
    while at < length:
        duration = random.uniform(*_LONG)
        note = _note(random, int(duration * sample_rate), sample_rate)
        low, high = max(at, 0), min(at + len(note), length)
        if low < high:
            x[low:high] += note[low - at : high - at]
        at += len(note) + int(random.uniform(0, 0.06) * sample_rate)
    return x.astype(np.float32)


def _note(random: np.random.Generator, n: int, sample_rate: int) -> NDArray[np.float64]:
    pitch = float(np.exp(random.uniform(log(_PITCH[0]), log(_PITCH[1]))))
    rise = random.uniform(-log(2), log(2)) if random.uniform() < 0.5 else 0.0
    harmonics = int(random.integers(1, 4))
    loud = random.uniform(0.15, 0.45)
    decay = random.uniform(0, 3)
    t = np.arange(n) / n
    frequency = pitch * np.exp(rise * t)
    phase = 2 * pi * np.cumsum(frequency) / sample_rate
    x = np.zeros(n)
    for h in range(1, harmonics + 1):
        start, weight = random.uniform(0, 2 * pi), random.uniform(0.3, 1) / h
        # what lies above half the sample rate would come back as another tone
        x += weight * np.where(h * frequency < 0.47 * sample_rate, np.sin(h * phase + start), 0)
    shaped: NDArray[np.float64] = loud * np.exp(-decay * t) * ramps(n, sample_rate) * x
    return shaped


def ramps(n: int, sample_rate: int) -> NDArray[np.float64]:
    """Factors that let a sound of `n` values begin and end within 10 ms instead of with a click."""
    edges = np.minimum(1, np.minimum(np.arange(n) + 0.5, n - 0.5 - np.arange(n)) / (_RAMP * sample_rate))
    found: NDArray[np.float64] = np.sin(pi / 2 * edges) ** 2
    return found
