import pytest
import torch
from torch.testing import assert_close

from fokker.errors import ConfigError
from fokker.exact import Gaussian, Mixture
from fokker.grid import Uniform
from fokker.model import Counted
from fokker.noise import Recorded, Zero
from fokker.perturbation import VE, VP, Cosine, SubVP
from fokker.sampler import trajectory
from fokker.table import Betas, Sigmas
from fokker_ode.ode import ODE

D = torch.float64
ADAPTIVE = ["dopri5", "dopri8", "bosh3", "fehlberg2", "adaptive_heun"]
FIXED = ["euler", "midpoint", "heun2", "heun3", "rk4"]
PERTURBATIONS = [VP(), SubVP(), VE(), Cosine(), Betas(), Sigmas()]


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=D, generator=torch.Generator().manual_seed(seed))


def gaussian(p=None):
    return Gaussian(p or VP(), torch.tensor([0.3, -1.0, 2.0], dtype=D), torch.tensor([0.04, 0.25, 1.7], dtype=D))


def run(sampler, model, x, grid, final="none"):
    for state in trajectory(model, sampler, grid, Zero(), x, final=final):
        x = state.x
    return x


def error(sampler, p, start=1.0, end=1e-3, steps=1):
    """Largest error against the exact flow."""
    grid = start + (end - start) * torch.arange(steps + 1, dtype=D) / steps
    model, x = gaussian(p), p.sigma(grid[:1]) * normal(4, 3)
    return float((run(sampler, model, x, grid) - model.flow(x, start, end)).abs().max())


@pytest.mark.parametrize("p", PERTURBATIONS, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("method", ["dopri5", "dopri8", "bosh3"])
def test_adaptive_solvers_follow_the_flow_to_their_tolerance(method, p):
    assert error(ODE(method=method), p, end=0.01) < 3e-3
    if p.knots is None:  # many small steps where the second derivative jumps
        assert error(ODE(method=method, rtol=1e-7, atol=1e-7), p, end=0.01) < 3e-5


@pytest.mark.parametrize("method", ADAPTIVE)
def test_both_tolerances_have_an_effect(method):
    # adaptive_heun and fehlberg2 are of second order: short ways will do
    loose, p = ODE(method=method, rtol=1e-3, atol=1e-3), VP()
    base = error(loose, p, 0.6, 0.3)
    assert error(ODE(method=method, rtol=1e-6, atol=1e-6), p, 0.6, 0.3) < max(1e-6, base / 5)
    assert error(ODE(method=method, rtol=1e-3, atol=1e-1), p, 0.6, 0.3) != base
    assert error(ODE(method=method, rtol=1e-1, atol=1e-3), p, 0.6, 0.3) != base


def test_score_sde_s_tolerances_are_the_default():
    assert ODE() == ODE(method="dopri5", rtol=1e-5, atol=1e-5)
    assert (ODE(method="rk4").rtol, ODE(method="rk4").atol) == (None, None)


@pytest.mark.parametrize("method", FIXED + ADAPTIVE)
def test_states_lie_on_the_grid(method):
    model, x = gaussian(), normal(2, 3)
    grid = torch.tensor([0.6, 0.5, 0.35, 0.3], dtype=D)
    states = list(trajectory(model, ODE(method=method), grid, Zero(), x, final="none"))
    assert [state.t for state in states] == grid.tolist()
    for state in states:
        assert_close(state.x, model.flow(x, 0.6, state.t), rtol=0, atol=0.1 if method == "euler" else 0.02)


@pytest.mark.parametrize("method", FIXED + ADAPTIVE)
def test_the_model_is_never_asked_beyond_the_ends_of_the_grid(method):
    # VP has no velocity at t = 0, and no time beyond 1
    asked = []

    class Spy(Counted):
        def __call__(self, x, t, cond=None):
            asked.append(float(t))
            return super().__call__(x, t, cond)

    grid = torch.tensor([0.9, 0.6, 0.5], dtype=D)
    run(ODE(method=method), Spy(gaussian()), normal(2, 3), grid)
    assert min(asked) >= 0.5 and max(asked) <= 0.9


def test_fixed_steps_are_textbook_steps():
    model, x = Mixture(VP(), torch.ones(2), normal(2, 3), torch.tensor([0.1, 0.5])), normal(4, 3)
    t, s = 0.6, 0.55
    h = s - t

    def f(y, u):
        return model(y, u).velocity

    k1 = f(x, t)
    for method, expected in (
        ("euler", x + h * k1),
        ("midpoint", x + h * f(x + h / 2 * k1, t + h / 2)),
        ("heun2", x + h / 2 * (k1 + f(x + h * k1, s))),
    ):
        grid = torch.tensor([t, s], dtype=D)
        assert_close(run(ODE(method=method), model, x, grid), expected, rtol=1e-12, atol=1e-12)


def test_samples_have_the_data_s_law():
    # the flow from the prior to t_min, and Tweedie's formula there, of 1000 starts at the quantiles of the normal law
    p = VP(t_min=1e-4)
    z = torch.special.ndtri((torch.arange(1000, dtype=D) + 0.5) / 1000).unsqueeze(1)
    model = Gaussian(p, torch.tensor([0.7], dtype=D), torch.tensor(0.25, dtype=D))
    x = run(ODE(), model, z, Uniform().times(p, 1), "tweedie")
    assert x.mean().item() == pytest.approx(0.7, abs=0.01)
    assert x.std().item() == pytest.approx(0.5, abs=0.005)


def test_the_number_of_evaluations_follows_the_tolerance_not_the_grid():
    counts = []
    for sampler, steps in ((ODE(), 1), (ODE(), 20), (ODE(rtol=1e-8, atol=1e-8), 1)):
        model = Counted(gaussian())
        run(sampler, model, normal(2, 3), Uniform(end=0.01).times(VP(), steps))
        counts.append(model.calls)
    assert abs(counts[1] - counts[0]) <= 0.2 * counts[0]
    assert counts[2] > 2 * counts[0]


def test_it_draws_nothing():
    grid, x = Uniform(end=0.1).times(VP(), 2), normal(2, 3)
    for method in ("dopri5", "rk4"):
        list(trajectory(gaussian(), ODE(method=method), grid, Recorded([]), x))


@pytest.mark.parametrize("method", ["dopri5", "heun2"])
def test_single_precision_states_are_integrated_over_double_precision_times(method):
    model, x = gaussian(), normal(4, 3)
    grid = Uniform(end=1e-3).times(VP(), 200)
    exact = run(ODE(method=method), model, x, grid)
    found = run(ODE(method=method), model, x.float(), grid)
    assert found.dtype == torch.float32
    assert_close(found.double(), exact, rtol=0, atol=1e-4)


def test_tolerances_are_refused_where_they_have_no_effect():
    with pytest.raises(ConfigError, match=r"ODE\.rtol has no effect on the fixed steps of 'rk4'; leave it out"):
        ODE(method="rk4", rtol=1e-3)
    with pytest.raises(ConfigError, match=r"ODE\.atol has no effect"):
        ODE(method="euler", atol=1e-3)
    with pytest.raises(ConfigError, match=r"ODE\.rtol must be greater than 0"):
        ODE(rtol=0.0)
    with pytest.raises(ConfigError, match=r"ODE\.method must be one of dopri5"):
        ODE(method="implicit_adams")


@pytest.mark.parametrize("p", PERTURBATIONS, ids=lambda p: type(p).__name__)
def test_euler_steps_of_the_flow_exist_wherever_the_sde_s_do(p):
    # Score SDE's Euler-Maruyama raises a TypeError when it is asked for the probability flow
    model, x = gaussian(p), normal(4, 3)
    grid = Uniform(end=0.01).times(p, 50)
    assert bool(run(ODE(method="euler"), model, x * p.prior_std, grid).isfinite().all())
