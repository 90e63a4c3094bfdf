"""What all tests share: one torch thread, sounds in a folder, and a tiny run."""

from pathlib import Path

import numpy as np
import pytest
import torch
from fokker.plan import resolve
from fokker.plugins.host import Host, load_plugins
from fokker.training.loop import start

from fokker_wavegrad.crops import generator
from fokker_wavegrad.files import write_audio
from fokker_wavegrad.tones import piece

torch.set_num_threads(1)

TINY = {
    "data": "fokker-wavegrad/wav:root='{root}',n=40,sample_rate=8000,hop=8,frames=16,mels=6,test_share=0.5",
    "network": "fokker-wavegrad/wavegrad:factors=[4,2],up=[8,6],down=[4,6],first=8,near=1",
    "perturbation": "betas:start=1e-6,end=0.01",
    "label": "alpha",
    "parameterization": "eps",
    "objective": "fokker-wavegrad/wavegrad",
}
SETS = ("train.steps=4", "train.batch_size=4", "train.decay=constant", "train.log_every=1", "sample.steps=3")


@pytest.fixture(scope="session")
def host() -> Host:
    return load_plugins()


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six short pieces at three sample rates, one of them in two channels; two lie in a folder below."""
    root = tmp_path_factory.mktemp("sounds")
    (root / "more").mkdir()
    for k, rate in enumerate((8000, 8000, 16_000, 22_050, 8000, 8000)):
        x = piece(generator(5, k), rate // 2, rate)
        if k == 1:
            x = np.stack([x, 0.5 * x], axis=1)
        write_audio(root / ("more" if k > 3 else "") / f"{k}.wav", x, rate)
    return root


@pytest.fixture(scope="session")
def run(host: Host, sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vocoder after four steps."""
    path = tmp_path_factory.mktemp("runs") / "tiny"
    options = {kind: spec.format(root=sounds) for kind, spec in TINY.items()}
    for _ in start(host, resolve(host.registry, options=options, sets=SETS), path):
        pass
    return path
