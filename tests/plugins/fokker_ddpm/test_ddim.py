from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from fokker.errors import ConfigError
from fokker.exact import Gaussian, Mixture
from fokker.grid import Uniform
from fokker.noise import Recorded
from fokker.perturbation import VE, VP, SubVP
from fokker.sampler import Claims, trajectory
from fokker.table import Betas, Sigmas
from fokker.testing.moments import affine_map
from fokker_ddpm.ancestral import Ancestral
from fokker_ddpm.ddim import DDIM

D = torch.float64


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=D, generator=torch.Generator().manual_seed(seed))


def mixture(p):
    return Mixture(p, torch.ones(3), normal(3, 2, seed=7), torch.tensor([0.05, 0.4, 1.3], dtype=D))


def run(sampler, model, x, grid, noise, final="none"):
    for state in trajectory(model, sampler, grid, noise, x, final=final):
        x = state.x
    return x


PERTURBATIONS = [VP(), VE(), SubVP(), Betas(), Sigmas()]


@pytest.mark.parametrize("p", PERTURBATIONS, ids=lambda p: type(p).__name__)
def test_at_eta_1_it_is_ancestral_sampling(p):
    grid = Uniform(end=0.01).times(p, 15)
    t, s = grid[:-1], grid[1:]
    ours, posterior = DDIM(eta=1.0).coefficients(p, t, s), Ancestral().coefficients(p, t, s)
    # eps = (x - alpha_t x0) / sigma_t turns factors of x0 and eps into factors of x0 and x
    assert_close(ours["z"], posterior["z"], rtol=1e-12, atol=0)
    assert_close(ours["eps"] / p.sigma(t), posterior["x"], rtol=1e-7, atol=1e-9)
    assert_close(ours["x0"] - ours["eps"] * p.alpha(t) / p.sigma(t), posterior["x0"], rtol=1e-7, atol=1e-9)
    x, draws = p.prior_std * normal(4, 2), normal(15, 4, 2, seed=1)
    ends = [run(sampler, mixture(p), x, grid, Recorded(draws)) for sampler in (DDIM(eta=1.0), Ancestral())]
    assert_close(*ends, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_it_is_equation_12(eta):
    # Song et al. (2021), eq. 12 and 16, in the alphas of the paper, which are alpha^2 here
    p, x, z = Betas(), normal(4, 2), normal(4, 2, seed=1)
    t, s = p.knots[700], p.knots[400]
    now, then = p.alpha(t) ** 2, p.alpha(s) ** 2
    sigma = eta * ((1 - then) / (1 - now)).sqrt() * (1 - now / then).sqrt()
    model = mixture(p)
    eps = model(x, float(t)).eps
    x0 = (x - (1 - now).sqrt() * eps) / now.sqrt()
    expected = then.sqrt() * x0 + (1 - then - sigma**2).sqrt() * eps + sigma * z
    found = run(DDIM(eta=eta), model, x, torch.stack([t, s]), Recorded([z]))
    assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_the_share_of_eps_is_not_lost_in_rounding():
    # where sigma_s is far below sigma_t, tau is sigma_s to the last bit and may be rounded above it
    p, s = VE(sigma_min=1e-8, sigma_max=1e6), torch.linspace(0.001, 0.9, 999, dtype=D)
    share = DDIM(eta=1.0).coefficients(p, torch.ones((), dtype=D), s)["eps"]
    assert bool((share >= 0).all() and (share <= p.sigma(s)).all())


def test_at_eta_0_it_is_euler_in_sigma_over_alpha():
    # Song et al. (2021), eq. 14: with y = x / alpha and r = sigma / alpha, dy/dr = eps
    p, x = VP(), normal(4, 2)
    t, s = torch.tensor([0.7, 0.5], dtype=D)
    ratio = p.sigma(s) / p.alpha(s) - p.sigma(t) / p.alpha(t)
    expected = p.alpha(s) * (x / p.alpha(t) + ratio * mixture(p)(x, 0.7).eps)
    found = run(DDIM(), mixture(p), x, torch.stack([t, s]), Recorded([]))
    assert_close(found, expected, rtol=1e-12, atol=1e-12)


def end_std(sampler, p, grid, final):
    model = Gaussian(p, torch.zeros(1), torch.tensor(0.25))
    found = affine_map(sampler, model, grid, final=final)
    _, variance = found.push(torch.zeros(1, dtype=D), p.prior_std**2 * torch.eye(1, dtype=D))
    return variance.item() ** 0.5


# Exact standard deviations of the output on N(0, 0.25) with the exact score, by linear propagation in float64:
# N uniform steps from 1 to 1e-3, start variance 1 (VP) or 2500 (VE), ending none and tweedie
@pytest.mark.parametrize(
    ("p", "steps", "none", "tweedie"),
    [
        (VP(), 100, 0.48616440, 0.48597738),
        (VP(), 1000, 0.49867808, 0.49848625),
        (VE(), 100, 0.48955684, 0.48935774),
        (VE(), 1000, 0.49901463, 0.49881167),
    ],
)
def test_the_law_of_the_output_is_exact(p, steps, none, tweedie):
    grid = Uniform(end=1e-3).times(p, steps)
    assert end_std(DDIM(), p, grid, "none") == pytest.approx(none, abs=1e-7)
    assert end_std(DDIM(), p, grid, "tweedie") == pytest.approx(tweedie, abs=1e-7)


# Likewise on betas 1e-4 to 0.02 with S of the 1000 levels, 0, T/S, 2T/S, ... (0-based), and a last step to alpha = 1
LINEAR = {
    0.0: {10: 0.37412849, 20: 0.43373442, 50: 0.47243911, 100: 0.48598057, 1000: 0.49849528},
    1.0: {10: 0.33326311, 20: 0.39146445, 50: 0.44412286, 100: 0.46825588, 1000: 0.49611008},
}


@pytest.mark.parametrize("steps", LINEAR[0.0])
@pytest.mark.parametrize("eta", LINEAR)
def test_the_law_on_every_so_many_levels_is_exact(eta, steps):
    p = Betas()
    grid = p.knots[torch.arange(0, 1000, 1000 // steps)].flip(0)
    assert end_std(DDIM(eta=eta), p, grid, "tweedie") == pytest.approx(LINEAR[eta][steps], abs=1e-8)
    # the last step of a trajectory that goes down to clean data is the same thing
    to_the_data = torch.cat([grid, torch.zeros(1, dtype=D)])
    assert end_std(DDIM(eta=eta), p, to_the_data, "none") == pytest.approx(LINEAR[eta][steps], abs=1e-8)


def test_eta_changes_the_noise_and_is_checked():
    t, s = torch.tensor([[0.5], [0.4]], dtype=D)
    z = [DDIM(eta=eta).coefficients(VP(), t, s)["z"].item() for eta in (0.0, 0.5, 1.0)]
    assert z[0] == 0 and z[2] == pytest.approx(2 * z[1]) and z[2] > 0
    with pytest.raises(ConfigError, match=r"DDIM.eta must be at most 1, got 1\.5"):
        DDIM(eta=1.5)
    with pytest.raises(ConfigError, match=r"DDIM.eta must be at least 0"):
        DDIM(eta=-0.1)


def test_no_claim_is_missing():
    # the kit measures what is claimed; a claim that is gone would only be skipped
    exact = Claims(schedule_invariant=True, exact_on_point_mass=True)
    assert DDIM().claims == replace(exact, order=1)
    assert DDIM(eta=0.5).claims == replace(exact, stochastic=True)
    assert DDIM(eta=1.0).claims == replace(exact, weak_order=1, strong_order=1, stochastic=True)
