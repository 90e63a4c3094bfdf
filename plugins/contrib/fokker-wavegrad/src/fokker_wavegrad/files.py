"""Audio files: read, resampled, mixed down; written."""

from pathlib import Path
from typing import TypeAlias

import numpy as np
from fokker.errors import DataError, RunError
from numpy.typing import NDArray

__all__ = ["SUFFIXES", "audio_files", "read_audio", "write_audio"]

Samples: TypeAlias = NDArray[np.float32]

SUFFIXES = frozenset({".aif", ".aiff", ".au", ".flac", ".mp3", ".ogg", ".opus", ".wav"})
"""Files that are taken for audio."""


def audio_files(root: Path) -> list[str]:
    """Paths of the audio files under a folder, hidden ones excepted, relative to it with forward slashes, sorted.

    Raises:
        DataError: If there is no such folder, or no audio file in it.
    """
    if not root.is_dir():
        raise DataError(f"{root} is no folder: set root to the folder that holds the audio files.")
    found = []
    for path in root.rglob("*"):
        inside = path.relative_to(root)
        if path.suffix.lower() in SUFFIXES and not any(part.startswith(".") for part in inside.parts):
            found.append(inside.as_posix())
    if not found:
        raise DataError(f"{root} holds no audio files ({', '.join(sorted(SUFFIXES))}).")
    return sorted(found)


def read_audio(path: Path, sample_rate: int) -> Samples:
    """Read a file as one channel at a sample rate.

    Channels are averaged; another rate is resampled by a band-limited interpolation (soxr, high quality).

    Args:
        path: The file.
        sample_rate: In Hz.

    Returns:
        Values, float32, (n,), in [-1, 1] as far as the file's are.

    Raises:
        DataError: If it cannot be read, or holds no values, or one that is not finite.
    """
    import soundfile

    try:
        x, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise DataError(
            f"{path} cannot be read as audio ({' '.join(str(error).split())}): replace or remove it."
        ) from None
    if not len(x):
        raise DataError(f"{path} holds no sound: remove it.")
    mono = x.mean(axis=1)
    if rate != sample_rate:
        import soxr

        mono = soxr.resample(mono, rate, sample_rate, quality="HQ")
    if not np.isfinite(mono).all():
        raise DataError(f"{path} holds a value that is not finite: replace or remove it.")
    return np.ascontiguousarray(mono, np.float32)


def write_audio(path: Path, x: Samples, sample_rate: int) -> None:
    """Write a waveform as a .wav file of 16 bits; values beyond [-1, 1] are clipped.

    Args:
        path: The file; whole or not there.
        x: Values, (n,).
        sample_rate: In Hz.

    Raises:
        RunError: If it cannot be written.
    """
    import soundfile
    from fokker.partial import Partial

    try:
        with Partial(path) as file:
            soundfile.write(file, x, sample_rate, format="WAV", subtype="PCM_16")
    except soundfile.SoundFileError as error:
        raise RunError(f"{path} cannot be written as audio ({' '.join(str(error).split())}).") from None
