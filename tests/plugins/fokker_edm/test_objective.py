import pytest
import torch
from torch.testing import assert_close

from fokker.exact import Gaussian
from fokker.linear import EDMNoise, Flow
from fokker.noise import Recorded
from fokker.objective import Denoising
from fokker.parameterization import EDM
from fokker.perturbation import VP
from fokker.weighting import EDMWeight, Simple
from fokker_edm.objective import EDMLoss

D = torch.float64
PERTURBATIONS = [EDMNoise(), VP(), Flow()]


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=D, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("p", PERTURBATIONS, ids=repr)
def test_the_relative_noise_is_log_normal(p):
    u = (torch.arange(20_000, dtype=D) + 0.5) / 20_000
    t = EDMLoss(mean=-0.5, std=0.8).times(p, u)
    log_sigma = (p.sigma(t) / p.alpha(t)).log()
    assert float(log_sigma.mean()) == pytest.approx(-0.5, abs=1e-4)
    assert float(log_sigma.std()) == pytest.approx(0.8, abs=1e-3)
    quantiles = torch.tensor([0.1587, 0.5, 0.8413], dtype=D)
    expected = torch.tensor([-1.3, -0.5, 0.3], dtype=D)
    assert_close(log_sigma.quantile(quantiles), expected, rtol=0, atol=2e-3)


@pytest.mark.parametrize("p", PERTURBATIONS, ids=repr)
def test_times_stay_where_the_perturbation_is(p):
    t = EDMLoss(std=10.0).times(p, torch.tensor([0.0, 1e-12, 0.5, 1 - 1e-12], dtype=D))
    assert t[0] == t[1] == p.t_min and t[-1] == 1
    assert bool(((t >= p.t_min) & (t <= 1)).all())


def test_the_loss_is_that_of_denoising_with_the_weight_of_edm():
    p, x0, eps = EDMNoise(), normal(3, 2), normal(3, 2, seed=1)
    model, t = Gaussian(p, torch.zeros(2), torch.tensor(0.3)), torch.tensor([0.001, 0.01, 0.5], dtype=D)
    for weighting in (EDMWeight(), EDMWeight(sigma_data=0.75), Simple()):
        found = EDMLoss(weighting=weighting).loss(model, x0, t, Recorded([eps]))
        assert_close(found, Denoising(weighting=weighting).loss(model, x0, t, Recorded([eps])), rtol=1e-12, atol=0)


def test_a_silent_network_has_a_loss_of_one_half_per_dimension_at_every_level():
    # Karras et al. (2022), appendix B.6: with F = 0 on data of the standard deviation sigma_data
    p, read = EDMNoise(), EDM()
    x0, eps = 0.5 * normal(4000, 4), normal(4000, 4, seed=1)
    for sigma in (0.01, 0.3, 2.0, 40.0):
        x = x0 + sigma * eps
        error = (read.predict(torch.zeros_like(x), x, 1.0, sigma).x0 - x0).square().sum(1)
        weight = EDMWeight()(p, torch.tensor(sigma / 80, dtype=D))
        assert float((weight * error / 2).mean()) == pytest.approx(4 / 2, rel=0.03)
