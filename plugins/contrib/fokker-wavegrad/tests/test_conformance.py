"""What the components claim, measured by the conformance kit."""

from pathlib import Path

import pytest
from fokker.testing import checks_for, conformance, run
from fokker.testing.recipes import Recipe

from fokker_wavegrad.grids import LinearBetas, NoiseSchedule
from fokker_wavegrad.network import WaveGrad
from fokker_wavegrad.objective import ContinuousLevel
from fokker_wavegrad.sampler import ClippedAncestral
from fokker_wavegrad.tones import Tones
from fokker_wavegrad.wav import Wav


@conformance(
    WaveGrad(factors=(3, 2), up=(8, 6), down=(4, 6), first=8, near=1),
    WaveGrad(factors=(4,), up=(6,), down=(4,), first=6, near=0, level_scale=5000.0),
    ContinuousLevel(),
    ClippedAncestral(),
    ClippedAncestral(bound=0.5),
    Tones(n=20, frames=8),
    Tones(n=6, sample_rate=11_025, hop=50, frames=4, mels=0, seed=3),
    NoiseSchedule(),
    NoiseSchedule(betas=(1e-3, 0.6)),
    LinearBetas(),
)
def test_conformance(check):
    check()


def test_files_conform(sounds: Path) -> None:
    for source in (
        Wav(str(sounds), n=12, sample_rate=8000, hop=40, frames=6, mels=10, test_share=0.5),
        Wav(str(sounds), n=12, sample_rate=6000, hop=25, frames=200, mels=0, test_share=0.5, seed=1),
    ):
        failed = [o for o in map(run, checks_for(source)) if o.status == "failed"]
        assert not failed, failed


@pytest.mark.parametrize("name", ["wavegrad-tones", "wavegrad-speech", "wavegrad"])
def test_recipes_conform(name: str, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("audio", "speech"):  # which the recipes name
        (tmp_path / folder).symlink_to(sounds)
    checks = [check for check in checks_for(Recipe(name)) if name != "wavegrad" or check.name != "trains"]
    failed = [o for o in map(run, checks) if o.status == "failed"]
    assert not failed, failed
