"""DPM-Solver's own code, diffusers' multistep schedulers and k-diffusion on exact mixtures, against `fokker_dpm`.

All of them carry every step out in full, hence `reach` without an end; k-diffusion and diffusers go to sigma = 0. Where
they let the last steps have lower orders, `lower_order_final` does.
"""

import pytest
import torch
from torch import Tensor

from fokker.noise import Recorded, Zero
from fokker.perturbation import VP, Perturbation
from fokker_dpm.dpm_multistep import DPMSolver2M, DPMSolver3M
from fokker_dpm.dpm_singlestep import DPMSolver1, DPMSolver2, DPMSolver3
from fokker_dpm.lms import LMS
from fokker_dpm.sde_dpm_solver import SDEDPMSolver
from fokker_dpm.unipc import UniPC

FAR = 1e9


class Levels(Perturbation):
    """The noise levels sigma / alpha of a run, from the last to the first at times 0, 1 / N, ..., 1.

    Args:
        ratios: Descending, with 0 at the end where the run goes there, (N + 1,).
        preserving: Whether alpha^2 + sigma^2 = 1, and not alpha = 1.
    """

    def __init__(self, ratios: Tensor, preserving: bool):
        self.ratios, self.preserving = ratios.flip(0), preserving
        n = len(ratios) - 1
        self.grid = torch.arange(n, -1, -1, dtype=torch.float64) / n

    def alpha(self, t):
        s = self._ratio(t)
        return (1 + s**2) ** -0.5 if self.preserving else torch.ones_like(s)

    def sigma(self, t):
        return self._ratio(t) * self.alpha(t)

    def _ratio(self, t):
        return self.ratios[(t * (len(self.ratios) - 1)).round().long()]


def run(sampler, model, grid, x, noise=None):
    return torch.stack([state.x for state in sampler.trajectory(model, x, grid, noise or Zero())])


@pytest.fixture(scope="module")
def original(record):
    return record("dpm_solver/dpm_solver_original")


@pytest.fixture(scope="module")
def diffusers(record):
    return record("diffusers_schedulers/pndm_dpm_unipc")


@pytest.fixture(scope="module")
def karras(record):
    return record("k_diffusion/samplers")


ORIGINAL = {
    "pp_multistep2_time_uniform": DPMSolver2M(form="published", reach=FAR),
    "eps_multistep3_quadratic": DPMSolver3M(form="published", prediction="eps", reach=FAR),
}


@pytest.mark.parametrize("name", ORIGINAL)
def test_original_multistep(original, name, agree):
    p, times = VP(), original[f"{name}/call_t_alpha_sigma"][:, 0]
    grid = torch.cat([times, torch.full((1,), 1e-3, dtype=torch.float64)])
    found = run(ORIGINAL[name], original.law(p), grid, original[f"{name}/x_T"])
    agree(found, original[f"{name}/intermediates"], rtol=1e-8, atol=1e-8)


def test_original_singlestep_2(original, agree):
    """Every second call starts a step."""
    name, p = "eps_singlestep_fixed2", VP()
    times = original[f"{name}/call_t_alpha_sigma"][::2, 0]
    grid = torch.cat([times, torch.full((1,), 1e-3, dtype=torch.float64)])
    found = run(DPMSolver2(), original.law(p), grid, original[f"{name}/x_T"])
    agree(found[-1], original[f"{name}/sample"], rtol=1e-8, atol=1e-8)


def test_original_singlestep_3(original, agree):
    """Its 12 evaluations are steps of orders 3, 3, 3, 2 and 1."""
    name, p = "pp_singlestep3_logSNR", VP()
    times = original[f"{name}/call_t_alpha_sigma"][:, 0]
    ways = [DPMSolver3(prediction="x0")] * 3 + [DPMSolver2(prediction="x0"), DPMSolver1()]
    starts = [*times[[0, 3, 6, 9, 11]].tolist(), 1e-3]
    x, states = original[f"{name}/x_T"], []
    for k, way in enumerate(ways):
        x = run(way, original.law(p), torch.tensor(starts[k : k + 2], dtype=torch.float64), x)[-1]
        states.append(x)
    agree(states[-1], original[f"{name}/sample"], rtol=1e-8, atol=1e-8)


DIFFUSERS = {
    "dpmpp_2m_linear": DPMSolver2M(form="published", reach=FAR),
    "dpmpp_2m_linear_final_sigma_min": SDEDPMSolver(eta=0.0, lower_order_final=15, reach=FAR),
    "dpmpp_3m_scaled_linear": DPMSolver3M(form="published", reach=FAR),
    "dpmpp_2m_karras_scaled_linear": DPMSolver2M(form="published", reach=FAR),
    "sde_dpmpp_2m_linear": SDEDPMSolver(form="published", reach=FAR),
    "unipc_bh2_order2_linear": UniPC(lower_order_final=1000, reach=FAR),
}


@pytest.mark.parametrize("name", DIFFUSERS)
def test_diffusers(diffusers, name, agree):
    """Its tables are float32; `heun` of two nodes is the exact integral, from a plain start."""
    p = Levels(diffusers[f"{name}/sigmas"], preserving=True)
    draws = Recorded(diffusers[f"{name}/noise"]) if f"{name}/noise" in diffusers.tensors else None
    found = run(DIFFUSERS[name], diffusers.law(p), p.grid, diffusers[f"{name}/x_init"], draws)
    agree(found[1:], diffusers[f"{name}/x"], rtol=0, atol=1e-4)


KARRAS = {
    "lms": (LMS(start="plain", reach=FAR), 1e-4),
    "dpmpp_2m": (DPMSolver2M(form="published", reach=FAR), 1e-8),
    "dpmpp_2m_sde_midpoint": (SDEDPMSolver(form="published", reach=FAR), 1e-8),
}


@pytest.mark.parametrize("name", KARRAS)
def test_k_diffusion(karras, name, agree):
    """It integrates the weights of `lms` to 1e-4 only."""
    sampler, tolerance = KARRAS[name]
    p = Levels(karras[f"{name}/sigmas"], preserving=False)
    draws = Recorded(karras[f"{name}/noise"]) if f"{name}/noise" in karras.tensors else None
    found = run(sampler, karras.law(p), p.grid, karras[f"{name}/x_init"], draws)
    agree(found[:-1], karras[f"{name}/call_x"], rtol=tolerance, atol=tolerance)
    agree(found[-1], karras[f"{name}/sample"], rtol=tolerance, atol=tolerance)
