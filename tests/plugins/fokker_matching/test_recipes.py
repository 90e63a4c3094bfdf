"""The recipes say what their sources say; that each trains and samples is the kit's check."""

import dataclasses

import pytest
import torch

from fokker.exact import Gaussian
from fokker.grid import Uniform
from fokker.noise import Recorded
from fokker.plan import resolve
from fokker.plugins.host import load_plugins
from fokker.sampler import trajectory

D = torch.float64


@pytest.fixture(scope="module")
def recipe():
    registry = load_plugins().registry
    return lambda name: resolve(registry, name)


def test_denoising_is_at_sigma_one_hundredth(recipe):
    plan = recipe("swiss-roll-denoising")
    t = plan.objective.times(plan.perturbation, torch.linspace(0, 0.9, 4, dtype=D))
    assert plan.perturbation.sigma(t).tolist() == pytest.approx([0.01] * 4)


def test_ncsn_has_four_levels_from_one_to_one_hundredth_and_gains_from_zero(recipe):
    plan = recipe("swiss-roll-ncsn")
    p = plan.perturbation
    sigmas = [0.01 * 100 ** (i / 3) for i in range(4)]
    assert p.sigma(p.knots).tolist() == pytest.approx(sigmas)
    assert (plan.network.least_gain, plan.train.steps, plan.objective.anneal_power) == (0, 5000, 2)
    other = recipe("swiss-roll-ncsn-balanced")
    assert other.perturbation == p and type(other.network) is type(plan.network)


def test_langevin_is_trained_as_explicit_score_matching_is(recipe):
    plain, walked = recipe("swiss-roll-explicit"), recipe("swiss-roll-langevin")
    assert dataclasses.replace(walked, sample=plain.sample) == plain
    assert walked.sample.init == (1.5, -1.5) and walked.sample.steps == 10


def test_langevin_takes_half_of_e_and_its_root(recipe):
    """x + e/2 s + sqrt(e) z with e = 0.01, 0.009, 0.0081, ..."""
    plan = recipe("swiss-roll-langevin")
    p = plan.perturbation
    model = Gaussian(p, torch.zeros(2), torch.tensor(0.5))
    z = torch.randn(10, 1, 2, dtype=D, generator=torch.Generator().manual_seed(0))
    x = torch.tensor([[1.5, -1.5]], dtype=D)
    made = trajectory(model, plan.sample.sampler, Uniform().times(p, 10), Recorded(z), x, final=plan.sample.final)
    e = 0.01
    for k, state in enumerate(made):
        torch.testing.assert_close(state.x, x, rtol=1e-9, atol=1e-9)
        if k < 10:
            x, e = x + e / 2 * model.score(x, 0.0) + e**0.5 * z[k], 0.9 * e
    assert k == 10
