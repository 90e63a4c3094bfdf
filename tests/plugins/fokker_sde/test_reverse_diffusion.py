import pytest
import torch
from torch.testing import assert_close

from fokker.exact import Gaussian, Mixture
from fokker.grid import Knots, Uniform
from fokker.noise import Recorded
from fokker.perturbation import VE, VP, SubVP
from fokker.sampler import Claims, trajectory
from fokker.table import Betas, Sigmas
from fokker.testing.moments import affine_map
from fokker_sde.euler_maruyama import EulerMaruyama
from fokker_sde.reverse_diffusion import ReverseDiffusion

D = torch.float64


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=D, generator=torch.Generator().manual_seed(seed))


def mixture(p):
    return Mixture(p, torch.ones(3), normal(3, 2, seed=7), torch.tensor([0.05, 0.4, 1.3], dtype=D))


def run(model, x, grid, noise):
    for state in trajectory(model, ReverseDiffusion(), grid, noise, x, final="none"):
        x = state.x
    return x


def test_on_betas_it_is_the_textbook_step():
    # Song et al. (2021), appendix E: x_i = (2 - sqrt(1 - beta)) x + beta score + sqrt(beta) z
    p, x = Betas(steps=20, end=0.3), normal(5, 2)
    model, draws = mixture(p), normal(19, 5, 2, seed=1)
    found = run(model, x, Knots().times(p, 19), Recorded(draws))
    for i in range(19, 0, -1):
        beta = float(p.table[i])
        x = (2 - (1 - beta) ** 0.5) * x + beta * model(x, float(p.knots[i])).score + beta**0.5 * draws[19 - i]
    assert_close(found, x, rtol=1e-9, atol=1e-9)


def test_on_sigmas_it_is_the_textbook_step():
    # Song et al. (2021), appendix E: x + (s_i^2 - s_{i-1}^2) score + sqrt(s_i^2 - s_{i-1}^2) z
    p, x = Sigmas(minimum=0.1, maximum=5.0, levels=12), 5 * normal(5, 2)
    model, draws = mixture(p), normal(11, 5, 2, seed=1)
    found = run(model, x, Knots().times(p, 11), Recorded(draws))
    for i in range(11, 0, -1):
        gap = float(p.table[i] ** 2 - p.table[i - 1] ** 2)
        x = x + gap * model(x, float(p.knots[i])).score + gap**0.5 * draws[11 - i]
    assert_close(found, x, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("p", [VP(), VE(), SubVP()], ids=lambda p: type(p).__name__)
def test_short_steps_are_those_of_euler_maruyama(p):
    t, h = torch.tensor([0.4], dtype=D), 1e-5
    ours, theirs = (sampler.coefficients(p, t, t - h) for sampler in (ReverseDiffusion(), EulerMaruyama()))
    assert_close(ours["x"] - 1, theirs["x"] - 1, rtol=1e-3, atol=0)
    assert_close(ours["score"], theirs["score"], rtol=1e-3, atol=0)
    assert_close(ours["z"], theirs["z"], rtol=1e-3, atol=0)


# Exact standard deviations of the output on N(0, 0.25) with the exact score, by linear propagation in float64:
# N uniform steps from 1 to 1e-3, start variance 1 (VP) or 2500 (VE), ending none and tweedie
@pytest.mark.parametrize(
    ("p", "steps", "none", "tweedie"),
    [
        (VP(), 100, 0.51502001, 0.51482189),
        (VP(), 1000, 0.50155879, 0.50136585),
        (VE(), 100, 0.52215597, 0.52194361),
        (VE(), 1000, 0.50223731, 0.50203304),
    ],
)
def test_the_law_of_the_output_is_exact(p, steps, none, tweedie):
    model = Gaussian(p, torch.zeros(1), torch.tensor(0.25))
    for final, expected in (("none", none), ("tweedie", tweedie)):
        found = affine_map(ReverseDiffusion(), model, Uniform(end=1e-3).times(p, steps), final=final)
        _, variance = found.push(torch.zeros(1, dtype=D), p.prior_std**2 * torch.eye(1, dtype=D))
        assert variance.item() ** 0.5 == pytest.approx(expected, abs=1e-7)


def test_no_claim_is_missing():
    # the kit measures what is claimed; a claim that is gone would only be skipped
    assert ReverseDiffusion().claims == Claims(weak_order=1, strong_order=1, stochastic=True)
