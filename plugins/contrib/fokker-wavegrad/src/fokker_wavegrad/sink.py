"""Samples as sound: one .wav file, the samples one after another."""

from collections.abc import Mapping

import numpy as np
from fokker import ConfigError
from fokker.sink import About, WholeFileSink
from numpy.typing import NDArray

__all__ = ["WavSink"]

_REST = 0.25
"""Seconds of silence between two samples."""


class WavSink(WholeFileSink):
    """A .wav file of 16 bits, the samples one after another with a quarter of a second between them.

    The sample rate is what the data says (`about["sample_rate"]`). Values beyond [-1, 1] are clipped.
    """

    @property
    def note(self) -> str:
        """That the samples stand one after another, and that labels are left out."""
        words = []
        if self.n > 1:
            words.append(f"The {self.n} samples follow one another with {_REST:g} s of silence between them.")
        if self.labels:
            words.append("A .wav file has no place for the labels; .npz, .safetensors and .csv have.")
        return " ".join(words)

    def _begin(self, about: Mapping[str, About]) -> None:
        import soundfile

        rate = about.get("sample_rate")
        channels, *rest = self.event_shape
        if not isinstance(rate, int) or len(rest) != 1 or channels > 16:
            self.drop()
            raise ConfigError(
                f"A .wav file holds sound, and this data, of shape {self.event_shape}, has no sample rate; end the path"
                " in .npy or .npz."
            )
        self._silence = np.zeros((round(_REST * rate), channels), np.float32)
        self._sound = soundfile.SoundFile(self._file, "w", rate, channels, subtype="PCM_16", format="WAV")

    def _append(self, x: "NDArray[np.float32]", labels: "NDArray[np.int64] | None") -> None:
        for k, sample in enumerate(x, self.written):
            if k:
                self._sound.write(self._silence)
            self._sound.write(sample.T)

    def _finish(self) -> None:
        self._sound.close()
        super()._finish()
