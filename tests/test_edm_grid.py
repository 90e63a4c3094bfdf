"""EDM's published levels, the polyexponential grid, and grids on the levels of a table."""

import pytest
import torch
from torch.testing import assert_close

from fokker.edm_grid import EDMGrid, Polyexponential
from fokker.errors import ConfigError
from fokker.grid import Exponential, Karras, Uniform, karras_sigmas
from fokker.levelled import OnLevels
from fokker.linear import EDMNoise
from fokker.perturbation import VE, VP
from fokker.sampler import check_grid
from fokker.table import Betas, Sigmas

D = torch.float64


def noise(p, t):
    return p.sigma(t) / p.alpha(t)


def test_edm_is_karras_with_the_published_ends_in_units_of_the_data():
    for scale in (0.5, 1.0, 3.0):
        p = VE(sigma_min=1e-4, sigma_max=1e4)
        found = noise(p, EDMGrid(sigma_data=scale).times(p, 17))
        assert_close(found, karras_sigmas(18, 0.002, 80.0) * scale / 0.5, rtol=1e-9, atol=0)
    assert_close(EDMGrid().times(EDMNoise(), 9), Karras().times(EDMNoise(), 9))


def test_edm_is_clipped_to_what_the_model_knows():
    p = VE(sigma_min=0.01, sigma_max=50.0)
    assert_close(EDMGrid().times(p, 9), Karras().times(p, 9))
    with pytest.raises(ConfigError, match=r"'edm' at sigma_data = 1e\+06 lies outside this perturbation"):
        EDMGrid(sigma_data=1e6).times(p, 9)


def test_polyexponential_is_a_power_of_the_way():
    p = VP(t_min=1e-4)
    assert_close(Polyexponential(rho=1.0).times(p, 9), Exponential().times(p, 9), rtol=1e-9, atol=0)
    levels = noise(p, Polyexponential(rho=2.0, sigma_max=100.0, sigma_min=0.01).times(p, 4)).log10()
    assert_close(levels, 4 * torch.tensor([1, 0.75, 0.5, 0.25, 0], dtype=D) ** 2 - 2, rtol=0, atol=1e-9)


@pytest.mark.parametrize("inner", [Karras(), Uniform(), Exponential()], ids=repr)
@pytest.mark.parametrize("p", [Betas(), Sigmas(), Betas(steps=30)], ids=repr)
def test_on_levels_are_the_nearest_ones_without_repetition(inner, p):
    for steps in (1, 2, 18, 29, len(p.knots) - 1):
        grid = OnLevels(inner).times(p, steps)
        check_grid(grid)
        p.index(grid)
        assert len(grid) == steps + 1
    few = OnLevels(inner).times(Betas(), 5)
    assert float((few - inner.times(Betas(), 5)).abs().max()) <= 0.5 / 1000 + 1e-12
    with pytest.raises(ConfigError, match="has at most"):
        OnLevels(inner).times(p, len(p.knots))
    with pytest.raises(ConfigError, match="needs a table"):
        OnLevels(inner).times(VP(), 5)
