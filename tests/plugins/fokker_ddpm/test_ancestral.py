from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from fokker.errors import ConfigError
from fokker.exact import Gaussian, Mixture
from fokker.grid import Knots, Uniform
from fokker.noise import PerSample, Recorded
from fokker.perturbation import VE, VP
from fokker.sampler import Claims, by_step, trajectory
from fokker.table import Betas, Sigmas
from fokker.testing.moments import affine_map
from fokker_ddpm.ancestral import Ancestral
from fokker_sde.pc import PredictorCorrector, Unchanged

D = torch.float64


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=D, generator=torch.Generator().manual_seed(seed))


def mixture(p):
    return Mixture(p, torch.ones(3), normal(3, 2, seed=7), torch.tensor([0.05, 0.4, 1.3], dtype=D))


def run(sampler, model, x, grid, noise, final="none"):
    for state in trajectory(model, sampler, grid, noise, x, final=final):
        x = state.x
    return x


def test_the_posterior_is_that_of_ddpm():
    # Ho et al. (2020), eq. 7 on betas 1e-4 to 0.02; steps t -> t - 1 of the 0-based table, in float64
    p = Betas()
    for t, of_x0, of_x in (
        (1, 0.5452914995, 0.454708499),
        (500, 0.003058057076, 0.9941043508),
        (999, 1.283514872e-4, 0.9899486783),
    ):
        c = Ancestral().coefficients(p, p.knots[t], p.knots[t - 1])
        assert c["x0"].item() == pytest.approx(of_x0, rel=5e-10)
        assert c["x"].item() == pytest.approx(of_x, rel=5e-10)
    for t, variance in (
        (1, 5.453187661e-5),
        (2, 8.548911523e-5),
        (99, 0.002034596259),
        (499, 0.01003135541),
        (999, 0.01999998353),
    ):
        c = Ancestral().coefficients(p, p.knots[t], p.knots[t - 1])
        assert c["z"].item() ** 2 == pytest.approx(variance, rel=5e-10)


def test_the_forward_variance_is_beta():
    p = Betas()
    grid = Knots().times(p, 999)
    c = Ancestral(variance="forward").coefficients(p, grid[:-1], grid[1:])
    assert_close(c["z"] ** 2, p.table.flip(0)[:-1], rtol=1e-9, atol=0)
    posterior = Ancestral().coefficients(p, grid[:-1], grid[1:])
    assert_close(c["x"], posterior["x"], rtol=0, atol=0)
    assert_close(c["x0"], posterior["x0"], rtol=0, atol=0)


@pytest.mark.parametrize("variance", ["posterior", "forward"])
def test_the_step_to_clean_data_is_the_prediction_without_noise(variance):
    p, zero = Betas(), torch.zeros((), dtype=D)
    c = Ancestral(variance=variance).coefficients(p, p.knots[0], zero)
    assert [c[name].item() for name in ("x", "x0", "z")] == [0, 1, 0]


@pytest.mark.parametrize("variance", ["posterior", "forward"])
def test_ddpm_is_the_textbook_loop(variance):
    # Ho et al. (2020), algorithm 2, written out in eps for all levels of a table, with the draw of each step
    p, x = Betas(steps=20, end=0.3), normal(5, 2)
    model, draws = mixture(p), normal(19, 5, 2, seed=1)
    found = run(Ancestral(variance=variance), model, x, Knots().times(p, 19), Recorded(draws), "tweedie")
    beta, alpha_bar = p.table, torch.cumprod(1 - p.table, 0)
    for i in range(19, -1, -1):
        eps = model(x, float(p.knots[i])).eps
        x = (x - beta[i] / (1 - alpha_bar[i]).sqrt() * eps) / (1 - beta[i]).sqrt()
        if i > 0:
            small = beta[i] * (1 - alpha_bar[i - 1]) / (1 - alpha_bar[i])
            x = x + (small if variance == "posterior" else beta[i]).sqrt() * draws[19 - i]
    assert_close(found, x, rtol=1e-9, atol=1e-9)


def test_on_sigmas_it_is_the_ancestral_sampling_of_score_sde():
    # Song et al. (2021), eq. 47: x + (s_i^2 - s_{i-1}^2) score + sqrt(s_{i-1}^2 (s_i^2 - s_{i-1}^2) / s_i^2) z
    p, x, z = Sigmas(values=(0.1, 0.5, 2.0)), normal(4, 2), normal(4, 2, seed=1)
    high, low = 2.0**2, 0.5**2
    model = mixture(p)
    expected = x + (high - low) * model(x, 1.0).score + (low * (high - low) / high) ** 0.5 * z
    grid = torch.tensor([1.0, 0.5], dtype=D)
    assert_close(run(Ancestral(), model, x, grid, Recorded([z])), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("final", ["tweedie", "mean", "none"])
def test_ddpm_is_pc_of_ancestral_and_unchanged(final):
    p = Betas(steps=50)
    grid = Knots().times(p, 20)
    ends = [
        run(sampler, mixture(p), normal(3, 2), grid, PerSample(0, range(3), (2,)), final)
        for sampler in (Ancestral(), PredictorCorrector(Ancestral(), Unchanged()))
    ]
    assert torch.equal(*ends)


# Exact standard deviations of the output on N(0, 0.25) with the exact score, by linear propagation in float64:
# N uniform steps from 1 to 1e-3, start variance 1 (VP) or 2500 (VE), ending none and tweedie
LAWS = [
    (VP(), 100, 0.46845045, 0.46827025),
    (VP(), 1000, 0.49628959, 0.49609868),
    (VE(), 100, 0.47956915, 0.47937410),
    (VE(), 1000, 0.49798249, 0.49777995),
]


@pytest.mark.parametrize(("p", "steps", "none", "tweedie"), LAWS)
def test_the_law_of_the_output_is_exact(p, steps, none, tweedie):
    model = Gaussian(p, torch.zeros(1), torch.tensor(0.25))
    start = torch.zeros(1, dtype=D), p.prior_std**2 * torch.eye(1, dtype=D)
    for final, expected in (("none", none), ("tweedie", tweedie)):
        found = affine_map(Ancestral(), model, Uniform(end=1e-3).times(p, steps), final=final)
        _, variance = found.push(*start)
        assert variance.item() ** 0.5 == pytest.approx(expected, abs=1e-7)


def test_the_forward_variance_is_too_large_by_what_the_data_does_not_have():
    # Ho et al. (2020), section 3.2: beta is right for standard normal data, beta-tilde for a point
    p = Betas(steps=10, end=0.5)
    grid, one = Knots().times(p, 9), torch.eye(1, dtype=D)
    data = Gaussian(p, torch.zeros(1), torch.tensor(1.0))
    for variance, exact in (("forward", True), ("posterior", False)):
        _, end = affine_map(Ancestral(variance=variance), data, grid).push(torch.zeros(1, dtype=D), one)
        assert (abs(end.item() - 1) < 1e-12) == exact


def test_the_field_changes_the_noise_and_is_checked():
    c = by_step(Ancestral().coefficients(VP(), *torch.tensor([[0.5], [0.4]], dtype=D)))[0]
    d = by_step(Ancestral(variance="forward").coefficients(VP(), *torch.tensor([[0.5], [0.4]], dtype=D)))[0]
    assert d["z"] > c["z"]
    with pytest.raises(ConfigError, match=r"Ancestral\.variance must be one of posterior, forward, got 'learned'"):
        Ancestral(variance="learned")


def test_no_claim_is_missing():
    # the kit measures what is claimed; a claim that is gone would only be skipped
    forward = Claims(weak_order=1, strong_order=1, stochastic=True)
    assert Ancestral(variance="forward").claims == forward
    assert Ancestral().claims == replace(forward, schedule_invariant=True, exact_on_point_mass=True)
