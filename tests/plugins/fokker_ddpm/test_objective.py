import pytest
import torch
from torch.testing import assert_close

from fokker.errors import ConfigError
from fokker.exact import Gaussian
from fokker.noise import Recorded
from fokker.objective import Denoising
from fokker.perturbation import VP
from fokker.table import Betas, Sigmas
from fokker.weighting import P2, Simple
from fokker_ddpm.objective import DDPM

D = torch.float64


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=D, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("p", [Betas(steps=40), Betas(schedule="cosine", steps=7), Sigmas(levels=10)], ids=repr)
def test_every_level_is_trained_alike(p):
    u = (torch.arange(20 * len(p.knots), dtype=D) + 0.5) / (20 * len(p.knots))
    levels = p.index(DDPM().times(p, u))
    assert torch.bincount(levels)[1:].tolist() == [20] * len(p.knots)
    ends = DDPM().times(p, torch.tensor([0.0, torch.nextafter(torch.tensor(1.0, dtype=D), torch.tensor(0.0, dtype=D))]))
    assert torch.equal(ends, p.knots[[0, -1]])


def test_a_continuous_perturbation_is_refused():
    with pytest.raises(ConfigError, match=r"VP is continuous\. Use the perturbation 'betas' or 'sigmas'"):
        DDPM().times(VP(), torch.zeros(1))


@pytest.mark.parametrize("event", [(2,), (1, 3, 4)], ids=str)
def test_the_loss_is_the_squared_error_of_the_noise(event):
    # Ho et al. (2020), eq. 14: without the factor 1/2, summed over dimensions
    p, x0, eps = Betas(), normal(4, *event), normal(4, *event, seed=1)
    model = Gaussian(p, torch.zeros(event), torch.tensor(0.3))
    t = p.knots[[0, 10, 500, 999]]
    expected = (model(p.perturb(x0, t, eps), t).eps - eps).square().flatten(1).sum(1)
    assert_close(DDPM().loss(model, x0, t, Recorded([eps])), expected, rtol=1e-9, atol=0)
    half = Denoising(weighting=Simple()).loss(model, x0, t, Recorded([eps]))
    assert_close(2 * half, expected, rtol=1e-9, atol=0)


def test_the_weighting_changes_the_loss():
    p, x0, eps = Betas(), normal(3, 2), normal(3, 2, seed=1)
    model, t = Gaussian(p, torch.zeros(2), torch.tensor(0.3)), p.knots[[10, 500, 900]]
    plain = DDPM().loss(model, x0, t, Recorded([eps]))
    weighted = DDPM(weighting=P2()).loss(model, x0, t, Recorded([eps]))
    assert_close(weighted, plain / (1 + p.log_snr(t).exp()), rtol=1e-9, atol=0)
