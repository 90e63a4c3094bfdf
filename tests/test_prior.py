"""The prior at the first time of a grid, wherever it lies."""

import pytest
import torch

from fokker.exact import Gaussian
from fokker.grid import Exponential, Karras
from fokker.linear import EDMNoise, Flow
from fokker.noise import Seeded
from fokker.perturbation import VE, VP, Cosine, SubVP
from fokker.sampler import sample
from fokker.table import Betas, Sigmas
from fokker.vanishing import Vanishing
from fokker_ddpm.ddim import DDIM

D = torch.float64
OF_NOISE = [VE(sigma_max=80.0), EDMNoise(), Sigmas(), Flow()]
OF_UNIT_DATA = [VP(), Cosine(), Cosine(log_snr_min=-40.0), Betas(), SubVP(), Vanishing()]


@pytest.mark.parametrize("p", OF_NOISE + OF_UNIT_DATA, ids=repr)
@pytest.mark.parametrize("t", [0.3, 0.9, 1.0])
def test_the_prior_is_noise_and_the_data_that_it_takes_for_granted(p, t):
    v = 0.0 if p in OF_NOISE else 1.0
    alpha, sigma = p.scales(t, torch.empty(0))
    assert p.prior_at(t) == pytest.approx((sigma**2 + alpha**2 * v) ** 0.5, rel=1e-4 if isinstance(p, SubVP) else 1e-9)
    assert p.prior_at(1.0) == p.prior_std


@pytest.mark.parametrize(
    ("p", "grid"),
    [
        (VE(sigma_min=0.002, sigma_max=80.0), Karras(sigma_max=15.0)),
        (VE(sigma_min=0.002, sigma_max=80.0), Exponential(sigma_max=15.0)),
        (EDMNoise(), Karras(sigma_max=15.0)),
        (VP(), Karras(sigma_max=3.0)),
    ],
    ids=repr,
)
def test_a_grid_that_begins_below_t_1_ends_in_the_law_of_the_data(p, grid):
    # the probability flow of N(0, s^2) is linear, so that the end is as wide as the start is right
    s = 0.5
    model = Gaussian(p, torch.zeros(1, dtype=D), torch.tensor([s**2], dtype=D))
    times = grid.times(p, 400)
    alpha, sigma = p.scales(float(times[0]), torch.empty(0))
    right = (alpha**2 * s**2 + sigma**2) ** 0.5
    x = sample(model, DDIM(), times, Seeded(0), (1000, 1), dtype=D)
    expected = s * p.prior_at(float(times[0])) / right
    unit = Seeded(0)(torch.empty(1000, 1, dtype=D))
    assert float((x / unit).mean()) == pytest.approx(expected, rel=0.01)
    # what was cut off: (s / 15)^2 / 2 of the width on VE, and the difference of v from s^2 on VP
    cut = abs(p.prior_at(float(times[0])) / right - 1)
    assert cut < 0.04 and abs(p.prior_std / right - 1) > (3 if p.prior_std > 1 else 0.02)


def test_a_start_at_sigma_80_would_be_five_times_too_wide():
    p = VE(sigma_min=0.002, sigma_max=80.0)
    t = float(Karras(sigma_max=15.0).times(p, 10)[0])
    assert p.prior_at(t) == pytest.approx(15.0, rel=1e-9) and p.prior_std == 80.0
