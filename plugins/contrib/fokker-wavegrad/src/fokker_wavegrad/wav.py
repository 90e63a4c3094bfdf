"""Random crops of audio files."""

import hashlib
import unicodedata
from collections import OrderedDict
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import numpy as np
from annotated_types import Ge, Gt, Interval
from fokker import component
from fokker.data import Split, Transform
from fokker.errors import DataError
from numpy.typing import NDArray

from fokker_wavegrad.crops import Audio, Crops, generator
from fokker_wavegrad.files import audio_files, read_audio

__all__ = ["Wav", "in_test"]

Samples: TypeAlias = NDArray[np.float32]

_MEMORY = 1 << 26
"""Values of decoded files that are remembered, 256 MB."""


@component
class Wav(Audio):
    """Random crops of the audio files under a folder, values in [-1, 1], event shape (1, hop frames).

    Example `i` of a split is a crop whose file and place follow from the seed and `i` alone: every second of sound is
    as likely as any other. Crops begin at whole frames, and beside each there is its part of the file's log-mel
    spectrogram, `mel` of shape (mels, frames). Channels are averaged, other sample rates resampled. Whether a file is
    in the test split depends on its path under `root` alone, so adding files moves none.

    Args:
        root: Folder; all .wav, .flac, .ogg, .opus, .mp3, .aif, .aiff and .au files under it are read, hidden ones
            excepted.
        n: Number of crops of the training split; the test split has a tenth of it, one at least.
        sample_rate: In Hz.
        hop: Values from one frame of the spectrogram to the next.
        frames: Frames of a crop; files that are shorter are followed by silence.
        mels: Bands of the spectrogram; 0 gives waveforms alone.
        test_share: Share of files in the test split, in [0, 1); met on average.
        seed: Decides the crops.
        transforms: Applied in this order on the way to the model.
    """

    root: str
    n: Annotated[int, Gt(0)] = 100_000
    sample_rate: Annotated[int, Gt(0)] = 24_000
    hop: Annotated[int, Gt(0)] = 300
    frames: Annotated[int, Gt(0)] = 24
    mels: Annotated[int, Ge(0)] = 128
    test_share: Annotated[float, Interval(ge=0, lt=1)] = 0.1
    seed: int = 0
    transforms: tuple[Transform, ...] = ()

    def open(self, split: Split = "train") -> Crops:
        """Open a split; only the lengths of the files are read yet.

        Raises:
            DataError: If there are no audio files, or none in this split.
        """
        root = Path(self.root)
        paths = audio_files(root)
        chosen = [p for p in paths if in_test(p, self.test_share) == (split == "test")]
        if not chosen:
            raise DataError(
                f"{root}: the {split} split is empty ({len(paths)} files, test_share={self.test_share:g}): "
                f"{'raise' if split == 'test' else 'lower'} test_share or take the other split."
            )
        return _Cuts(self, split, root, chosen)


class _Cuts(Crops):
    def __init__(self, source: Wav, split: Split, root: Path, paths: list[str]) -> None:
        n = source.n if split == "train" else -(-source.n // 10)
        super().__init__(n, source.hop * source.frames, source.features)
        self._source, self._split, self._root, self._paths = source, 0 if split == "train" else 1, root, paths
        self._decoded: OrderedDict[str, Samples] = OrderedDict()
        # frames at which a crop may begin: one at least, where a short file begins
        values = [_length(root / path, source.sample_rate) for path in paths]
        self._starts = np.array([max(1, v // source.hop - source.frames + 1) for v in values], np.int64)
        self._until = np.cumsum(self._starts)

    def cut(self, i: int, margin: int) -> Samples:
        """A crop with what lies around it in its file, and silence beyond."""
        s = self._source
        place = int(generator(s.seed, self._split, i).integers(self._until[-1]))
        k = int(np.searchsorted(self._until, place, side="right"))
        at = (place - int(self._until[k] - self._starts[k])) * s.hop
        x = self._file(self._paths[k])
        low, high = at - margin, at + self.event_shape[1] + margin
        inside = x[max(low, 0) : max(min(high, len(x)), 0)]
        before = max(-low, 0)
        return np.pad(inside, (before, high - low - before - len(inside)))

    def _file(self, path: str) -> Samples:
        found = self._decoded.get(path)
        if found is None:
            found = read_audio(self._root / path, self._source.sample_rate)
            self._decoded[path] = found
            while len(self._decoded) > 1 and sum(map(len, self._decoded.values())) > _MEMORY:
                self._decoded.popitem(last=False)
        return found

    def __getstate__(self) -> dict[str, Any]:
        """Without what was decoded: a worker decodes what it needs."""
        return {**self.__dict__, "_decoded": OrderedDict()}


def in_test(path: str, test_share: float) -> bool:
    """Whether a file is in the test split: a hash of its path, as a number in [0, 1), is below the share."""
    normal = unicodedata.normalize("NFC", path)  # file systems differ in how they store accents
    digest = hashlib.blake2b(normal.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < test_share * 2**64


def _length(path: Path, sample_rate: int) -> int:
    """Values that a file has at a sample rate, by its header."""
    import soundfile

    try:
        about = soundfile.info(path)
    except (soundfile.SoundFileError, OSError) as error:
        raise DataError(
            f"{path} cannot be read as audio ({' '.join(str(error).split())}): replace or remove it."
        ) from None
    return int(about.frames * sample_rate / about.samplerate)
