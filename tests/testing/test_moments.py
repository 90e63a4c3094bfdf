"""The instruments are tested by samplers whose fault, or law, is known."""

import pytest
import torch
from torch.testing import assert_close

from fokker.exact import Gaussian
from fokker.grid import Uniform
from fokker.noise import Recorded
from fokker.perturbation import VE, VP
from fokker.sampler import Claims, OneStep, Sampler, State, trajectory
from fokker.testing.moments import affine_map
from fokker_ddpm.ancestral import Ancestral
from fokker_sde.langevin import Langevin
from fokker_sde.pc import Identity, PredictorCorrector
from fokker_smld.annealed_langevin import AnnealedLangevin

D = torch.float64


def law(p=None, event=(2,)):
    d = torch.Size(event).numel()
    root = torch.randn(d, d, dtype=D, generator=torch.Generator().manual_seed(0))
    return Gaussian(p or VP(), torch.linspace(-1, 1, d, dtype=D).reshape(event), root @ root.T)


class Autoregression(OneStep):
    """x' = x / 2 + 1 + 3 z: a law that can be written down."""

    claims = Claims(stochastic=True, evaluations=0)

    def coefficients(self, p, t, s):
        return {"x": torch.full_like(t, 0.5)}

    def step(self, model, x, t, s, c, noise, cond=None):
        return c["x"] * x + 1 + 3 * noise(x, t, s)


def test_a_known_recursion_is_found():
    found = affine_map(Autoregression(), law(), Uniform().times(VP(), 3))
    one = torch.eye(2, dtype=D)
    assert_close(found.start, one / 8)
    assert_close(found.offset, torch.full((2,), 1.75, dtype=D))
    assert_close(found.draws, torch.stack([0.75 * one, 1.5 * one, 3 * one]))
    mean, covariance = found.push(torch.tensor([8.0, 0.0], dtype=D), 64 * one)
    assert_close(mean, torch.tensor([2.75, 1.75], dtype=D))
    assert_close(covariance, (1 + 0.5625 + 2.25 + 9) * one)


def test_the_last_draw_is_left_out_of_a_mean():
    grid = Uniform().times(VP(), 3)
    full, mean = affine_map(Autoregression(), law(), grid), affine_map(Autoregression(), law(), grid, final="mean")
    assert_close(mean.draws, full.draws[:-1])
    assert_close(mean.start, full.start)


@pytest.mark.parametrize("event", [(2,), (1, 3), (2, 1, 2)], ids=str)
@pytest.mark.parametrize("sampler", [Ancestral(), PredictorCorrector(corrections=2)], ids=lambda s: type(s).__name__)
def test_the_map_gives_the_state_that_a_trajectory_reaches(sampler, event):
    model, grid = law(event=event), Uniform().times(VP(), 5)
    found = affine_map(sampler, model, grid, final="tweedie")
    n, d = found.draws.shape[:2]
    draws = torch.randn(n + 1, 1, *event, dtype=D, generator=torch.Generator().manual_seed(2))
    for state in trajectory(model, sampler, grid, Recorded(draws[1:]), draws[0]):
        end = state.x
    expected = found.start @ draws[0].flatten() + found.offset
    expected = expected + torch.einsum("nij,nj->i", found.draws, draws[1:].reshape(n, d))
    assert_close(end.flatten(), expected, rtol=1e-10, atol=1e-10)


def test_the_law_is_that_of_many_samples():
    model, grid = law(VE(sigma_max=5.0)), Uniform().times(VE(sigma_max=5.0), 8)
    sampler = PredictorCorrector(Identity(), AnnealedLangevin(step=0.3))
    _, covariance = affine_map(sampler, model, grid).push(torch.zeros(2, dtype=D), torch.eye(2, dtype=D))
    n = 20_000
    draws = torch.randn(10, n, 2, dtype=D, generator=torch.Generator().manual_seed(1))
    for state in trajectory(model, sampler, grid, Recorded(draws[1:]), draws[0], final="none"):
        x = state.x
    assert_close(torch.cov(x.T), covariance, rtol=0, atol=4 * float(covariance.max()) * (2 / n) ** 0.5)


def test_a_step_that_depends_on_the_state_is_refused():
    sampler = PredictorCorrector(Identity(), Langevin())
    with pytest.raises(ValueError, match="PredictorCorrector is not affine in its start and draws"):
        affine_map(sampler, law(), Uniform().times(VP(), 3))


class Drawing(Sampler):
    """Asks its noise for something else than normal numbers for the whole batch."""

    claims = Claims()

    def __init__(self, ask):
        self.ask = ask

    def trajectory(self, model, x, grid, noise, cond=None):
        yield State(0.0, x + self.ask(noise, x))


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda noise, x: noise.uniform(x), "draws uniform numbers"),
        (lambda noise, x: noise.rademacher(x), "draws uniform numbers"),
        (lambda noise, x: noise.rows(torch.tensor([0]))(x[:1]), "advances rows separately"),
    ],
    ids=["uniform", "rademacher", "rows"],
)
def test_other_draws_are_refused(ask, message):
    with pytest.raises(TypeError, match=message):
        affine_map(Drawing(ask), law(), Uniform().times(VP(), 3))
