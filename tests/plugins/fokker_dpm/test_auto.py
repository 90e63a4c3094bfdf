"""The default sampler: its distance to the exact flow on three mixtures, its count, its ends, its scale, its noise."""

from math import exp, log

import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from fokker.auto_grid import AutoGrid
from fokker.exact import Gaussian, Mixture
from fokker.linear import EDMNoise
from fokker.model import Counted
from fokker.noise import PerSample, Zero
from fokker.perturbation import VP
from fokker.sampler import trajectory
from fokker.testing.worlds import normal
from fokker_dpm.auto import Auto

D = torch.float64
BUDGETS = (5, 10, 20, 50, 100)
# the best of other packages on each problem, and what the geometric mean of the ratios to it must not exceed
BEST = {
    5: (0.037, 0.042, 1.3),
    10: (0.0063, 0.012, 0.31),
    20: (0.0020, 0.0032, 0.077),
    50: (3.7e-4, 8.8e-4, 0.0088),
    100: (7.0e-5, 1.6e-4, 0.0011),
}
BARS = dict(zip(BUDGETS, (0.65, 0.45, 0.45, 0.22, 0.30), strict=True))


@pytest.fixture(scope="module")
def problems(request):
    """By name: weights, means, covariances, latents, and where the flow takes them from 15 and from 80."""
    data = load_file(request.config.rootpath / "tests" / "reference" / "data" / "problems" / "mixtures.safetensors")
    found = []
    for name in ("mix2", "ring8", "gmm64"):
        weights, means = data[f"{name}/weights"], data[f"{name}/means"]
        covariances = data[f"{name}/diag"].diag().expand(len(weights), -1, -1)
        if f"{name}/lowrank" in data:
            u = data[f"{name}/lowrank"]
            covariances = covariances + u @ u.mT
        ends = {top: data[f"{name}/x0_from_{top}"].double() for top in (15, 80)}
        found.append((weights, means, covariances, data[f"{name}/z"], ends))
    return found


def seen(problem, top, scale=1.0):
    """The law through noise up to `top`, both in units of `scale`."""
    weights, means, covariances, *_ = problem
    p = EDMNoise(sigma_min=1e-4 * scale, sigma_max=top * scale)
    return Counted(Mixture(p, weights, means * scale, covariances * scale**2))


def states(model, x, steps, sampler=None, noise=None, scale=1.0, **options):
    grid = AutoGrid(data_std=scale).times(model.perturbation, steps)
    return list(trajectory(model, sampler or Auto(data_std=scale), grid, noise or Zero(), x, **options))


@pytest.mark.parametrize("top", [15, 80])
@pytest.mark.parametrize("nfe", BUDGETS)
def test_nearer_to_the_exact_flow_than_the_best_of_others(problems, nfe, top):
    ratios = []
    for problem, best in zip(problems, BEST[nfe], strict=True):
        model, z, ends = seen(problem, top), problem[3], problem[4]
        x = states(model, top * z, nfe - 1)[-1].x
        assert model.calls == nfe
        ratios.append(float((x - ends[top]).norm(dim=1).mean()) / best)
    assert exp(sum(map(log, ratios)) / 3) <= BARS[nfe]
    assert max(ratios) <= 0.9


@pytest.mark.parametrize("steps", [4, 9, 19])
def test_the_end_is_the_expected_data_of_the_last_state(problems, steps):
    """The last state is corrected after the evaluation that gives the end, so that the two differ by the correction."""
    model, z = seen(problems[0], 15), problems[0][3]
    whole = states(model, 15 * z, steps)
    plain = states(model, 15 * z, steps, final="none")
    assert len(whole) == steps + 2
    assert_close(whole[-2].x, plain[-1].x, rtol=0, atol=0)
    assert_close(whole[-1].x, model(plain[-1].x, plain[-1].t).x0, rtol=0, atol=0.02)
    end = problems[0][4][15]
    assert (whole[-1].x - end).norm(dim=1).mean() < (plain[-1].x - end).norm(dim=1).mean()
    # without noise there is none to leave out
    assert_close(states(model, 15 * z, steps, final="mean")[-1].x, plain[-1].x, rtol=0, atol=0)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("steps", [4, 9, 19])
def test_data_in_other_units_gives_samples_in_those_units(problems, steps, eta):
    z = problems[1][3]
    noise = [PerSample(3, range(len(z)), (2,)) for _ in range(2)]
    ends = [
        states(seen(problems[1], 15, scale), 15 * scale * z, steps, Auto(data_std=scale, eta=eta), source, scale)[-1].x
        for scale, source in zip((1.0, 30.0), noise, strict=True)
    ]
    assert_close(ends[1], 30 * ends[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_one_step_keeps_the_law_of_data_as_wide_as_its_unit(eta):
    """F is 0 there: a step scales the state and puts back the noise that makes up for it, exactly."""
    p = VP(t_min=1e-3)
    model = Gaussian(p, torch.zeros(1, dtype=D), torch.full((), 4.0, dtype=D))
    n = 50_000
    grid = torch.tensor([0.8, 0.3], dtype=D)
    widths = (4 * p.alpha(grid) ** 2 + p.sigma(grid) ** 2).sqrt()
    x = widths[0] * normal(n, 1)
    *_, end = trajectory(model, Auto(eta=eta), grid, PerSample(1, range(n), (1,)), x, final="none")
    assert float(end.x.std() / widths[1]) == pytest.approx(1, abs=0.015)
    alpha = p.alpha(grid)
    left = (widths[1] / alpha[1] / (widths[0] / alpha[0])) ** (eta**2)
    together = float((x * end.x).mean() / (widths[0] * widths[1]))
    assert together == pytest.approx(float(left), abs=0.02)


def test_a_silent_end_leaves_out_the_last_noise_alone(problems):
    model, z = seen(problems[0], 15), problems[0][3]
    ends = {}
    for final in ("none", "mean"):
        source = PerSample(0, range(len(z)), (2,))
        ends[final] = states(model, 15 * z, 6, Auto(eta=0.5), source, final=final)
    for loud, silent in zip(ends["none"][:-1], ends["mean"][:-1], strict=True):
        assert_close(loud.x, silent.x, rtol=0, atol=0)
    assert float((ends["none"][-1].x - ends["mean"][-1].x).std()) > 1e-3
