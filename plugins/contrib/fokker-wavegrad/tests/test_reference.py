"""The published program's own numbers (lmnt-com's WaveGrad, narrowed); tests/reference says where they come from."""

from pathlib import Path

import pytest
import torch
from fokker import DataSpec, load_plugins
from fokker.errors import ConfigError, FokkerError
from fokker.label import Alpha
from fokker.model import NetworkModel
from fokker.noise import Recorded
from fokker.parameterization import Eps
from fokker.run.convert import convert
from fokker.sampler import trajectory
from fokker.table import Betas
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from fokker_wavegrad.blocks import noise_level_encoding
from fokker_wavegrad.grids import NoiseSchedule
from fokker_wavegrad.network import WaveGrad
from fokker_wavegrad.objective import ContinuousLevel
from fokker_wavegrad.sampler import ClippedAncestral

NUMBERS = load_file(Path(__file__).parent / "reference" / "wavegrad_narrow.safetensors")
WEIGHTS = {k.removeprefix("state_dict/"): v.float() for k, v in NUMBERS.items() if k.startswith("state_dict/")}
PERTURBATION = Betas(start=1e-6, end=0.01, steps=1000)
WIDE = (1, NUMBERS["audio"].shape[1])


@pytest.fixture(scope="module")
def model() -> NetworkModel:
    found = WaveGrad.published(WEIGHTS)
    assert found is not None
    sizes = {k: tuple(v) if isinstance(v, list) else v for k, v in found.facts["network"].items() if k != "name"}
    backbone = WaveGrad(**sizes).build(DataSpec(WIDE, condition={"mel": (16, 3)}))
    backbone.load_state_dict(dict(found.weights))
    return NetworkModel(backbone, PERTURBATION, Eps(), Alpha())


def cond() -> dict[str, torch.Tensor]:
    return {"mel": NUMBERS["spectrogram"]}


def close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    assert_close(actual, expected, rtol=1e-5, atol=2e-5 * float(expected.abs().max()))


def test_noise_level_encoding_is_the_original():
    close(noise_level_encoding(NUMBERS["pos_encoding/noise_level"], 10), NUMBERS["pos_encoding/encoding_dim10"])


@torch.no_grad()
def test_forward_is_the_original(model):
    out = model.backbone(NUMBERS["audio"][:, None], NUMBERS["noise_scale"], cond())
    close(out, NUMBERS["output"])


def test_levels_are_the_original_table():
    alpha = PERTURBATION.alpha(PERTURBATION.knots)
    close(alpha.float(), NUMBERS["noise_level"][1:])
    assert float(NUMBERS["noise_level"][0]) == 1.0


def test_training_loss_is_the_original(model):
    s, u = NUMBERS["loss/s"], NUMBERS["loss/u"].double()
    # an original draw (s, u) is one number of ours: its digit says s, and what follows says u
    t = ContinuousLevel().times(PERTURBATION, (s - 1 + u) / 1000)
    close(PERTURBATION.alpha(t).float(), NUMBERS["loss/noise_scale"])
    noise = Recorded(NUMBERS["loss/noise"][None, :, None])
    x0 = NUMBERS["audio"][:, None]
    alpha = NUMBERS["loss/noise_scale"][:, None]
    clean = (NUMBERS["loss/noisy_audio"] - (1 - alpha**2).sqrt() * NUMBERS["loss/noise"]) / alpha
    assert_close(clean, NUMBERS["audio"], rtol=0, atol=1e-5)  # the recorded audio is what was noised
    loss = ContinuousLevel().loss(model, x0, t, noise, cond())
    close(loss.mean() / x0[0].numel(), NUMBERS["loss/loss"])
    model.backbone.zero_grad()
    (loss.mean() / x0[0].numel()).backward()
    norm = torch.stack([p.grad.norm() for p in model.backbone.parameters()]).norm()
    assert_close(norm, NUMBERS["loss/grad_norm"], rtol=1e-3, atol=0)


def test_sampling_is_the_original(model):
    betas = tuple(NUMBERS["inference/betas"].tolist())
    times = NoiseSchedule(betas=betas).times(PERTURBATION, 5)
    close(PERTURBATION.alpha(times).float(), NUMBERS["inference/noise_scale"].flatten())
    x, noise = NUMBERS["inference/x_T"][:, None], Recorded(NUMBERS["inference/noise"][:, :, None])
    states = [state.x[:, 0] for state in trajectory(model, ClippedAncestral(), times, noise, x, cond=cond())]
    assert len(states) == 7
    for found, expected in zip(states[1:], NUMBERS["inference/states"], strict=True):
        assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_published_weights_become_a_run(tmp_path: Path):
    host = load_plugins()
    file = tmp_path / "weights.safetensors"
    save_file({k: v.contiguous() for k, v in WEIGHTS.items()}, file)
    options = {"data": "fokker-wavegrad/tones:n=4,sample_rate=24000,hop=300,frames=3,mels=16"}
    run = convert(host, file, tmp_path / "run", options=options)
    with torch.no_grad():
        out = run.model().backbone(NUMBERS["audio"][:, None], NUMBERS["noise_scale"], cond())
    close(out, NUMBERS["output"])
    assert run.spec.condition == {"mel": (16, 3)}
    other = convert(host, file, tmp_path / "shaped", options=options, shape=WIDE)
    assert other.spec.condition == {"mel": (16, 3)}


def test_a_checkpoint_of_the_program_is_known():
    wrapped = {"step": 7, "model": {f"module.{k}": v for k, v in WEIGHTS.items()}, "optimizer": {"state": {}}}
    found = WaveGrad.published(wrapped)
    assert found is not None and found.weights.keys() == WEIGHTS.keys()


def test_weights_with_a_key_of_no_place_are_refused_by_name(tmp_path: Path):
    file = tmp_path / "weights.safetensors"
    save_file({**{k: v.contiguous() for k, v in WEIGHTS.items()}, "extra.weight": torch.ones(2)}, file)
    options = {"data": "fokker-wavegrad/tones:n=4,sample_rate=24000,hop=300,frames=3,mels=16"}
    with pytest.raises(FokkerError, match=r"has besides extra\.weight"):
        convert(load_plugins(), file, tmp_path / "run", options=options)


def test_data_of_another_kind_is_refused():
    network = WaveGrad(factors=(4,), up=(6,), down=(4,), first=6, near=0)
    for spec, words in (
        (DataSpec((1, 9), condition={"mel": (6, 2)}), "multiple of 4"),
        (DataSpec((2, 8), condition={"mel": (6, 2)}), r"waveforms \(1, L\)"),
        (DataSpec((1, 8)), "this data has none"),
        (DataSpec((1, 8), 3, {"mel": (6, 2)}), "class labels, mel"),
        (DataSpec((1, 8), condition={"mel": (6, 3)}), "3 frames for 8 values"),
    ):
        with pytest.raises(ConfigError, match=words):
            network.build(spec)
