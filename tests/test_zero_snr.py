"""Zero terminal SNR: nothing is left of the data at t = 1, and everything that divides by alpha knows it."""

import pytest
import torch
from torch.testing import assert_close

from fokker.exact import Gaussian
from fokker.grid import Karras, Knots, Trailing
from fokker.label import Index
from fokker.noise import Seeded
from fokker.plan import check, resolve
from fokker.plugins import load_plugins
from fokker.sampler import sample
from fokker.table import Betas
from fokker_ddpm.ancestral import Ancestral
from fokker_ddpm.ddim import DDIM

D = torch.float64
HOST = load_plugins()
P = Betas(steps=100, start=1e-3, end=0.1, zero_terminal_snr=True)
TABLES = [P, Betas(zero_terminal_snr=True), Betas(schedule="cosine", steps=50, zero_terminal_snr=True)]


@pytest.mark.parametrize("p", TABLES, ids=repr)
def test_alpha_is_0_at_t_1_and_level_1_stays(p):
    plain = Betas(schedule=p.schedule, steps=p.steps, start=p.start, end=p.end)
    end = torch.ones((), dtype=D)
    assert (p.alpha(end), p.sigma(end), p.log_snr(end)) == (0, 1, -torch.inf)
    assert p.table[-1] == 1 and p.prior_at(1.0) == 1
    assert_close(p.alpha(p.knots[0]), plain.alpha(p.knots[0]), rtol=1e-12, atol=0)
    # the rescaled alphas are a linear function of the given ones
    was, now = plain.alpha(p.knots), p.alpha(p.knots)
    assert_close(now, now[0] * (was - was[-1]) / (was[0] - was[-1]), rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("p", TABLES, ids=repr)
def test_the_last_interval_goes_on_where_the_cubic_ends(p):
    t = 1 - torch.linspace(0, 3 / p.steps, 200, dtype=D)
    assert_close(p.time(p.log_snr(t)), t, rtol=0, atol=1e-12)
    assert bool((p.log_snr(t.flip(0)).diff() < 0).all())
    assert_close(p.alpha(t) ** 2 + p.sigma(t) ** 2, torch.ones_like(t), rtol=1e-12, atol=0)
    d_alpha, d_sigma = p.rates(t)
    assert bool(d_alpha.isfinite().all()) and bool(d_sigma.isfinite().all()) and bool((d_alpha < 0).all())
    h = 1e-9
    begin = torch.tensor(1 - 1 / p.steps, dtype=D)
    before, after = ((p.log_snr(begin + k * h) - p.log_snr(begin + (k - 1) * h)) / h for k in (0, 1))
    assert float(after / before) == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize("sampler", [DDIM(), DDIM(eta=1.0), Ancestral()], ids=repr)
@pytest.mark.parametrize("grid", [Knots(), Trailing(), Karras(sigma_max=50.0)], ids=repr)
def test_samples_of_an_exact_model_have_the_law_of_the_data(grid, sampler):
    s = torch.tensor([0.3, 1.5], dtype=D)
    model = Gaussian(P, torch.tensor([1.0, -2.0], dtype=D), s**2)
    x = sample(model, sampler, grid.times(P, 99), Seeded(0), (20000, 2), dtype=D)
    assert_close(x.mean(0), torch.tensor([1.0, -2.0], dtype=D), rtol=0, atol=0.08)
    assert_close(x.std(0), s, rtol=0.08, atol=0)


TABLE = {"name": "betas", "steps": 20, "start": 0.005, "end": 0.4, "zero_terminal_snr": True}


def planned(**changes):
    tables = {
        "data": {"name": "swiss-roll", "n": 200},
        "perturbation": TABLE,
        "parameterization": "v",
        "objective": {"name": "denoising", "times_in": "levels"},
        "sample": {"sampler": "ddim", "grid": "knots", "steps": 19},
    }
    return resolve(HOST.registry, {**tables, **changes})


@pytest.mark.parametrize("parameterization", ["v", "velocity", "x0", "edm"])
def test_a_plan_that_can_work_has_no_problem(parameterization):
    facts, problems = check(planned(parameterization=parameterization))
    assert problems == [] and facts.terminal_log_snr == -torch.inf and facts.prior_kl == 0


@pytest.mark.parametrize(
    ("changes", "where", "message"),
    [
        ({"parameterization": "eps"}, "parameterization", "x0 does not follow from eps where alpha = 0"),
        ({"parameterization": "score"}, "parameterization", "x0 does not follow from score where alpha = 0"),
        ({"label": "log-snr"}, "label", "infinite at t = 1"),
        ({"label": "sigma"}, "label", "infinite at t = 1"),
        ({"objective": "ddpm"}, "objective", "Simple gives t = 1 the weight 0"),
        ({"objective": "denoising"}, "objective", "times_in = 'uniform'"),
        ({"sample": {"sampler": "ddim", "grid": "karras", "steps": 5}}, "sample.grid", "give sigma_max"),
        ({"sample": {"sampler": "euler-maruyama", "grid": "knots", "steps": 5}}, "sample", "alpha at the first"),
    ],
)
def test_what_divides_by_alpha_is_refused_with_a_reason(changes, where, message):
    _, problems = check(planned(**changes))
    assert any(p.where == where and message in p.message for p in problems), problems


def test_index_of_a_level_without_data():
    t = torch.tensor([1.0, 0.995, 0.99], dtype=D)
    assert_close(Index(between="interpolate")(P, t), torch.tensor([100.0, 99.5, 99.0], dtype=D))
