import pytest
import torch
from torch.testing import assert_close

from fokker.exact import Gaussian, Mixture
from fokker.grid import Uniform
from fokker.noise import Recorded
from fokker.perturbation import VE, VP, SubVP
from fokker.sampler import Claims, trajectory
from fokker.testing.moments import affine_map
from fokker.testing.order import convergence
from fokker_sde.euler_maruyama import EulerMaruyama

D = torch.float64
QUARTER = torch.tensor(0.25)


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=D, generator=torch.Generator().manual_seed(seed))


def run(model, x, grid, noise):
    for state in trajectory(model, EulerMaruyama(), grid, noise, x, final="none"):
        x = state.x
    return x


@pytest.mark.parametrize("p", [VP(), VE(), SubVP()], ids=lambda p: type(p).__name__)
def test_a_step_is_equation_6(p):
    # Song et al. (2021), eq. 6: dx = (f x - g^2 score) dt + g dw, with dt = -h
    model = Mixture(p, torch.ones(2), normal(2, 3), torch.tensor([0.1, 0.5]))
    x, z, grid = normal(4, 3), normal(4, 3, seed=1), torch.tensor([0.6, 0.55], dtype=D)
    f, g, h = p.drift(grid[0]), p.diffusion(grid[0]), grid[0] - grid[1]
    expected = x - (f * x - g**2 * model(x, 0.6).score) * h + g * h.sqrt() * z
    assert_close(run(model, x, grid, Recorded([z])), expected, rtol=1e-12, atol=1e-12)


# Exact standard deviations of the output on N(0, 0.25) with the exact score, by linear propagation in float64:
# N uniform steps from 1 to 1e-3, start variance 1 (VP) or 2500 (VE), ending none and tweedie
@pytest.mark.parametrize(
    ("p", "steps", "none", "tweedie"),
    [
        (VP(), 100, 0.50388907, 0.50369523),
        (VP(), 1000, 0.50044227, 0.50024976),
        (VE(), 100, 0.50069889, 0.50049525),
        (VE(), 1000, 0.50010841, 0.49990501),
    ],
)
def test_the_law_of_the_output_is_exact(p, steps, none, tweedie):
    model = Gaussian(p, torch.zeros(1), QUARTER)
    for final, expected in (("none", none), ("tweedie", tweedie)):
        found = affine_map(EulerMaruyama(), model, Uniform(end=1e-3).times(p, steps), final=final)
        _, variance = found.push(torch.zeros(1, dtype=D), p.prior_std**2 * torch.eye(1, dtype=D))
        assert variance.item() ** 0.5 == pytest.approx(expected, abs=1e-7)


def test_the_variance_converges_at_first_order():
    # reverse VP SDE from t = 0.9 to 0.1 on N(0, 0.25), from the exact law; the exact variance is 0.3277883767
    model = Gaussian(VP(), torch.zeros(1), QUARTER)
    exact = model.marginal(0.1)[1].item()
    assert exact == pytest.approx(0.3277883767, abs=5.1e-11)

    def variance(n):
        grid = 0.9 - 0.8 * torch.arange(n + 1, dtype=D) / n
        return affine_map(EulerMaruyama(), model, grid).push(*model.marginal(0.9))[1].item()

    assert variance(100) == pytest.approx(0.33787083, abs=5.1e-9)
    assert variance(400) == pytest.approx(0.33024475, abs=5.1e-9)
    assert variance(1600) == pytest.approx(0.32839859, abs=5.1e-9)
    found = convergence(lambda n: abs(variance(n) - exact), (100, 200, 400, 800))
    assert found.local_orders == pytest.approx([1, 1, 1], abs=0.05)


@pytest.mark.parametrize("p", [VP(), VE(), SubVP()], ids=lambda p: type(p).__name__)
def test_paths_converge_at_first_order_since_the_noise_is_additive(p):
    # the same Brownian paths on all grids: a coarse increment is the sum of the fine ones
    finest, paths = 4096, 200
    model = Gaussian(p, torch.tensor([0.3, -1.0], dtype=D), torch.tensor([0.04, 1.7], dtype=D))
    fine, x = normal(finest, paths, 2, seed=5), p.prior_std * normal(paths, 2)

    def end(n):
        draws = fine.reshape(n, finest // n, paths, 2).sum(1) / (finest // n) ** 0.5
        return run(model, x, 0.5 - 0.3 * torch.arange(n + 1, dtype=D) / n, Recorded(draws))

    # Richardson's extrapolation of the two finest grids removes what is left of their own first-order error
    exact = 2 * end(finest) - end(finest // 2)
    found = convergence(lambda n: float((end(n) - exact).square().mean().sqrt()), (32, 64, 128, 256))
    assert found.order == pytest.approx(1, abs=0.15)
    assert found.local_orders[-2:] == pytest.approx([1, 1], abs=0.15)


def test_no_claim_is_missing():
    # the kit measures what is claimed; a claim that is gone would only be skipped
    assert EulerMaruyama().claims == Claims(weak_order=1, strong_order=1, stochastic=True)
