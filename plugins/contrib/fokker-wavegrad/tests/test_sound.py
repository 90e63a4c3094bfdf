"""Features, files, crops and distances."""

import pickle
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import torch
from fokker.errors import ConfigError, DataError
from torch.testing import assert_close

from fokker_wavegrad.crops import generator
from fokker_wavegrad.distance import log_spectral_distance
from fokker_wavegrad.files import audio_files, read_audio, write_audio
from fokker_wavegrad.griffin_lim import griffin_lim
from fokker_wavegrad.mel import LogMel
from fokker_wavegrad.tones import Tones, piece
from fokker_wavegrad.vocoder import mel_of
from fokker_wavegrad.wav import Wav

FEATURES = LogMel(8000, 64, 24)


def sound(seed: int = 0, n: int = 6400) -> torch.Tensor:
    return torch.from_numpy(piece(generator(seed), n, 8000))


def test_mel_is_that_of_librosa():
    x = sound()
    whole, mel = mel_of(x, FEATURES)
    window = np.hanning(FEATURES.window + 1)[:-1]
    power = librosa.feature.melspectrogram(
        y=whole.numpy(), sr=8000, n_fft=FEATURES.n_fft, hop_length=64, win_length=FEATURES.window, n_mels=24,
        fmin=20, fmax=4000, htk=True, norm=None, power=1.0, pad_mode="constant",
    )[:, : mel.shape[1]] / np.sqrt((window**2).sum())  # fmt: skip
    expected = np.clip((20 * np.log10(np.maximum(power, 1e-5)) + 80) / 100, 0, 1)
    assert_close(mel.numpy(), expected.astype(np.float32), rtol=0, atol=1e-4)


def test_a_crops_mel_is_its_part_of_the_files(sounds: Path):
    source = Wav(str(sounds), n=30, sample_rate=8000, hop=64, frames=8, mels=24, test_share=0.0)
    batch = source.open().fetch(range(30))
    files = [mel_of(torch.from_numpy(read_audio(sounds / path, 8000)), FEATURES) for path in audio_files(sounds)]
    for x, mel in zip(batch.x[:, 0], batch.cond["mel"], strict=True):
        found = 0
        for whole, all_mels in files:
            for k in range(all_mels.shape[1] - 7):
                if torch.equal(whole[64 * k : 64 * (k + 8)], x):
                    assert_close(all_mels[:, k : k + 8], mel, rtol=0, atol=1e-4)
                    found += 1
        assert found


def test_crops_follow_from_seed_and_position(sounds: Path):
    source = Wav(str(sounds), n=12, sample_rate=8000, hop=40, frames=6, mels=10, test_share=0.5)
    a, b = source.open(), pickle.loads(pickle.dumps(source.open()))
    assert torch.equal(a.fetch([7, 3]).x, b.fetch([3, 7]).x.flip(0))
    assert len({tuple(row.tolist()) for row in a.fetch(range(12)).x[:, 0]}) > 8
    other = Wav(str(sounds), n=12, sample_rate=8000, hop=40, frames=6, mels=10, test_share=0.5, seed=1)
    assert not torch.equal(a.fetch([0]).x, other.open().fetch([0]).x)


def test_files_are_resampled_and_mixed_down(tmp_path: Path):
    t = np.arange(16_000) / 16_000
    left, right = np.sin(2 * np.pi * 500 * t), np.sin(2 * np.pi * 1000 * t)
    write_audio(tmp_path / "a.wav", np.stack([left, right], 1).astype(np.float32) / 2, 16_000)
    x = read_audio(tmp_path / "a.wav", 8000)
    t = np.arange(8000) / 8000
    expected = (np.sin(2 * np.pi * 500 * t) + np.sin(2 * np.pi * 1000 * t)) / 4
    assert x.shape == (8000,)
    assert np.abs(x - expected)[200:-200].max() < 2e-3


def test_a_short_file_is_followed_by_silence(tmp_path: Path):
    write_audio(tmp_path / "a.wav", np.full(100, 0.5, np.float32), 8000)
    x = Wav(str(tmp_path), n=2, sample_rate=8000, hop=64, frames=4, mels=8, test_share=0.0).open().fetch([0]).x
    assert bool((x[0, 0, :100] > 0.4).all()) and not bool(x[0, 0, 100:].any())


def test_what_cannot_be_read_is_named(tmp_path: Path):
    with pytest.raises(DataError, match="is no folder"):
        Wav(str(tmp_path / "nowhere")).open()
    with pytest.raises(DataError, match="holds no audio files"):
        Wav(str(tmp_path)).open()
    (tmp_path / "a.wav").write_bytes(b"RIFF, but not really")
    with pytest.raises(DataError, match=r"a\.wav cannot be read as audio"):
        Wav(str(tmp_path), test_share=0.0).open()
    with pytest.raises(DataError, match="the test split is empty"):
        Wav(str(tmp_path), test_share=0.0).open("test")


def test_test_files_are_others(sounds: Path):
    source = Wav(str(sounds), n=40, sample_rate=8000, hop=40, frames=6, mels=0, test_share=0.5)
    train, test = (source.open(split).fetch(range(4)).x for split in ("train", "test"))
    assert not any(torch.equal(a, b) for a in train for b in test)


def test_pieces_stay_within_the_range_and_have_no_clicks():
    for seed in range(20):
        x = piece(generator(seed), 8000, 8000)
        assert np.abs(x).max() < 0.9
        assert np.abs(np.diff(x)).max() < 1.0
    with pytest.raises(ConfigError, match="6000"):
        piece(generator(0), 100, 4000)


def test_a_tone_has_the_pitch_that_it_says():
    examples = Tones(n=8, frames=200).open()
    x = examples.fetch(range(8)).x[:, 0]
    spectrum = torch.fft.rfft(x.double()).abs()
    low = spectrum[:, : x.shape[1] * 45 // 8000].amax(1)  # a falling chirp ends at 55 Hz at the lowest
    assert bool((low < 0.1 * spectrum.amax(1)).all())


def test_distance_of_a_gain_is_the_gain():
    x = sound()[None] + 0.01 * torch.randn(1, 6400, generator=torch.Generator().manual_seed(0))
    assert float(log_spectral_distance(x, x, 8000)) == 0.0
    louder = float(log_spectral_distance(1.1 * x, x, 8000))
    assert 0.7 * 20 * np.log10(1.1) < louder <= 20 * np.log10(1.1) + 1e-9  # what is at the floor differs by nothing


def test_distance_counts_what_is_silent_as_equal():
    x, tiny = sound()[None], torch.zeros(1, 6400)
    tiny[0, 3000] = 1e-6
    assert float(log_spectral_distance(x + tiny, x, 8000)) < 0.05
    with pytest.raises(ConfigError, match="cannot be compared"):
        log_spectral_distance(x, x[:, 1:], 8000)


def test_griffin_lim_comes_near_to_what_it_was_made_of():
    x, mel = mel_of(sound(), LogMel(8000, 64, 48))
    made = torch.from_numpy(griffin_lim(mel, LogMel(8000, 64, 48)))
    near = float(log_spectral_distance(made[None], x[None], 8000))
    silent = float(log_spectral_distance(torch.zeros_like(x)[None], x[None], 8000))
    assert near < 0.4 * silent
    assert made.shape == x.shape


def test_written_sound_is_clipped_not_wrapped(tmp_path: Path):
    write_audio(tmp_path / "a.wav", np.array([2.0, -2.0, 0.5], np.float32), 8000)
    x, rate = soundfile.read(tmp_path / "a.wav")
    assert rate == 8000
    assert_close(torch.tensor(x), torch.tensor([1.0, -1.0, 0.5], dtype=torch.float64), rtol=0, atol=1e-4)
