"""EDM's sampler as its paper has it, and k-diffusion's that follow it, in float64.

Their states are x = x0 + sigma z. k-diffusion draws at every step, with or without churn; here what is not used is not
drawn.
"""

from itertools import pairwise

import pytest

from fokker.linear import EDMNoise
from fokker.model import Counted
from fokker.noise import Recorded
from fokker.sampler import trajectory
from fokker_edm.edm import EDM
from fokker_edm.heun import Heun

RTOL = 1e-9
HIGH = 200.0  # room above the first level for churn


@pytest.fixture(scope="module")
def k_diffusion(record):
    return record("k_diffusion/samplers")


def run(data, p, sampler, times, x, draws=()):
    """The end, and the number of evaluations."""
    model = Counted(data.law(p))
    for state in trajectory(model, sampler, times, Recorded(draws), x, final="none"):
        x = state.x
    return x, model.calls


def used(noise, sigmas, low, high):
    """The draws of steps with churn."""
    return noise[(sigmas >= low) & (sigmas <= high)]


@pytest.mark.parametrize("s_churn", [0.0, 8.0, 40.0])
def test_algorithm_2_written_out(k_diffusion, s_churn, agree):
    """EDM's stochastic sampler, line by line, with Heun's correction but into sigma = 0."""
    p = EDMNoise(sigma_max=HIGH)
    sigmas, noise = k_diffusion["heun/sigmas"], k_diffusion["heun/noise"]
    law, low, high, s_noise = k_diffusion.law(p), 0.05, 10.0, 1.007

    def slope(x, sigma):
        return (x - law(x, float(sigma) / HIGH).x0) / sigma

    x = k_diffusion["heun/x_init"]
    for k, (sigma, after) in enumerate(pairwise(sigmas)):
        gamma = min(s_churn / (len(sigmas) - 1), 2**0.5 - 1) if low <= sigma <= high else 0.0
        raised = sigma + gamma * sigma
        if gamma:
            x = x + (raised**2 - sigma**2).sqrt() * s_noise * noise[k]
        d = slope(x, raised)
        ahead = x + (after - raised) * d
        x = ahead if after == 0 else x + (after - raised) * (d + slope(ahead, after)) / 2
    churn = {"s_min": low, "s_max": high, "s_noise": s_noise} if s_churn else {}
    draws = used(noise, sigmas[:-1], low, high) if s_churn else ()
    found, calls = run(k_diffusion, p, EDM(s_churn=s_churn, **churn), sigmas / HIGH, k_diffusion["heun/x_init"], draws)
    agree(found, x, rtol=RTOL, atol=RTOL)
    assert calls == 19


@pytest.mark.parametrize(
    ("case", "sampler", "low", "high"),
    [
        ("heun", Heun(), 1, 0),
        ("heun", EDM(s_churn=0), 1, 0),
        ("euler", EDM(s_churn=0, solver="euler"), 1, 0),
        ("euler_churn", EDM(s_churn=4, s_min=0.05, s_max=10.0, s_noise=1.003, solver="euler"), 0.05, 10.0),
    ],
    ids=str,
)
def test_k_diffusion(k_diffusion, case, sampler, low, high, agree):
    p = EDMNoise(sigma_max=HIGH)
    sigmas = k_diffusion[f"{case}/sigmas"]
    draws = used(k_diffusion[f"{case}/noise"], sigmas[:-1], low, high)
    found, _ = run(k_diffusion, p, sampler, sigmas / HIGH, k_diffusion[f"{case}/x_init"], draws)
    agree(found, k_diffusion[f"{case}/sample"], rtol=1e-8, atol=1e-8)
