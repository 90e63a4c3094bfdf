"""The default sampler: its distance to the exact flow on three mixtures, its count, its ends, its scale, its noise."""

from math import exp, log

import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from fokker.auto_grid import AutoGrid
from fokker.exact import Gaussian, Mixture
from fokker.grid import Karras
from fokker.linear import EDMNoise
from fokker.model import Counted
from fokker.noise import PerSample, Zero
from fokker.perturbation import VP
from fokker.sampler import trajectory
from fokker.testing.worlds import normal
from fokker.width import Width
from fokker_ddpm.ddim import DDIM
from fokker_dpm.auto import Auto
from fokker_dpm.dpm_multistep import DPMSolver2M

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


@pytest.fixture(scope="module")
def fields():
    """A law like that of pictures, 8 x 8: smooth fields with smooth texture, seen through noise, and its width."""
    side, count = 8, 12
    frequency = torch.fft.fftfreq(side, dtype=D) * side
    fall = 1 / (1 + frequency.square()[:, None] + frequency.square()[None])

    def smooth(white):
        return torch.fft.ifft2(torch.fft.fft2(white) * fall).real

    means = smooth(normal(count, side**2).reshape(count, side, side))
    scale = means.std()
    texture = smooth(torch.eye(side**2, dtype=D).reshape(-1, side, side)).flatten(1)
    one = 0.1 * texture.mT @ texture / scale**2 + 1e-3 * torch.eye(side**2, dtype=D)
    means = (means / scale).flatten(1)
    law = Mixture(EDMNoise(sigma_min=1e-3, sigma_max=80.0), torch.ones(count), means, one.expand(count, -1, -1))
    covariance = one + (means - means.mean(0)).mT @ (means - means.mean(0)) / count
    trace = covariance.diagonal().sum()
    std = float((trace / side**2).sqrt())
    wide = float((covariance.square().sum() / trace).sqrt())
    return law, Width(std, 2 * wide / std - 3)


@pytest.mark.parametrize("steps", [2, 4, 8])
def test_few_steps_down_data_like_pictures(fields, steps):
    """Where orders in the angle lead astray: nearer to the flow than two methods that are used for pictures."""
    law, width = fields
    assert width.spread > 3
    p = law.perturbation
    z = normal(64, 64)

    def end(sampler, grid, steps):
        model = Counted(law)
        *_, last = trajectory(model, sampler, grid.on_data(lambda: width).times(p, steps), Zero(), p.prior_std * z)
        return last.x, model.calls

    exact, _ = end(DPMSolver2M(), Karras(), 1000)
    x, calls = end(Auto().on_data(lambda: width), AutoGrid(), steps)
    assert calls == steps + 1
    away = (x - exact).norm(dim=1).mean()
    ddim = (end(DDIM(), Karras(), steps)[0] - exact).norm(dim=1).mean()
    two = (end(DPMSolver2M(), AutoGrid(), steps)[0] - exact).norm(dim=1).mean()
    assert away < 0.75 * ddim and away < two


def test_few_steps_end_with_the_expected_data(fields):
    law, width = fields
    grid = AutoGrid().on_data(lambda: width).times(law.perturbation, 4)
    way = Auto().on_data(lambda: width)
    x = law.perturbation.prior_std * normal(4, 64)
    *_, before, end = trajectory(law, way, grid, Zero(), x)
    *_, plain = trajectory(law, way, grid, Zero(), x, final="none")
    assert_close(before.x, plain.x, rtol=0, atol=0)
    assert_close(end.x, law(plain.x, plain.t).x0, rtol=0, atol=0)
