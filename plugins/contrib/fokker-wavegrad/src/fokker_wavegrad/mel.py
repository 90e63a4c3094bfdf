"""Log-mel spectrograms: what a vocoder is told of a waveform.

    mel = clip((20 log10 max(F |STFT|, 1e-5) + 80) / 100, 0, 1)

F are triangles on the mel scale of O'Shaughnessy from 20 Hz to half the sample rate. Magnitudes are divided by the
root of the sum of the squared window (lmnt-com's features, which the published weights expect).
"""

import warnings
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

__all__ = ["LogMel", "filters"]

_LOWEST = 20.0
"""Lowest frequency in Hz."""


@lru_cache(maxsize=16)
def filters(sample_rate: int, n_fft: int, mels: int) -> Tensor:
    """The bands as weights of the bins of a spectrum, float32, (mels, n_fft // 2 + 1); one between two bins is empty.

    Args:
        sample_rate: In Hz.
        n_fft: Length of the transform.
        mels: Number of bands.
    """
    import librosa

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Empty filters")  # it tells every worker again; the spectrogram shows it
        bands = librosa.filters.mel(
            sr=sample_rate, n_fft=n_fft, n_mels=mels, fmin=_LOWEST, fmax=sample_rate / 2, htk=True, norm=None
        )
    return torch.from_numpy(bands).float()


@dataclass(frozen=True)
class LogMel:
    """Log-mel spectrograms of waveforms at one sample rate.

    Args:
        sample_rate: In Hz.
        hop: Values from one frame to the next.
        mels: Number of bands.
    """

    sample_rate: int
    hop: int
    mels: int

    @property
    def window(self) -> int:
        """Length of the window: four hops."""
        return 4 * self.hop

    @property
    def n_fft(self) -> int:
        """Length of the transform: the next power of two."""
        return 1 << (self.window - 1).bit_length()

    @property
    def margin(self) -> int:
        """Values that frames look at on both sides of the waveform."""
        return self.n_fft // 2

    def spectrum(self, x: Tensor) -> Tensor:
        """Magnitudes of the frames, normalised by the window.

        Args:
            x: Waveforms with `margin` values more on both sides, (B, 2 margin + L), L a multiple of the hop.

        Returns:
            (B, n_fft // 2 + 1, L / hop); frame k is centred on value k hop.
        """
        window = torch.hann_window(self.window, dtype=x.dtype, device=x.device)
        frames = torch.stft(
            x, self.n_fft, self.hop, self.window, window, center=False, return_complex=True, normalized=False
        )
        frames = frames[..., : (x.shape[-1] - 2 * self.margin) // self.hop]
        return frames.abs() / window.square().sum().sqrt()

    def __call__(self, x: Tensor) -> Tensor:
        """The spectrograms of waveforms with their margins, values in [0, 1], (B, mels, L / hop)."""
        bands = filters(self.sample_rate, self.n_fft, self.mels).to(x.device, x.dtype)
        decibels = 20 * (bands @ self.spectrum(x)).clamp(min=1e-5).log10()
        return ((decibels + 80) / 100).clamp(0, 1)

    def magnitudes(self, mel: Tensor) -> Tensor:
        """Back to the magnitudes of the bands, of the same shape; values at the ends of [0, 1] are taken for exact."""
        return 10 ** ((100 * mel - 80) / 20)
