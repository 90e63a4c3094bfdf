import math

import pytest
import torch
from torch.testing import assert_close

from fokker.errors import ConfigError
from fokker.grid import Karras
from fokker.linear import EDMNoise, Flow

D = torch.float64


def test_the_noise_of_edm_is_its_clock():
    p, t = EDMNoise(), torch.linspace(0, 1, 11, dtype=D)
    assert_close(p.sigma(t), 80 * t)
    assert torch.equal(p.alpha(t), torch.ones_like(t))
    assert (p.prior_std, p.t_min) == (80.0, 0.002 / 80)
    assert_close(p.diffusion(t), (2 * 80 * p.sigma(t)).sqrt())  # dx = sqrt(2 sigma dsigma/dt) dw


def test_the_levels_of_edm_are_those_of_the_source():
    # Karras et al. (2022), eq. 5, rho = 7, 18 levels from 80 to .002, as their code gives them
    p = EDMNoise()
    sigmas = p.sigma(Karras().times(p, 17))
    expected = [80, 57.585985, 40.785574, 28.374585, 19.352453, 12.910082, 8.4009353, 5.3151945, 3.2568215]
    expected += [1.9233398, 1.0881706, 0.58534812, 0.29644228, 0.13951647, 0.059947311, 0.022934518, 0.00752802, 0.002]
    assert_close(sigmas, torch.tensor(expected, dtype=D), rtol=1e-7, atol=0)


def test_sigma_min_is_where_integration_stops():
    p = EDMNoise(sigma_min=0.5, sigma_max=10.0)
    assert p.sigma(torch.tensor(p.t_min, dtype=D)).item() == pytest.approx(0.5, rel=1e-15)


@pytest.mark.parametrize("log_snr_min", [-80.0, -30.0, -12.0, -1.0, 0.0])
def test_flow_is_the_straight_line_and_stops_at_the_log_snr_that_is_asked_for(log_snr_min):
    p, t = Flow(log_snr_min=log_snr_min), torch.linspace(0, 1, 11, dtype=D)
    assert p.log_snr(t[-1]).item() == pytest.approx(log_snr_min, abs=1e-12)
    assert_close(p.alpha(t) + p.sigma(t), torch.ones_like(t), rtol=1e-15, atol=0)
    assert_close(p.sigma(t), p.sigma(t[-1]) * t)
    assert p.alpha(t[0]) == 1 and p.sigma(t[0]) == 0
    assert p.prior_std == p.sigma(t[-1])


def test_flow_at_its_longest_is_the_whole_line():
    # Liu et al. (2023), eq. 1: x_t = (1 - t) x0 + t z, velocity z - x0
    p, t = Flow(log_snr_min=-80.0), torch.linspace(0, 1, 11, dtype=D)
    assert_close(p.alpha(t), 1 - t, rtol=0, atol=1e-15)
    assert_close(p.sigma(t), t, rtol=0, atol=1e-15)
    assert [rate.tolist() for rate in p.rates(t)] == [[-1.0] * 11, [1.0] * 11]
    inner = t[1:-1]
    assert_close(p.drift(inner), -1 / (1 - inner))
    assert_close(p.diffusion(inner) ** 2, 2 * inner / (1 - inner))


@pytest.mark.parametrize("p", [EDMNoise(), Flow(), Flow(log_snr_min=-80.0)], ids=repr)
def test_time_inverts_log_snr_and_stays_within_0_and_1(p):
    t = torch.linspace(0, 0.99, 100, dtype=D)[1:]
    assert_close(p.time(p.log_snr(t)), t, rtol=1e-12, atol=0)
    beyond = torch.tensor([-torch.inf, -1e6, 1e6, torch.inf], dtype=D)
    assert_close(p.time(beyond), torch.tensor([1.0, 1.0, 0.0, 0.0], dtype=D), rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EDMNoise(sigma_max=0.001), "EDMNoise.sigma_max must be greater than sigma_min = 0.002, got 0.001."),
        (lambda: EDMNoise(sigma_min=0.0), "EDMNoise.sigma_min must be greater than 0, got 0.0."),
        (lambda: EDMNoise(sigma_max=math.inf), "EDMNoise.sigma_max must be a finite number, got inf."),
        (lambda: Flow(t_min=1.0), "Flow.t_min must be less than 1, got 1.0."),
        (lambda: Flow(log_snr_min=0.5), "Flow.log_snr_min must be at most 0, got 0.5."),
        (lambda: Flow(log_snr_min=-81.0), "Flow.log_snr_min must be at least -80, got -81.0."),
    ],
)
def test_impossible_fields_are_refused(make, message):
    with pytest.raises(ConfigError) as error:
        make()
    assert str(error.value) == message
