"""Hugging Face diffusers: noise schedules, forward noising, spacings of times, and the DDPM and DDIM schedulers.

Its timestep t counts from 0 and is fokker's level t + 1; its last step goes to alpha-bar = 1, fokker's t = 0. Its
tables are float32. Its `leading` spacing, clipping and `beta` sigmas have no counterpart here.
"""

import dataclasses

import pytest
import torch

from fokker.grid import Exponential, Karras, Knots, Trailing
from fokker.noise import Recorded
from fokker.parameterization import V
from fokker.sampler import by_step
from fokker.table import Betas
from fokker_ddpm.ancestral import Ancestral
from fokker_ddpm.ddim import DDIM

SCHEDULES = {
    "linear": Betas(),
    "scaled_linear": Betas(schedule="scaled-linear"),
    "cosine": Betas(schedule="cosine"),
}
STEP = {"rtol": 1e-5, "atol": 2e-5}
PATH = {"rtol": 0, "atol": 1e-3}

RUNS = {
    "ddpm_linear_eps_fixed_small": (Ancestral(), SCHEDULES["linear"], "eps"),
    "ddpm_cosine_v_fixed_large": (Ancestral(variance="forward"), SCHEDULES["cosine"], "v"),
    "ddim_linear_eta0": (DDIM(), SCHEDULES["linear"], "eps"),
    "ddim_linear_eta05": (DDIM(eta=0.5), SCHEDULES["linear"], "eps"),
    "ddim_cosine_v_eta0": (DDIM(), SCHEDULES["cosine"], "v"),
}


@pytest.fixture(scope="module")
def schedules(record):
    return record("diffusers_schedulers/noise_schedules")


@pytest.fixture(scope="module")
def runs(record):
    return record("diffusers_schedulers/ddpm_ddim")


@pytest.mark.parametrize("name", SCHEDULES)
def test_zero_terminal_snr(schedules, name, agree):
    p = dataclasses.replace(SCHEDULES[name], zero_terminal_snr=True)
    agree(p.alpha(p.knots) ** 2, schedules[f"{name}/alphas_cumprod_zero_snr"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule(schedules, name, agree):
    """2e-5 for alpha-bar: the last of the cosine's is a product of 1000 rounded factors and 1 - 0.999."""
    p = SCHEDULES[name]
    agree(p.table, schedules[f"{name}/betas"], rtol=1e-5)
    agree(p.alpha(p.knots) ** 2, schedules[f"{name}/alphas_cumprod"], rtol=2e-5)


@pytest.mark.parametrize("name", SCHEDULES)
def test_noising_and_velocity(schedules, name, agree):
    """Its `velocity` is fokker's v."""
    p = SCHEDULES[name]
    x0, eps = schedules[f"{name}/x0"], schedules[f"{name}/noise"]
    t = p.knots[schedules[f"{name}/t"]]
    agree(p.perturb(x0, t, eps), schedules[f"{name}/noisy"], rtol=1e-5, atol=1e-6)
    agree(V().target(x0, eps, *p.scales(t, x0)), schedules[f"{name}/velocity"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n", [10, 50])
def test_spacings(schedules, n):
    """`trailing` and `linspace` are fokker's `trailing` and `knots`, n levels being n - 1 steps."""
    p = SCHEDULES["linear"]
    for spacing, grid in (("trailing", Trailing()), ("linspace", Knots())):
        assert (p.index(grid.times(p, n - 1)) - 1).tolist() == schedules[f"linear/timesteps_{spacing}_{n}"].tolist()


@pytest.mark.parametrize("name", ["linear", "scaled_linear"])
@pytest.mark.parametrize(
    ("spacing", "grid"), [("linspace_10", Knots()), ("karras_12", Karras()), ("exponential_12", Exponential())]
)
def test_sigma_grids(schedules, name, spacing, grid, agree):
    """sigma / alpha at the times of a grid, without the final 0, on the alpha-bar that it has rounded to float32."""
    alpha_bar = torch.cat([torch.ones(1).double(), schedules[f"{name}/alphas_cumprod"]])
    p = Betas(schedule="values", values=tuple((1 - alpha_bar[1:] / alpha_bar[:-1]).tolist()))
    expected = schedules[f"{name}/euler_sigmas_{spacing}"][:-1]
    sigmas = (-p.log_snr(grid.times(p, len(expected) - 1)) / 2).exp()
    agree(sigmas, expected, rtol=1e-5)


def grid_of(runs, name):
    return torch.cat([runs[f"{name}/timesteps"] + 1, torch.zeros(1)]).double() / 1000


def noise_of(runs, name):
    """The recorded draws, none at eta = 0; DDPM makes none in its last step, where fokker makes one and adds none."""
    recorded = runs[f"{name}/noise"] if f"{name}/noise" in runs.tensors else []
    return Recorded([*recorded, torch.zeros_like(runs[f"{name}/x_init"])])


@pytest.mark.parametrize("name", RUNS)
def test_steps(runs, name, told, agree):
    """Single steps from the recorded states and model outputs."""
    sampler, p, primary = RUNS[name]
    grid, noise = grid_of(runs, name), noise_of(runs, name)
    starts = torch.cat([runs[f"{name}/x_init"].unsqueeze(0), runs[f"{name}/x"][:-1]])
    outputs = runs[f"{name}/model_output"]
    for k, c in enumerate(by_step(sampler.coefficients(p, grid[:-1], grid[1:]))):
        model = told(p, primary, outputs[[k, k]])
        agree(model(starts[k], float(grid[k])).x0, runs[f"{name}/pred_original_sample"][k], **STEP)
        x = sampler.step(model, starts[k], float(grid[k]), float(grid[k + 1]), c, noise)
        agree(x, runs[f"{name}/x"][k], **STEP)


def test_steps_with_clipping(runs, told, agree):
    """fokker leaves x0 as the model gives it; told the clipped one, `ancestral` makes the same steps.

    Its last step adds noise of variance 1e-20 where fokker adds none.
    """
    name = "ddpm_linear_eps_clip"
    sampler, p = Ancestral(), SCHEDULES["linear"]
    grid, noise = grid_of(runs, name), noise_of(runs, name)
    starts = torch.cat([runs[f"{name}/x_init"].unsqueeze(0), runs[f"{name}/x"][:-1]])
    x0 = runs[f"{name}/pred_original_sample"]
    assert x0.abs().max() == 1
    model = told(p, "x0", x0)
    for k, c in enumerate(by_step(sampler.coefficients(p, grid[:-1], grid[1:]))):
        x = sampler.step(model, starts[k], float(grid[k]), float(grid[k + 1]), c, noise)
        agree(x, runs[f"{name}/x"][k], **STEP)


@pytest.mark.parametrize("name", RUNS)
def test_trajectories(runs, name, agree):
    """Whole runs on the exact model, on fokker's own tables in float64."""
    sampler, p, _ = RUNS[name]
    states = sampler.trajectory(runs.law(p), runs[f"{name}/x_init"], grid_of(runs, name), noise_of(runs, name))
    agree(torch.stack([state.x for state in states][1:]), runs[f"{name}/x"], **PATH)
