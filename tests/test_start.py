"""Starts: each is the law that it says, in the units that it says, and sample i's own."""

import dataclasses

import pytest
import torch
from torch.testing import assert_close

from fokker.config import build_settings
from fokker.data import Chain
from fokker.errors import ConfigError
from fokker.exact import Gaussian
from fokker.grid import Uniform
from fokker.network import DataSpec
from fokker.noise import PerSample
from fokker.perturbation import VE, VP
from fokker.plan import SampleSettings, resolve
from fokker.plugins import load_plugins
from fokker.sampling import generate
from fokker.start import prior, start_from
from fokker_data.transforms import Standardise
from fokker_smld.langevin import Langevin

HOST = load_plugins()
WORDS = ("prior", "normal", "uniform", "data")
P = VE(sigma_max=3.0)


@pytest.fixture(scope="module")
def plan():
    found = resolve(HOST.registry, {"data": {"name": "swiss-roll", "n": 50}})
    scaled = Standardise(mean=(1.0, -2.0), std=(0.5, 4.0))
    return dataclasses.replace(found, data=dataclasses.replace(found.data, transforms=(scaled,)))


def drawn(plan, init, t=0.3, index=range(4000), dtype=torch.float64):
    like = torch.empty(len(index), 2, dtype=dtype)
    return start_from(init, plan)(P, t, PerSample(0, index, (2,)), like)


def test_a_prior_is_as_wide_as_the_law_at_time_one(plan):
    x = drawn(plan, "prior", t=1.0)
    assert_close(x, P.prior_std * drawn(plan, "normal"))
    assert_close(x, prior(P, 1.0, PerSample(0, range(4000), (2,)), x))


def test_normal_is_of_unit_variance(plan):
    x = drawn(plan, "normal")
    assert_close(x.T.cov(), torch.eye(2, dtype=torch.float64), rtol=0, atol=0.08)
    assert float(x.mean().abs()) < 0.06


def test_uniform_fills_the_unit_square_of_the_data_s_own_units(plan):
    x = plan.chain.inverse(drawn(plan, "uniform"))
    assert float(x.min()) >= -1e-6 and float(x.max()) <= 1 + 1e-6
    assert_close(x.mean(0), torch.full((2,), 0.5, dtype=torch.float64), rtol=0, atol=0.03)
    assert_close(x.var(0), torch.full((2,), 1 / 12, dtype=torch.float64), rtol=0, atol=0.01)


def test_data_is_a_training_example_with_the_noise_of_the_first_level(plan):
    examples = plan.data.open("train").fetch(range(50)).x
    clean = plan.chain.forward(examples, PerSample(0, range(50), (2,))).double()
    quiet = start_from("data", plan)(VP(), 0.0, PerSample(0, range(400), (2,)), torch.empty(400, 2).double())
    nearest = torch.cdist(quiet, clean).min(1)
    assert float(nearest.values.max()) < 1e-5
    assert len(nearest.indices.unique()) > 45  # not one example over and over
    # two levels share example and noise, so what they differ by is the noise, and what they have in common the example
    low, high = drawn(plan, "data", t=0.3), drawn(plan, "data", t=0.8)
    (_, s), (_, r) = P.scales(0.3, low), P.scales(0.8, low)
    z = (high - low) / (r - s)
    assert float(torch.cdist(low - s * z, clean).min(1).values.max()) < 1e-5
    assert_close(z.T.cov(), torch.eye(2, dtype=torch.float64), rtol=0, atol=0.08)


def test_a_point_is_in_the_data_s_own_units(plan):
    x = drawn(plan, (1.5, -1.5), index=range(3))
    assert_close(x, torch.tensor([[1.0, 0.125]] * 3, dtype=torch.float64))


def test_a_point_has_a_coordinate_for_every_number_of_an_example(plan):
    with pytest.raises(ConfigError, match=r"init is a point with 3 coordinates; the data has 2, of shape \(2,\)"):
        drawn(plan, (1.0, 2.0, 3.0))
    picture = dataclasses.replace(plan, data=dataclasses.replace(plan.data, transforms=()))
    like = torch.empty(2, 1, 2, 2)
    x = start_from((1.0, 2.0, 3.0, 4.0), picture)(P, 0.3, PerSample(0, range(2), (1, 2, 2)), like)
    assert torch.equal(x[1], torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]))


@pytest.mark.parametrize("init", [*WORDS, (1.5, -1.5)], ids=str)
def test_the_start_of_sample_i_is_its_own(plan, init):
    whole = drawn(plan, init, index=range(20))
    assert torch.equal(drawn(plan, init, index=[13, 4]), whole[[13, 4]])
    assert drawn(plan, init, index=range(3), dtype=torch.float32).dtype == torch.float32


@pytest.mark.parametrize("sampler", [Langevin()], ids=lambda s: type(s).__name__)
def test_trajectories_begin_at_the_start_and_the_first_level_of_their_sampler(plan, sampler):
    # Langevin dynamics stays at the last time of the grid: examples get the noise of that level, not of t = 1
    model, asked = Gaussian(P, torch.zeros(2), torch.tensor(1.0)), []

    def init(p, t, noise, like):
        asked.append((p, t, tuple(like.shape), like.dtype))
        return torch.full_like(like, 7.0)

    grid = Uniform(end=0.25).times(P, 4)
    (chunk,) = generate(
        model, Chain(), DataSpec((2,)), sampler, grid, n=3, init=init, keep_states=2, dtype=torch.float64
    )
    assert asked == [(P, 0.25, (3, 2), torch.float64)]
    assert chunk.states[0][0] == 0.25
    assert torch.equal(chunk.states[0][1], torch.full((3, 2), 7.0))


def test_settings_take_a_word_or_a_point():
    def settings(init):
        table = {"sampler": "ddim", "grid": "uniform", "init": init}
        return build_settings(HOST.registry, SampleSettings, table, "sample").init

    assert [settings(word) for word in WORDS] == list(WORDS)
    assert settings([1.5, -1]) == (1.5, -1)
    words = r"sample\.init must be one of prior, normal, uniform, data or a list of numbers, got "
    with pytest.raises(ConfigError, match=words + "'point'"):
        settings("point")
    with pytest.raises(ConfigError, match=words + r"\[1\.5, 'a'\]"):
        settings([1.5, "a"])
