import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from fokker.component import component
from fokker.errors import ConfigError
from fokker.grid import Exponential, Karras, Knots, LogSNR, Quadratic, Trailing, Uniform, karras_sigmas
from fokker.perturbation import VE, VP, Cosine, Perturbation, SubVP
from fokker.sampler import check_grid
from fokker.table import Betas, Sigmas
from fokker.testing.strategies import perturbations

D = torch.float64
PERTURBATIONS = [VP(), SubVP(), VE(), Cosine(), Betas(), Betas(schedule="cosine"), Sigmas()]
ANYWHERE = [Uniform(), Quadratic(), LogSNR(), Karras(), Exponential()]


def noise(p, grid):
    return p.sigma(grid) / p.alpha(grid)


@pytest.mark.parametrize("grid", ANYWHERE, ids=lambda g: type(g).__name__)
@pytest.mark.parametrize("p", PERTURBATIONS, ids=repr)
@pytest.mark.parametrize("steps", [1, 2, 7, 1000])
def test_grids_go_down_from_1_to_t_min(steps, p, grid):
    times = grid.times(p, steps)
    assert times.shape == (steps + 1,) and times.dtype == D
    check_grid(times)
    assert times[0].item() == pytest.approx(1, abs=1e-12)
    assert times[-1].item() == pytest.approx(p.t_min, abs=1e-12)


@given(perturbations(), st.sampled_from([Uniform(), Quadratic(), Trailing()]), st.integers(1, 60))
def test_grids_of_times_exist_for_every_perturbation(p, grid, steps):
    if isinstance(grid, Trailing) and p.knots is not None and steps >= len(p.knots):
        return
    times = grid.times(p, steps)
    check_grid(times)
    assert len(times) == steps + 1 and times[0] == 1


@given(perturbations(), st.sampled_from([LogSNR(), Karras(), Exponential()]), st.integers(1, 60))
def test_grids_of_noise_levels_exist_wherever_the_last_level_does(p, grid, steps):
    if p.t_min == 0 and p.sigma(torch.zeros(1, dtype=D)) == 0:
        with pytest.raises(ConfigError, match="perturbation with t_min > 0"):
            grid.times(p, steps)
        return
    times = grid.times(p, steps)
    check_grid(times)
    assert len(times) == steps + 1 and times[0] == pytest.approx(1, abs=1e-9)


def test_uniform_times_are_equally_far_apart():
    assert_close(Uniform().times(VP(t_min=0.2), 4), torch.tensor([1.0, 0.8, 0.6, 0.4, 0.2], dtype=D))
    assert Uniform(end=0.5).times(VP(), 2).tolist() == [1.0, 0.75, 0.5]


def test_quadratic_times_have_equally_distant_roots():
    times = Quadratic(end=0.04).times(VP(), 4)
    assert_close(times.sqrt(), torch.tensor([1.0, 0.8, 0.6, 0.4, 0.2], dtype=D))


@pytest.mark.parametrize("p", PERTURBATIONS, ids=repr)
def test_log_snr_steps_are_equal(p):
    log_snr = p.log_snr(LogSNR(end=0.01).times(p, 10))
    assert_close(log_snr.diff(), log_snr.diff().mean().expand(10), rtol=1e-8, atol=0)


@pytest.mark.parametrize("p", PERTURBATIONS, ids=repr)
def test_exponential_levels_are_geometric(p):
    levels = noise(p, Exponential(sigma_max=10.0, sigma_min=0.1).times(p, 10))
    assert_close(levels[0], torch.tensor(10.0, dtype=D), rtol=1e-9, atol=0)
    assert_close(levels[1:] / levels[:-1], torch.full((10,), 0.01**0.1, dtype=D), rtol=1e-9, atol=0)


def test_exponential_is_log_snr_between_the_same_levels():
    assert_close(Exponential().times(VP(), 10), LogSNR().times(VP(), 10), rtol=1e-10, atol=0)


# Karras et al. (2022), eq. 5 with rho = 7, 0.002 to 80, in float64
EDM_18 = [
    80, 57.585985, 40.785574, 28.374585, 19.352453, 12.910082, 8.4009353, 5.3151945, 3.2568215, 1.9233398, 1.0881706,
    0.58534812, 0.29644228, 0.13951647, 0.059947311, 0.022934518, 0.00752802, 0.002,
]  # fmt: skip
EDM_5 = [80, 17.527832, 2.515219, 0.16975276, 0.002]


@pytest.mark.parametrize("expected", [EDM_18, EDM_5], ids=["18", "5"])
def test_karras_levels_are_those_of_edm(expected):
    expected = torch.tensor(expected, dtype=D)
    found = karras_sigmas(len(expected), 0.002, 80.0)
    assert_close(found, expected, rtol=1e-7, atol=0)
    assert found[0] == 80 and found[-1] == 0.002
    # through a perturbation that has these levels
    p = VE(sigma_min=0.002, sigma_max=80.0)
    assert_close(noise(p, Karras().times(p, len(expected) - 1)), expected, rtol=1e-7, atol=0)
    inside = VE(sigma_min=1e-4, sigma_max=1000.0)
    grid = Karras(sigma_max=80.0, sigma_min=0.002).times(inside, len(expected) - 1)
    assert_close(noise(inside, grid), expected, rtol=1e-7, atol=0)


def test_karras_with_rho_1_is_even_in_sigma():
    assert_close(karras_sigmas(5, 1.0, 3.0, rho=1.0), torch.tensor([3.0, 2.5, 2.0, 1.5, 1.0], dtype=D))


def test_knots_are_the_table_s_levels():
    p = Betas(steps=10)
    assert torch.equal(Knots().times(p, 9), p.knots.flip(0))
    assert_close(Knots().times(p, 3) * 10, torch.tensor([10.0, 7.0, 4.0, 1.0], dtype=D))
    for steps in range(1, 232):
        grid = Knots().times(Sigmas(), steps)
        assert grid[0] == 1 and grid[-1] == 0
        Sigmas().index(grid)
        check_grid(grid)


def test_trailing_counts_from_the_last_level():
    # Lin et al. (2024), table 2: T = 1000 with 10 levels, 0-based 999, 899, ..., 99
    levels = Betas().index(Trailing().times(Betas(), 9))
    assert levels.tolist() == list(range(1000, 0, -100))
    assert Betas(steps=10).index(Trailing().times(Betas(steps=10), 2)).tolist() == [10, 7, 3]  # of 10, 6.67, 3.33
    assert_close(Trailing().times(VP(), 3), torch.tensor([1.0, 0.75, 0.5, 0.25], dtype=D))
    for steps in range(1, 1000):
        grid = Trailing().times(Betas(), steps)
        check_grid(grid)
        Betas().index(grid)


def test_every_field_moves_a_time():
    p = VP()
    for cls, changes in (
        (Uniform, {"end": 0.1}),
        (Quadratic, {"end": 0.1}),
        (LogSNR, {"end": 0.1}),
        (Exponential, {"sigma_max": 50.0, "sigma_min": 0.5}),
        (Karras, {"rho": 3.0, "sigma_max": 50.0, "sigma_min": 0.5}),
    ):
        for name, value in changes.items():
            assert not torch.allclose(cls(**{name: value}).times(p, 5), cls().times(p, 5)), (cls, name)


@component
class Line(Perturbation):
    """alpha = 1 - t and sigma = t: nothing is left of the data at t = 1."""

    t_min: float = 0.01

    def alpha(self, t):
        return 1 - t

    def sigma(self, t):
        return t


@pytest.mark.parametrize("grid", [Karras(sigma_max=80.0), Exponential(sigma_max=80.0)], ids=repr)
def test_noise_levels_may_begin_below_an_infinite_one(grid):
    times = grid.times(Line(), 5)
    check_grid(times)
    assert_close(noise(Line(), times)[0], torch.tensor(80.0, dtype=D))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LogSNR().times(Line(), 5), "'log-snr' cannot begin where alpha = 0; use 'uniform'"),
        (lambda: Karras().times(Line(), 5), "needs a largest noise, and alpha = 0 at t = 1: give sigma_max"),
        (lambda: LogSNR(end=0.0).times(VP(), 5), "'log-snr' cannot end where sigma = 0; give end"),
        (lambda: Karras().times(VP(t_min=0.0), 5), "needs a smallest noise above 0: give sigma_min"),
        (lambda: Karras(sigma_max=1e6).times(VP(), 5), r"sigma_max = 1e\+06 lies outside this perturbation"),
        (lambda: Exponential(sigma_min=1e-6).times(VE(), 5), r"sigma_min = 1e-06 .* goes from 0.01 to 50\."),
        (
            lambda: Karras(sigma_max=1.0, sigma_min=2.0).times(VE(), 5),
            "sigma_max = 1 must be greater than",
        ),
        (lambda: Knots().times(VP(), 5), r"needs a table \(sigmas or betas\); VP is continuous. Use 'uniform'"),
        (lambda: Knots().times(Betas(steps=10), 10), "'knots' has at most 9 steps on this table, got 10"),
        (lambda: Trailing().times(Betas(steps=10), 10), "'trailing' has at most 9 steps on this table, got 10"),
        (lambda: Uniform(end=1.0), "Uniform.end must be less than 1, got 1.0"),
        (lambda: Karras(rho=0.5), "Karras.rho must be at least 1, got 0.5"),
        (
            lambda: check_grid(torch.tensor([1.0, 0.5, 0.5])),
            r"grid\[1\] = 0.5 is followed by grid\[2\] = 0.5. Ask",
        ),
        (lambda: check_grid(torch.tensor([1.0, 0.4, 0.42])), r"grid\[1\] = 0.4 is followed by grid\[2\] = 0.42"),
        (lambda: check_grid(torch.tensor([1.5, 0.5])), r"lie in \[0, 1\]; got 0.5 to 1.5"),
        (lambda: check_grid(torch.tensor([0.5, math.nan])), r"lie in \[0, 1\]"),
        (lambda: check_grid(torch.ones(2, 2)), r"a list of times; got a tensor of shape \(2, 2\)"),
        (lambda: check_grid(torch.ones(0)), r"a list of times; got a tensor of shape \(0,\)"),
    ],
    ids=range(18),
)
def test_impossible_grids_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
