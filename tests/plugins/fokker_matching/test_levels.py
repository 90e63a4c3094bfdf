"""Denoising score matching at one level, and at the levels of a table."""

import itertools

import pytest
import torch
from torch.testing import assert_close

from fokker.errors import ConfigError
from fokker.noise import Recorded, Seeded
from fokker.objective import Denoising
from fokker.perturbation import VE, VP
from fokker.table import Betas, Sigmas
from fokker.weighting import Sigma2
from fokker_matching.dsm import DSM
from fokker_matching.explicit import Explicit
from fokker_matching.ncsn import NCSN

D = torch.float64
SIGMA = 0.5
U = torch.linspace(0, 0.99, 4, dtype=D)


def mean_of(objective, model):
    """The expected loss on standard normal data; it is quadratic in data and noise, so that +-1 stand for both."""
    x0, z = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=2)), dtype=D).unsqueeze(-1).unbind(1)
    t = objective.times(model.perturbation, U)
    return objective.loss(model, x0, t, Recorded([z])).mean().item()


@pytest.mark.parametrize("energy", [False, True])
@pytest.mark.parametrize(("k", "expected"), [(0.8, 1.6), (1.0, 1.625)])
def test_dsm_of_a_linear_score_of_a_standard_normal_number(k, expected, energy, linear):
    """(k^2 (1 + sigma^2) - 2 k + 1 / sigma^2) / 2 at sigma = 1/2, least at k = 1 / (1 + sigma^2) = 0.8."""
    model = linear(VE(sigma_min=0.01, sigma_max=5.0), k, energy)
    assert mean_of(DSM(sigma=SIGMA), model) == pytest.approx(expected, rel=1e-12)


def test_dsm_is_explicit_score_matching_of_the_noisy_data_and_a_constant(linear):
    """Vincent (2011), section 4.2: the constant is E|z / sigma|^2 / 2, whatever the score."""
    p = VE(sigma_min=SIGMA, sigma_max=5.0)
    x0, t = torch.tensor([[-1.0], [1.0]], dtype=D), torch.zeros(4, dtype=D)
    draws = torch.tensor([[-1.0], [1.0]], dtype=D)
    x0, z = (v.reshape(4, 1) for v in torch.broadcast_tensors(x0[:, None], draws[None]))
    for k in (0.3, 0.8, 1.7):
        model = linear(p, k)
        explicit = Explicit().loss(model, x0, t, Recorded([z])).mean().item()
        assert mean_of(DSM(sigma=SIGMA), model) - explicit == pytest.approx(1 / (2 * SIGMA**2), rel=1e-12)


@pytest.mark.parametrize("p", [VP(), VE(), Sigmas(), Betas()], ids=lambda p: type(p).__name__)
def test_dsm_is_at_its_level_whatever_the_perturbation(p):
    t = DSM(sigma=0.3).times(p, U)
    assert t.shape == U.shape
    assert_close(p.sigma(t) / p.alpha(t), torch.full_like(t, 0.3), rtol=1e-9, atol=0)


def test_dsm_may_be_at_the_end_of_a_perturbation():
    assert DSM(sigma=0.01).times(VE(), U).tolist() == pytest.approx([0.0] * 4, abs=1e-12)
    assert DSM(sigma=50.0).times(VE(), U).tolist() == pytest.approx([1.0] * 4)


@pytest.mark.parametrize(("sigma", "p"), [(0.009, VE()), (51.0, VE()), (0.01, VP())], ids=str)
def test_dsm_refuses_a_level_that_is_not_there(sigma, p):
    message = rf"'dsm' has sigma = {sigma:g}, but {type(p).__name__} goes from 0.01\S* to \S+ times .*; choose a sigma"
    with pytest.raises(ConfigError, match=message):
        DSM(sigma=sigma).times(p, U)


@pytest.mark.parametrize("p", [Sigmas(levels=5), Betas(steps=5, start=0.1, end=0.5)], ids=lambda p: type(p).__name__)
def test_ncsn_is_the_error_of_the_score_times_a_power_of_sigma(p, wave):
    model, x0, z = wave(p, 3), *torch.randn(2, 4, 3, dtype=D, generator=torch.Generator().manual_seed(0)).unbind(0)
    t = NCSN().times(p, U)
    assert_close(t, p.knots[[0, 1, 3, 4]])
    alpha, sigma = p.scales(t, x0)
    error = model(alpha * x0 + sigma * z, t).score + z / sigma
    for power in (0.0, 1.0, 2.0):
        loss = NCSN(anneal_power=power).loss(model, x0, t, Recorded([z]))
        assert_close(loss, (sigma**power * error**2).sum(1) / 2, rtol=1e-9, atol=0)


def test_ncsn_at_power_2_is_denoising_on_levels(wave):
    p = Sigmas(levels=5)
    same, model = Denoising(weighting=Sigma2(), times_in="levels"), wave(p, 3)
    assert_close(NCSN().times(p, U), same.times(p, U))
    x0, t = torch.randn(4, 3, dtype=D, generator=torch.Generator().manual_seed(0)), p.knots[:4]
    assert_close(NCSN().loss(model, x0, t, Seeded(0)), same.loss(model, x0, t, Seeded(0)))


def test_ncsn_needs_levels():
    with pytest.raises(ConfigError, match="The objective 'ncsn' trains on the levels of a table; VP is continuous"):
        NCSN().times(VP(), U)
