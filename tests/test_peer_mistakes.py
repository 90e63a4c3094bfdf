"""What other toolkits get wrong, each as a test: repeated times, few steps, rounded times, clamped data, a false dt."""

import pytest
import torch
from torch.testing import assert_close

from fokker.edm_grid import EDMGrid, Polyexponential
from fokker.errors import ConfigError
from fokker.exact import Gaussian, PointMass
from fokker.grid import Exponential, Karras, Knots, LogSNR, Quadratic, Trailing, Uniform
from fokker.levelled import OnLevels
from fokker.linear import EDMNoise, Flow
from fokker.model import ScoreModel
from fokker.noise import Seeded
from fokker.perturbation import VE, VP, Cosine, SubVP
from fokker.plugins import load_plugins
from fokker.sampler import OneStep, check_grid, sample
from fokker.table import Betas, Sigmas
from fokker_ddpm.ancestral import Ancestral
from fokker_ddpm.ddim import DDIM
from fokker_sde.euler_maruyama import EulerMaruyama
from fokker_sde.pc import PredictorCorrector

D = torch.float64
HOST = load_plugins()
STEPS = (1, 2, 3, 18, 19, 20, 21, 999, 1000)
PERTURBATIONS = [VP(), VE(), SubVP(), Cosine(), EDMNoise(), Flow(), Betas(), Betas(schedule="cosine"), Sigmas()]
PERTURBATIONS += [Betas(zero_terminal_snr=True), Betas(steps=20, start=5e-3, end=0.5)]
GRIDS = [
    Uniform(), Quadratic(), LogSNR(), Karras(), Exponential(), Trailing(), Knots(), EDMGrid(), Polyexponential(),
    OnLevels(), OnLevels(Uniform()),
]  # fmt: skip


def stochastic():
    """Every built-in sampler and predictor, and every corrector behind a predictor, that draws."""
    found = []
    for kind in ("sampler", "predictor", "corrector"):
        for entry in HOST.registry.entries(kind):
            each = entry.load()()
            if each.claims.stochastic:
                of_pc = kind == "corrector"
                found.append(PredictorCorrector(Ancestral(), each) if of_pc else each)
    return list(dict.fromkeys(found))


def gaussian(p):
    return Gaussian(p, torch.tensor([1.0, -1.0], dtype=D), torch.tensor([0.1, 2.0], dtype=D))


@pytest.mark.parametrize("p", PERTURBATIONS, ids=repr)
@pytest.mark.parametrize("grid", GRIDS, ids=repr)
def test_no_grid_repeats_a_time(grid, p):
    # diffusers repeats a time-step at 1000 steps of linspace, smalldiffusion a level at as many steps as levels
    defined = 0
    for steps in STEPS:
        try:
            times = grid.times(p, steps)
        except ConfigError as error:
            assert str(error).endswith((".", "'.")), error
            continue
        assert len(times) == steps + 1
        check_grid(times)
        defined += 1
    table_only = isinstance(grid, (Knots, OnLevels)) and p.knots is None
    bounded = p.knots is not None and float(p.alpha(torch.ones((), dtype=D))) == 0
    assert defined or table_only or bounded


@pytest.mark.parametrize("sampler", stochastic(), ids=repr)
@pytest.mark.parametrize("steps", [1, 2, 5, 18, 19, 20])
def test_a_stochastic_sampler_is_finite_on_vp_in_few_steps(steps, sampler):
    # score_sde divides by sqrt(1 - beta_max / N), which is not a number for N < 20
    p = VP()
    x = sample(gaussian(p), sampler, Uniform().times(p, steps), Seeded(0), (64, 2), dtype=D)
    assert bool(x.isfinite().all())


class Asked(ScoreModel):
    """Remembers the times that it is asked at."""

    def __init__(self, model):
        self.model, self.times = model, []

    @property
    def perturbation(self):
        return self.model.perturbation

    def __call__(self, x, t, cond=None):
        self.times.append(float(torch.as_tensor(t, dtype=D).max()))
        return self.model(x, t, cond)


@pytest.mark.parametrize("grid", [Karras(), Exponential(), LogSNR(), Uniform()], ids=repr)
def test_the_model_is_asked_at_the_solver_s_own_times(grid):
    # diffusers rounds its time-steps to integers and goes on with the sigmas that they were before
    p = Betas()
    times = grid.times(p, 13)
    asked = Asked(gaussian(p))
    sample(asked, DDIM(), times, Seeded(0), (4, 2), dtype=D, final="none")
    assert asked.times == times[:-1].tolist()
    assert float((times * 1000 - (times * 1000).round()).abs().max()) > 0.05


@pytest.mark.parametrize("p", [VP(), VE(), Betas(), Flow()], ids=repr)
@pytest.mark.parametrize("sampler", [DDIM(), Ancestral()], ids=repr)
def test_data_outside_of_1_is_not_clamped(sampler, p):
    # diffusers clamps to [-1, 1] unless told otherwise
    model = PointMass(p, torch.tensor([5.0, -5.0], dtype=D))
    x = sample(model, sampler, Karras().times(p, 30), Seeded(0), (100, 2), dtype=D)
    assert_close(x.mean(0), torch.tensor([5.0, -5.0], dtype=D), rtol=0, atol=1e-6)


@pytest.mark.parametrize("grid", [Uniform(), Quadratic(), Karras()], ids=repr)
def test_steps_are_those_of_the_grid(grid):
    # score_sde steps by 1 / N, though its N times from 1 to eps lie (1 - eps) / (N - 1) apart
    p = VP()
    times = grid.times(p, 10)
    c = EulerMaruyama().coefficients(p, times[:-1], times[1:])
    assert_close(c["score"] / p.beta(times[:-1]), -times.diff())
    assert_close((c["score"] / p.beta(times[:-1])).sum(), times[0] - times[-1])
    assert isinstance(EulerMaruyama(), OneStep)
