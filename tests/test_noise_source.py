"""Noise sources: the one that is taken unless another is given, and what sampling does with another."""

import pytest
import torch

from fokker import build, component, load_plugins
from fokker.data import Chain
from fokker.errors import ConfigError
from fokker.grid import Uniform
from fokker.network import DataSpec
from fokker.noise import PerSample
from fokker.noise_source import Independent, NoiseClaims, NoiseSource
from fokker.perturbation import VP
from fokker.sampling import generate
from fokker.testing.worlds import mixture
from fokker_ode.ode import ODE
from fokker_sde.adaptive_sde import AdaptiveSDE
from fokker_sde.euler_maruyama import EulerMaruyama


@component
class Stream(NoiseSource):
    """Another stream of the seed, which remembers nothing of whether rows are wanted."""

    def open(self, seed, index, event_shape, *, device="cpu", separate=False):
        if separate:
            raise ConfigError("Stream serves whole batches.")
        return PerSample(seed, index, event_shape, device=device, stream=9)


def draw(sampler, **options):
    grid = Uniform(end=0.1).times(VP(), 4)
    chunks = generate(mixture(VP()), Chain(()), DataSpec((2,)), sampler, grid, n=5, **options)
    return torch.cat([chunk.x for chunk in chunks])


def test_the_usual_source_is_a_component_by_name_and_claims_no_path():
    assert build(load_plugins(), "noise", "independent") == Independent()
    assert Independent().claims == NoiseClaims(path=False)


@pytest.mark.parametrize("separate", [False, True])
def test_the_usual_source_is_per_sample(separate):
    x = torch.zeros(3, 2)
    found = Independent().open(7, [4, 0, 9], (2,), separate=separate)
    expected = PerSample(7, [4, 0, 9], (2,), block=1 if separate else None)
    for _ in range(2):
        assert torch.equal(found(x, 0.5, 0.4), expected(x))
    if separate:
        rows = torch.tensor([2])
        assert torch.equal(found.rows(rows)(x[rows]), expected.rows(rows)(x[rows]))


def test_sampling_draws_start_and_steps_from_the_source():
    usual, other = draw(EulerMaruyama()), draw(EulerMaruyama(), source=Stream())
    assert torch.equal(usual, draw(EulerMaruyama(), source=Independent()))
    assert not bool((usual == other).any())
    assert torch.equal(other, draw(EulerMaruyama(), source=Stream(), batch_size=2))
    assert not bool((draw(ODE()) == draw(ODE(), source=Stream())).any())


def test_a_source_is_told_that_rows_are_advanced_separately():
    with pytest.raises(ConfigError, match="whole batches"):
        draw(AdaptiveSDE(), source=Stream())
