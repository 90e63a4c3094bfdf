"""The embeddings: their formulas, and Score SDE's numbers."""

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from fokker_networks.embedding import FourierEmbedding, PositionalEmbedding, positional_embedding

DATA = Path(__file__).parent / "data" / "embedding.safetensors"


@pytest.fixture(scope="module")
def recorded():
    return load_file(DATA)


@pytest.mark.parametrize("width", [16, 17])
def test_positional_embedding_is_score_sdes(recorded, width):
    expected = recorded[f"timestep_embedding_{width}"]
    assert_close(PositionalEmbedding(width)(recorded["timesteps"]), expected, rtol=1e-5, atol=1e-5)


def test_fourier_embedding_is_score_sdes(recorded):
    module = FourierEmbedding(2 * len(recorded["fourier_W"]), scale=1.0)
    module.load_state_dict({"frequencies": recorded["fourier_W"]})
    assert_close(module(recorded["fourier_in"]), recorded["fourier_out"], rtol=1e-5, atol=1e-5)


def test_positional_embedding_is_its_formula():
    out = positional_embedding(torch.tensor([3.7], dtype=torch.float64), 7)
    angles = [3.7 * 10_000 ** (-i / 2) for i in range(3)]
    expected = [*map(math.sin, angles), *map(math.cos, angles), 0.0]
    assert_close(out, torch.tensor([expected], dtype=torch.float64), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("width", [1, 2, 3])
def test_the_narrowest_embeddings_have_their_width(width):
    label = torch.tensor([0.5, 2.0])
    out = positional_embedding(label, width)
    assert_close(out, torch.stack([label.sin(), label.cos(), 0 * label], 1)[:, :width] if width > 1 else 0 * out)
    assert FourierEmbedding(width, 1.0)(label).shape == (2, width)


def test_whole_numbers_are_embedded_as_floats():
    for module in (PositionalEmbedding(8), FourierEmbedding(8, 2.0)):
        assert_close(module(torch.tensor([0, 7, 1000])), module(torch.tensor([0.0, 7.0, 1000.0])))


def test_half_precision_weights_do_not_blur_the_label():
    label = torch.tensor([999.0, 1000.0])
    module = PositionalEmbedding(8).to(torch.bfloat16)
    assert module(label).dtype == torch.float32
    assert (module(label)[0] - module(label)[1]).abs().max() > 0.1


def test_scale_is_the_standard_deviation_of_the_fourier_frequencies():
    torch.manual_seed(0)
    frequencies = FourierEmbedding(20_000, 3.0).frequencies
    # The standard error of a standard deviation from 10,000 draws is 0.7 %.
    assert 2.9 < frequencies.std() < 3.1
    assert not frequencies.requires_grad
