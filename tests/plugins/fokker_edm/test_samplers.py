"""Heun's method, churn and restarts, beyond what the kit looks at."""

import pytest
import torch
from torch.testing import assert_close

from fokker.errors import ConfigError
from fokker.grid import Karras
from fokker.linear import EDMNoise, Flow
from fokker.model import Counted
from fokker.noise import Recorded, Seeded, Zero
from fokker.perturbation import VE, VP
from fokker.sampler import trajectory
from fokker.testing.moments import affine_map
from fokker.testing.order import measure_order
from fokker.testing.runs import Tape
from fokker.testing.worlds import gaussian, mixture, normal
from fokker_ddpm.ddim import DDIM
from fokker_edm.edm import EDM
from fokker_edm.heun import Heun
from fokker_edm.restart import Restart

D = torch.float64
WORLDS = [VP(), VE(), Flow(), EDMNoise(sigma_min=0.01, sigma_max=10.0)]


def name_of(value):
    return type(value).__name__


def run(sampler, model, x, grid, noise=None, final="none"):
    for state in trajectory(model, sampler, grid, noise or Zero(), x, final=final):
        x = state.x
    return x


def descent(*times):
    return torch.tensor(times, dtype=D)


@pytest.mark.parametrize("share", [1.0, 2 / 3, 0.5, 0.3])
@pytest.mark.parametrize("variable", ["ratio", "time"])
@pytest.mark.parametrize("p", WORLDS, ids=name_of)
def test_every_second_order_rule_has_order_2(p, variable, share):
    found = measure_order(Heun(share=share, variable=variable), gaussian(p), steps=(64, 128, 256, 512))
    assert found.local_orders[-1] > 1.8


def test_a_step_is_the_textbook_s():
    p, x = VP(), normal(4, 2)
    model, t, s = mixture(p), 0.6, 0.5
    u, v = (float(p.sigma(torch.tensor(r, dtype=D)) / p.alpha(torch.tensor(r, dtype=D))) for r in (t, s))
    a, b = (float(p.alpha(torch.tensor(r, dtype=D))) for r in (t, s))
    first = model(x, t).eps
    ahead = b * (x / a + (v - u) * first)
    expected = b * (x / a + (v - u) * (first + model(ahead, s).eps) / 2)
    assert_close(run(Heun(), model, x, descent(t, s)), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("variable", ["ratio", "time"])
def test_a_step_into_clean_data_is_one_evaluation_and_the_expected_data(variable):
    for p in (VP(), Flow()):
        model, x = Counted(mixture(p)), normal(4, 2)
        found = run(Heun(variable=variable), model, x, descent(0.2, 0.0))
        assert model.calls == 1
        if variable == "ratio":
            assert_close(found, model(x, 0.2).x0, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("p", WORLDS, ids=name_of)
def test_without_churn_edm_is_heun_and_ddim_to_the_bit_or_to_rounding(p):
    x, grid = normal(4, 2), torch.linspace(0.9, 0.1, 7, dtype=D)
    assert torch.equal(run(EDM(s_churn=0), mixture(p), x, grid), run(Heun(), mixture(p), x, grid))
    euler = run(EDM(s_churn=0, solver="euler"), mixture(p), x, grid)
    assert_close(euler, run(DDIM(), mixture(p), x, grid), rtol=1e-9, atol=1e-9)


def test_nothing_is_drawn_where_there_is_no_churn():
    # k-diffusion's and EDM's own draw at every step, and throw it away
    p = EDMNoise(sigma_max=10.0)
    grid = descent(0.9, 0.5, 0.2, 0.1, 0.01)
    for sampler, draws in ((Heun(), 0), (EDM(s_churn=0), 0), (EDM(s_churn=1.0, s_min=1.5, s_max=6.0), 2)):
        tape = Tape()
        run(sampler, mixture(p), normal(4, 2), grid, tape)
        assert tape.count == draws
        run(sampler, mixture(p), normal(4, 2), grid, Recorded(normal(draws, 4, 2)))


def test_churn_raises_the_noise_as_far_as_it_goes():
    p = EDMNoise(sigma_max=10.0)
    asked = []

    class Spy(Counted):
        def __call__(self, x, t, cond=None):
            asked.append(float(t))
            return super().__call__(x, t, cond)

    run(EDM(s_churn=1.0), Spy(mixture(p)), normal(4, 2), descent(1.0, 0.9, 0.6, 0.5, 0.1), Tape())
    # by a quarter of what is there, to t = 1 at most; then down to the next time
    assert asked == pytest.approx([1.0, 0.9, 1.0, 0.6, 0.75, 0.5, 0.625, 0.1])


@pytest.mark.parametrize(("solver", "order"), [("heun", 2), ("euler", 1)])
def test_the_law_under_churn_is_the_true_one_in_the_limit(solver, order):
    from fokker.testing.order import measure_weak_order

    for p in (VP(), EDMNoise(sigma_min=0.01, sigma_max=10.0)):
        found = measure_weak_order(EDM(solver=solver), gaussian(p), steps=(32, 64, 128, 256))
        assert found.local_orders[-1] == pytest.approx(order, abs=0.3)


def test_too_much_noise_is_seen_in_the_law():
    p = EDMNoise(sigma_min=0.01, sigma_max=10.0)
    model, grid = gaussian(p), torch.linspace(0.9, 0.1, 65, dtype=D)
    first, last = model.marginal(0.9), model.marginal(0.1)
    variances = {}
    for s_noise in (1.0, 1.1):
        _, covariance = affine_map(EDM(s_noise=s_noise), model, grid).push(*first)
        variances[s_noise] = float((covariance - last[1]).diagonal().mean())
    assert abs(variances[1.0]) < 0.02 < variances[1.1]
    assert EDM(s_noise=1.1).claims.weak_order is None


@pytest.mark.parametrize("p", WORLDS, ids=name_of)
def test_restarts_cost_what_they_claim_on_every_grid(p):
    sampler = Restart(t_min=(0.06, 0.5), t_max=(0.6, 3.0), repeats=(2, 1), steps=(3, 4))
    assert sampler.claims.at_end == 2 * (2 * 3 + 4)
    for steps in (3, 10):
        grid = Karras(sigma_min=0.02).times(p, steps)
        model, tape = Counted(mixture(p)), Tape()
        states = list(trajectory(model, sampler, grid, tape, normal(4, 2) * p.prior_std, final="none"))
        assert [state.t for state in states] == grid.tolist()
        assert model.calls == 2 * steps + sampler.claims.at_end
        assert tape.count == 3


def test_a_restart_brings_a_wrong_law_nearer_to_the_true_one():
    # a start with a third of its noise is too narrow below; fresh noise forgets the start
    p = EDMNoise(sigma_min=0.01, sigma_max=10.0)
    model, grid = gaussian(p), Karras(sigma_min=0.05, sigma_max=9.0).times(p, 24)
    mean, covariance = model.marginal(float(grid[0]))
    last = model.marginal(float(grid[-1]))
    off = {}
    for name, sampler in (
        ("heun", Heun()),
        ("restart", Restart(t_min=(0.1,), t_max=(5.0,), steps=(16,))),
        ("twice", Restart(t_min=(0.1,), t_max=(5.0,), repeats=(2,), steps=(16,))),
    ):
        _, found = affine_map(sampler, model, grid).push(mean, covariance / 9)
        off[name] = float((found - last[1]).norm() / last[1].norm())
    assert off["restart"] < 0.3 * off["heun"]
    assert off["twice"] < 0.3 * off["restart"]


def test_restarts_repeat_with_the_seed():
    p, x = VP(), normal(4, 2)
    grid = Karras(sigma_min=0.02).times(p, 6)
    a, b, other = (run(Restart(), mixture(p), x, grid, Seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, other)


def test_what_has_no_effect_or_no_meaning_is_refused():
    with pytest.raises(ConfigError, match=r"EDM\.s_noise has no effect without churn; leave it out"):
        EDM(s_churn=0, s_noise=1.0)
    with pytest.raises(ConfigError, match=r"EDM\.s_max must be greater than s_min = 3, got 2"):
        EDM(s_min=3.0, s_max=2.0)
    with pytest.raises(ConfigError, match=r"one value of each field for every interval; got 2 of t_min, 1 of t_max"):
        Restart(t_min=(0.1, 0.2))
    with pytest.raises(ConfigError, match=r"Restart\.t_max must be greater than t_min = 1, got 0\.5"):
        Restart(t_min=(1.0,), t_max=(0.5,))
    with pytest.raises(
        ConfigError, match=r"up to t_max = 2, and this grid is at sigma / alpha = 5 where it would begin"
    ):
        run(Restart(), mixture(EDMNoise(sigma_max=10.0)), normal(4, 2), descent(0.9, 0.5), Tape())
