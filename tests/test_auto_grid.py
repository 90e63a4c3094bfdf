"""The grid of the default sampler: decreasing, within what the model knows, for every perturbation."""

import pytest
import torch
from torch.testing import assert_close

from fokker.auto_grid import AutoGrid, levels_between
from fokker.errors import ConfigError
from fokker.linear import EDMNoise, Flow
from fokker.perturbation import VE, VP
from fokker.sampler import check_grid
from fokker.table import Betas


def noise(p, t):
    return (-p.log_snr(t) / 2).exp()


@pytest.mark.parametrize("steps", [1, 2, 4, 9, 49, 199, 999])
@pytest.mark.parametrize("p", [EDMNoise(), VE(), VP(), Flow(), Betas(zero_terminal_snr=True)], ids=repr)
def test_decreases_from_the_first_time_and_ends_within_the_model(p, steps):
    grid = AutoGrid().times(p, steps)
    check_grid(grid)
    assert len(grid) == steps + 1
    assert grid[0] == 1
    assert grid[-1] >= p.t_min
    assert (grid[0].item(), grid[-1].item()) == AutoGrid().ends(p, steps)


def test_the_last_level_follows_from_the_budget():
    p = EDMNoise(sigma_min=1e-4)
    for steps in (4, 9, 19, 99):
        n = steps + 1
        assert float(noise(p, AutoGrid().times(p, steps)[-1])) == pytest.approx(min(0.04, 3.3 / (n * n + 24)))


def test_a_model_that_knows_no_less_noise_is_not_asked_for_it():
    p = EDMNoise(sigma_min=0.1)
    assert float(noise(p, AutoGrid().times(p, 50)[-1])) == pytest.approx(0.1)


@pytest.mark.parametrize("steps", [4, 9, 49])
def test_levels_are_in_units_of_the_data(steps):
    one = EDMNoise(sigma_min=1e-4, sigma_max=80.0)
    other = EDMNoise(sigma_min=3e-3, sigma_max=2400.0)
    found = noise(other, AutoGrid(data_std=30.0).times(other, steps))
    assert_close(found, 30 * noise(one, AutoGrid().times(one, steps)))


def test_infinite_noise_is_where_the_grid_begins_and_takes_no_room():
    """A million times the data's width counts as infinite; most levels stay where the data forms."""
    for p in (Betas(zero_terminal_snr=True), Flow(log_snr_min=-80.0)):
        assert noise(p, torch.ones(1, dtype=torch.float64)) > 1e16
        levels = noise(p, AutoGrid().times(p, 19))
        assert levels[1:].isfinite().all()
        assert (levels < 10).sum() >= 13


def test_each_step_has_the_same_share_of_the_density():
    assert_close(
        torch.from_numpy(levels_between(10.0, 0.1, 4, lambda s: 0 * s + 1)),
        torch.logspace(1, -1, 5, dtype=torch.float64),
        rtol=1e-9,
        atol=0,
    )
    levels = levels_between(10.0, 0.1, 4, lambda s: s)
    assert_close(torch.from_numpy(levels), torch.linspace(10, 0.1, 5, dtype=torch.float64), rtol=1e-5, atol=0)


def test_a_perturbation_with_more_noise_than_its_last_level_is_refused():
    with pytest.raises(ConfigError, match="use another grid"):
        AutoGrid(data_std=1e5).times(EDMNoise(sigma_max=1.0), 9)
