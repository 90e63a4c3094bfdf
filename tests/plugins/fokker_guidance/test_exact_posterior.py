"""On Gaussian data every method is compared with the exact posterior, without Monte Carlo; its bias is pinned."""

import pytest
import torch

from fokker.exact import Gaussian
from fokker.grid import LogSNR
from fokker.perturbation import VE, VP
from fokker.testing.moments import affine_map
from fokker_ddpm.ddim import DDIM
from fokker_guidance.gradient import DPS, PiGDM
from fokker_guidance.inpaint import Inpaint
from fokker_guidance.linear import Colorize, Linear
from fokker_sde.pc import PredictorCorrector
from fokker_smld.annealed_langevin import AnnealedLangevin

CLOSE = {"rtol": 0, "atol": 1e-9}
PAIR = [[1.0, 0.8], [0.8, 1.0]]
SDE = DDIM(eta=1.0)
CORRECTED = PredictorCorrector(SDE, AnnealedLangevin(step=0.1), corrections=5)


@pytest.fixture(params=[VP(), VE()], ids=["vp", "ve"])
def p(request):
    return request.param


def ends(sampler, model, steps=100):
    """Mean and covariance of samples, from a start with the prior's mean and variance."""
    p = model.perturbation
    with torch.no_grad():
        found = affine_map(sampler, model, LogSNR().times(p, steps))
    d = len(found.offset)
    return found.push(torch.zeros(d, dtype=torch.float64), p.prior_std**2 * torch.eye(d, dtype=torch.float64))


def unit(p):
    return Gaussian(p, torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64))


def pair(p):
    return Gaussian(p, torch.zeros(2, dtype=torch.float64), torch.tensor(PAIR, dtype=torch.float64))


def states(p, t, n=16):
    generator = torch.Generator().manual_seed(3)
    x0, z = (torch.randn(n, 2, dtype=torch.float64, generator=generator) for _ in range(2))
    return p.perturb(x0, t, z)


def test_the_law_of_a_noisy_sum(observed, saved, p, double):
    """N(0, I), y = x_1 + 2 x_2 + n, n ~ N(0, .25), y = 1: mean (4, 8) / 21, covariance I - (1, 2)^T (1, 2) / 5.25."""
    sum_ = saved([[1.0, 2.0]])
    for guidance in (Linear(sum_, (1.0,), 0.5), PiGDM(sum_, (1.0,), 0.5), DPS(sum_, (1.0,), 0.5)):
        law = observed(guidance, unit(p)).posterior
        torch.testing.assert_close(law.mean, double([0.1904761905, 0.3809523810]), **CLOSE)
        expected = double([[0.8095238095, -0.3809523810], [-0.3809523810, 0.2380952381]])
        torch.testing.assert_close(law.covariance, expected, **CLOSE)


def test_the_law_of_one_of_a_pair(observed, p, double):
    """N(0, [[1, .8], [.8, 1]]) given x_1 = 1: x_2 ~ N(.8, .36)."""
    for guidance in (Inpaint(values=(1.0, 9.0)), PiGDM("left", (1.0,), 0.0)):
        law = observed(guidance, pair(p)).posterior
        torch.testing.assert_close(law.mean, double([1.0, 0.8]), **CLOSE)
        torch.testing.assert_close(law.covariance, double([[0.0, 0.0], [0.0, 0.36]]), **CLOSE)


@pytest.mark.parametrize("make", [Linear, PiGDM, lambda *a: PiGDM(*a, spread="full")], ids=["linear", "pigdm", "full"])
def test_a_noisy_sum_is_exact_where_the_data_has_one_variance(make, observed, saved, p):
    """The guided score is that of the exact posterior at every time, so every sampler samples it."""
    model = observed(make(saved([[1.0, 2.0]]), (1.0,), 0.5), unit(p))
    t = torch.linspace(0.01, 1, 16, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(model(states(p, t), t).eps, model.posterior(states(p, t), t).eps, **CLOSE)
    mean, covariance = ends(SDE, model, steps=400)
    torch.testing.assert_close(mean, model.posterior.mean, rtol=0, atol=2e-3)
    torch.testing.assert_close(covariance, model.posterior.covariance, rtol=0, atol=0.02)


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_the_full_covariance_is_exact_on_all_gaussian_data(observed, p, noise):
    model = observed(PiGDM("left", (1.0,), noise, "full"), pair(p))
    t = torch.linspace(0.01, 1, 16, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(
            model(states(p, t), t).eps, model.posterior(states(p, t), t).eps, rtol=1e-7, atol=1e-9
        )


@pytest.mark.parametrize("std", [0.3, 2.0])
def test_data_of_another_variance_is_exact_once_it_is_said(observed, p, std):
    prior = Gaussian(p, torch.tensor([1.0, -1.0]), torch.tensor([std**2, std**2]))
    t = torch.linspace(0.01, 1, 16, dtype=torch.float64)
    for make in (Linear, PiGDM):
        for d, exact in ((std, True), (1.0, False)):
            model = observed(make("identity", (0.5, 0.2), 0.4, data_std=d), prior)
            with torch.no_grad():
                off = (model(states(p, t), t).eps - model.posterior(states(p, t), t).eps).abs().max()
            assert (off < 1e-6) == exact


# Of x_2 given x_1 = 1, which is N(.8, .36): mean and variance, to the digits that the docstrings tell.
REPLACED = [("ode", DDIM(), 0.34, 0.65), ("sde", SDE, 0.49, 0.50), ("corrected", CORRECTED, 0.71, 0.40)]


@pytest.mark.parametrize(("sampler", "mean", "variance"), [r[1:] for r in REPLACED], ids=[r[0] for r in REPLACED])
def test_replacement_is_biased_and_corrections_mend_it(observed, sampler, mean, variance, p):
    found, covariance = ends(sampler, observed(Inpaint(values=(1.0, 0.0)), pair(p)))
    assert found[1] == pytest.approx(mean, abs=0.01)
    assert covariance[1, 1] == pytest.approx(variance, abs=0.01)
    # the known one is what it should be, and as uncertain as the last noise is large
    assert found[0] == pytest.approx(1.0, abs=1e-3)
    assert covariance[0, 0] < 2e-4


def test_the_bias_of_replacement_is_its_own_not_the_steps(observed, p):
    model = observed(Inpaint(values=(1.0, 0.0)), pair(p))
    coarse, fine = (float(ends(SDE, model, steps)[0][1]) for steps in (100, 800))
    assert fine == pytest.approx(coarse, abs=0.06)
    assert fine < 0.6


def test_pseudo_inverse_guidance_comes_closer(observed, p):
    mean, covariance = ends(SDE, observed(PiGDM("left", (1.0,), 0.0), pair(p)))
    assert mean[1] == pytest.approx(0.76, abs=0.01)
    assert covariance[1, 1] == pytest.approx(0.35, abs=0.01)


def test_dps_meets_a_measurement_too_closely(observed, p):
    """At s = .2 exactly N(.769, .385) for x_2 and .0385 for the variance of x_1."""
    model = observed(DPS("left", (1.0,), 0.2), pair(p))
    assert model.posterior.mean[1] == pytest.approx(0.769, abs=1e-3)
    mean, covariance = ends(SDE, model)
    assert mean[1] == pytest.approx(0.97, abs=0.01)
    assert covariance[1, 1] == pytest.approx(0.28, abs=0.01)
    assert covariance[0, 0] < 0.5 * model.posterior.covariance[0, 0]


def test_a_known_grey_level(observed, p):
    """The mean of two channels, 1/2, known: exact where they are alike, biased towards equal changes where not."""
    even = observed(Colorize((0.5,)), unit(p))
    torch.testing.assert_close(even.posterior.mean, torch.full((2,), 0.5, dtype=torch.float64), **CLOSE)
    mean, covariance = ends(SDE, even, steps=400)
    torch.testing.assert_close(mean, even.posterior.mean, rtol=0, atol=2e-3)
    torch.testing.assert_close(covariance, even.posterior.covariance, rtol=0, atol=0.02)
    prior = Gaussian(p, torch.zeros(2), torch.tensor([1.0, 0.25]))
    uneven = observed(Colorize((0.5,)), prior)
    torch.testing.assert_close(uneven.posterior.mean, torch.tensor([0.8, 0.2], dtype=torch.float64), **CLOSE)
    mean, _ = ends(SDE, uneven)
    assert float(mean.sum()) == pytest.approx(1.0, abs=2e-3)
    assert 0.1 < abs(float(mean[0]) - 0.8) < 0.3
