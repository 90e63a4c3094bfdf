"""Score SDE (Song et al., 2021): its probability-flow sampler, and the same ODE solved to 1e-11.

Its solver is SciPy's RK45 in float64 on a float32 drift; fokker's `ode` is torchdiffeq's dopri5, the same formulas, in
the state's precision.
"""

import pytest
import torch

from fokker.model import Counted
from fokker.noise import Zero
from fokker.sampler import trajectory
from fokker_ode.ode import ODE
from fokker_sde.euler_maruyama import EulerMaruyama
from fokker_sde.reverse_diffusion import ReverseDiffusion

ATOL = 1e-3
KINDS = ["ve", "vp", "subvp"]


@pytest.fixture(scope="module")
def data(record):
    return record("score_sde/ode_sampler")


def solve(data, kind, sde, ode, dtype):
    model = Counted(data.law(sde(kind)))
    grid = torch.tensor([1.0, data.case(kind)["eps"]], dtype=torch.float64)
    *_, end = trajectory(model, ode, grid, Zero(), data[f"{kind}/z"].to(dtype), final="none")
    return end.x.double(), model.calls


@pytest.mark.parametrize("kind", KINDS)
def test_dopri5(data, kind, sde):
    """At its tolerances, in float32; the number of evaluations is within a fifth of its."""
    case = data.case(kind)
    x, calls = solve(data, kind, sde, ODE(rtol=case["rtol"], atol=case["atol"]), torch.float32)
    torch.testing.assert_close(x, data[f"{kind}/x_truth_f64"], rtol=0, atol=ATOL)
    torch.testing.assert_close(x, data[f"{kind}/x_denoise_false"], rtol=0, atol=ATOL)
    assert calls == pytest.approx(case["nfe"], rel=0.2)


@pytest.mark.parametrize("kind", KINDS)
def test_dopri8_meets_the_truth(data, kind, sde):
    """Two solvers of order 8 at tight tolerances agree far below what either claims of the other code."""
    x, _ = solve(data, kind, sde, ODE(method="dopri8", rtol=1e-10, atol=1e-10), torch.float64)
    torch.testing.assert_close(x, data[f"{kind}/x_truth_f64"], rtol=0, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_denoising_step(data, kind, sde, table, recast):
    """It ends with the mean of one predictor step of the SDE, at the level that eps is truncated to.

    For VE that goes to sigma = 0 and is Tweedie's formula.
    """
    case = data.case(kind)
    eps, n = case["eps"], case["sde_params"]["N"]
    law, x = data.law(sde(kind)), data[f"{kind}/x_denoise_false"]
    levels = table(kind, N=n)
    first, none = levels.knots[0], torch.zeros((), dtype=torch.float64)
    if kind == "ve":
        mean = recast(law, levels, lambda _: eps)(x, float(first)).x0
    else:
        predictor, start, end = ReverseDiffusion(), first, none
        model = recast(law, levels, lambda _: eps)
        if kind == "subvp":
            start = torch.tensor(eps, dtype=torch.float64)
            predictor, end, model = EulerMaruyama(), start - 1 / n, law
        c = predictor.coefficients(model.perturbation, start, end)
        c = {name: float(value) for name, value in c.items()}
        mean = predictor.step(model, x, float(start), float(end), c, Zero())
    torch.testing.assert_close(mean, data[f"{kind}/x_denoise_true"], rtol=0, atol=ATOL)
