"""The sounds that are vocoded: files that are named, held-out files of a folder, or held-out pieces."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from fokker import ConfigError, DataSource
from numpy.typing import NDArray

from fokker_wavegrad.crops import Audio
from fokker_wavegrad.files import audio_files, read_audio
from fokker_wavegrad.wav import Wav, in_test

__all__ = ["sounds"]

Samples: TypeAlias = NDArray[np.float32]


def sounds(data: DataSource, files: Sequence[Path], n: int) -> list[tuple[str, Samples]]:
    """Names and waveforms at the sample rate of the data.

    Args:
        data: What the model was trained on.
        files: Audio files; without any, the first `n` of the test split, whole files where the data has files.
        n: Number of held-out sounds.

    Raises:
        ConfigError: If two files have one name, or the data has no sound.
        DataError: If a file cannot be read.
    """
    if not isinstance(data, Audio):
        raise ConfigError(f"{type(data).__name__} has no sounds; name files.")
    if not files and isinstance(data, Wav):
        root = Path(data.root)
        files = [root / path for path in audio_files(root) if in_test(path, data.test_share)][:n]
    if files:
        names = [path.stem for path in files]
        twice = next((name for k, name in enumerate(names) if name in names[:k]), None)
        if twice is not None:
            raise ConfigError(
                f"Two of the files are called {twice}, and would be written to one place; take one at a time."
            )
        return [(name, read_audio(path, data.sample_rate)) for name, path in zip(names, files, strict=True)]
    examples = data.open("test")
    x = examples.fetch(range(min(n, len(examples)))).x
    return [(f"{k:03d}", one[0].numpy()) for k, one in enumerate(x)]
