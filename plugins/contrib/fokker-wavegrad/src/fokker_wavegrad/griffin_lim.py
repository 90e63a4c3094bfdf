"""Griffin-Lim: a waveform from the same mel spectrogram without any model, to compare with."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fokker_wavegrad.mel import LogMel, filters

__all__ = ["griffin_lim"]

Samples: TypeAlias = NDArray[np.float32]


def griffin_lim(mel: Tensor, features: LogMel, *, iterations: int = 60, seed: int = 0) -> Samples:
    """Invert a mel spectrogram by non-negative least squares and Griffin-Lim's iteration (librosa's, with momentum).

    Args:
        mel: Log-mel spectrogram, (mels, frames).
        features: What it was made with.
        iterations: Of the fast iteration (Perraudin et al., 2013).
        seed: Of the phases that it starts with.

    Returns:
        The waveform, (hop frames,).
    """
    import librosa

    bands = filters(features.sample_rate, features.n_fft, features.mels).numpy()
    wanted = features.magnitudes(mel).numpy().astype(np.float32)
    window = np.hanning(features.window + 1)[:-1]  # periodic, as the features' own
    spectrum = librosa.util.nnls(bands, wanted) * np.float32(np.sqrt(np.square(window).sum()))
    length = features.hop * mel.shape[1]
    # frames are centred, and the one at the end of the waveform is the last one again
    spectrum = np.concatenate([spectrum, spectrum[:, -1:]], axis=1)
    x = librosa.griffinlim(
        spectrum,
        n_iter=iterations,
        hop_length=features.hop,
        win_length=features.window,
        n_fft=features.n_fft,
        length=length,
        pad_mode="constant",
        random_state=seed,
    )
    found: Samples = x.astype(np.float32)
    return found
