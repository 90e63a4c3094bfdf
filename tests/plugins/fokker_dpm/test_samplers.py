"""What peers get wrong: the last step, repeated times, few steps, the published third order."""

from dataclasses import replace

import pytest
import torch

from fokker.errors import ConfigError
from fokker.exact import Mixture
from fokker.model import ScoreModel
from fokker.noise import Seeded, Zero
from fokker.perturbation import VE, VP, Perturbation
from fokker.prediction import Prediction
from fokker.sampler import trajectory
from fokker.testing.order import even, measure_order, measure_weak_order
from fokker.testing.worlds import gaussian, mixture, normal, overlapping
from fokker_ddpm.ddim import DDIM
from fokker_dpm.deis import DEIS
from fokker_dpm.dpm_multistep import DPMSolver2M, DPMSolver3M
from fokker_dpm.dpm_singlestep import DPMSolver1, DPMSolver2, DPMSolver3
from fokker_dpm.exponential_adams import ExponentialAdams
from fokker_dpm.lms import LMS
from fokker_dpm.multistep import orders
from fokker_dpm.sde_dpm_solver import SDEDPMSolver
from fokker_dpm.unipc import UniPC
from fokker_ode.ode import ODE

ADAMS = [
    ExponentialAdams(order=4, prediction=prediction, variable=variable)
    for prediction in ("eps", "x0", "v")
    for variable in ("log-snr", "sigma", "sqrt-sigma", "angle", "t")
]
OTHERS = [DEIS(), LMS(), DPMSolver2M(), DPMSolver3M(), DPMSolver3M(form="published"), UniPC(order=3)]
OTHERS += [UniPC(variant="bh1"), UniPC(prediction="eps", variant="exact"), SDEDPMSolver(order=3), SDEDPMSolver(eta=0.5)]
OTHERS += [DPMSolver1(), DPMSolver2(), DPMSolver3(), DPMSolver2(prediction="x0"), DPMSolver3(prediction="x0")]


def end(sampler, model, grid, x, noise=None):
    *_, state = trajectory(model, sampler, grid, noise or Zero(), x, final="none")
    return state.x


@pytest.mark.parametrize("sampler", ADAMS + OTHERS, ids=lambda s: repr(s)[:60])
def test_finite_on_grids_that_break_others(sampler):
    """Few steps, a thousand, times a rounding apart, and clean data at the end."""
    model = mixture(VP())
    x = normal(3, 2)
    close = [0.9, 0.9 - 1e-15, 0.5, 0.5 - 1e-12, 0.5 - 2e-12, 0.1, 0.1 - 1e-16, 1e-3]
    grids = [even(1.0, 1e-3, n) for n in (1, 2, 3)] + [even(1.0, 0.0, n) for n in (1, 2, 3, 7)]
    grids += [torch.tensor(close, dtype=torch.float64).unique().flip(0)]
    if sampler in (ADAMS[0], OTHERS[3], OTHERS[5], OTHERS[8]):
        grids.append(even(1.0, 0.0, 1000))
    for grid in grids:
        found = end(sampler, model, grid, x, Seeded(0))
        assert found.isfinite().all(), (len(grid), grid[-2:])
        assert found.abs().max() < 200, (len(grid), grid[-2:])


def test_a_third_order_that_lacks_half_of_a_difference():
    """The published update of three nodes halves the second difference, and the order is 2."""
    world = gaussian(VP())
    exact, published = (measure_order(DPMSolver3M(form=form), world) for form in ("exact", "published"))
    assert exact.order > 2.75
    assert published.local_orders[-1] == pytest.approx(2, abs=0.1)
    assert published.errors[-1] > 4 * exact.errors[-1]


def test_a_plain_start_leaves_an_error_of_order_2():
    world = gaussian(VE())
    steps = (64, 128, 256, 512)
    plain = measure_order(ExponentialAdams(start="plain"), world, steps=steps)
    corrected = measure_order(ExponentialAdams(), world, steps=steps)
    assert plain.local_orders[-1] == pytest.approx(2, abs=0.1)
    assert corrected.local_orders[-1] > 2.75
    assert corrected.errors[-1] < plain.errors[-1] / 10


@pytest.mark.parametrize("order", [1, 2, 3])
def test_weak_order(order):
    found = measure_weak_order(SDEDPMSolver(order=order), gaussian(VE()))
    assert found.local_orders[-1] == pytest.approx(min(order, 2), abs=0.2)


def test_the_last_jump_is_not_extrapolated_into():
    """In equal times the last step is long in log-SNR: three x0 carried into it do worse than DDIM."""
    p = VP(t_min=1e-5)
    model = Mixture(
        p,
        torch.tensor([0.5, 0.5], dtype=torch.float64),
        torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64),
        torch.full((2,), 0.05**2, dtype=torch.float64),
    )
    x, grid = normal(400, 2), even(1.0, 1e-5, 100)
    limit = end(ODE(method="dopri8", rtol=1e-10, atol=1e-10), model, even(1.0, 1e-5, 1), x)

    def error(sampler):
        return float((end(sampler, model, grid, x) - limit).norm(dim=1).mean())

    ddim = error(DDIM())
    lowered = DPMSolver3M()
    assert error(lowered) < ddim
    assert error(replace(lowered, reach=1e9)) > ddim


def test_orders_rise_fall_and_end():
    u = torch.tensor([0.0, 1.0, 2.0, 3.0, 3.5, 7.0, 8.0, torch.inf], dtype=torch.float64)
    assert orders(u, 3) == [1, 2, 3, 3, 1, 3, 1]
    assert orders(u[:5], 3, ends_lower=True) == [1, 2, 2, 1]
    assert orders(torch.zeros(4, dtype=torch.float64), 3) == [1, 1, 1]


class Straight(Perturbation):
    """Straight lines from data to noise, with nothing of the data left at t = 1."""

    def alpha(self, t):
        return 1 - t

    def sigma(self, t):
        return 1.0 * t


class ByV(ScoreModel):
    """A model that gives v, the one prediction that says something at either end; nearly the limit there."""

    def __init__(self, law):
        self.law = law

    @property
    def perturbation(self):
        return self.law.perturbation

    def __call__(self, x, t, cond=None):
        inside = min(max(float(t), 1e-9), 1 - 1e-9)
        return Prediction(x, *self.perturbation.scales(t, x), v=self.law(x, inside).v)


EVERY = [s for s in ADAMS + OTHERS if not s.claims.stochastic]


@pytest.mark.parametrize("sampler", EVERY, ids=lambda s: repr(s)[:60])
def test_from_pure_noise_to_clean_data(sampler):
    """Where alpha is 0 at the first level and sigma at the last; the stages of eps do not exist at the former."""
    model = ByV(mixture(Straight()))
    x = normal(3, 2)
    if isinstance(sampler, (DPMSolver2, DPMSolver3)) and sampler.prediction == "eps":
        with pytest.raises(ConfigError, match="alpha at the first"):
            end(sampler, model, even(1.0, 0.0, 4), x)
        return
    limit = end(ODE(method="dopri8", rtol=1e-9, atol=1e-9), model.law, even(1 - 1e-6, 1e-6, 1), x)
    errors = [float((end(sampler, model, even(1.0, 0.0, n), x) - limit).norm()) for n in (40, 160)]
    assert errors[1] < 0.03
    assert errors[1] < errors[0] / 2


METHODS = [(ExponentialAdams(order=2, prediction=q), 2) for q in ("eps", "x0", "v")]
METHODS += [(DPMSolver3M(), 3), (UniPC(), 3), (DEIS(), 3), (DPMSolver2(), 2), (DPMSolver3(), 3)]


@pytest.mark.parametrize("p", [VP(), VE()], ids=lambda p: type(p).__name__)
@pytest.mark.parametrize(("sampler", "order"), METHODS, ids=lambda v: repr(v)[:40])
def test_the_order_on_a_mixture(sampler, order, p):
    """The score of a mixture is not linear; the kit measures orders on Gaussian data."""
    model = overlapping(p)
    x = float(p.sigma(torch.tensor(0.9, dtype=torch.float64))) * normal(6, *model.event_shape, seed=3)
    limit = end(ODE(method="dopri8", rtol=1e-12, atol=1e-12), model, even(0.9, 0.1, 1), x)
    coarse, fine = (float((end(sampler, model, even(0.9, 0.1, n), x) - limit).norm()) for n in (128, 256))
    assert torch.tensor(coarse / fine).log2() > order - 0.25
