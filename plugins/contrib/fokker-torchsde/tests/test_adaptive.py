"""Adaptive steps: what a tolerance buys, whose steps they are, and what torchsde does not do by itself."""

import itertools

import pytest
import torch
from fokker import build, load_plugins
from fokker.errors import ConfigError
from fokker.model import Counted
from fokker.noise import PerSample, Zero
from fokker.perturbation import VE, VP
from fokker.sampler import trajectory
from fokker.table import Betas
from fokker.testing.worlds import gaussian, overlapping
from torch.testing import assert_close

from fokker_torchsde.adaptive import AdaptiveTorchSDE
from fokker_torchsde.brownian import Remainder, Walked
from fokker_torchsde.noise import Brownian
from fokker_torchsde.steps import TorchSDE

D = torch.float64


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=D, generator=torch.Generator().manual_seed(seed))


def noise(n=4, seed=4):
    return PerSample(seed, range(n), (3,), block=1)


def run(sampler, model, x, grid, source, final="none"):
    for state in trajectory(model, sampler, grid, source, x, final=final):
        x = state.x
    return x


WAY = torch.tensor([0.875, 0.125], dtype=D)


def test_names():
    host = load_plugins()
    assert build(host, "sampler", "torchsde-adaptive:method=heun,rtol=0.1") == AdaptiveTorchSDE(method="heun", rtol=0.1)


def test_a_smaller_tolerance_comes_nearer_to_the_fine_solution_along_the_path():
    model, x = overlapping(VP()), normal(16, 3)

    def paths():
        return Brownian(digits=12).open(0, range(16), (3,))

    fine = run(TorchSDE(), model, x, torch.linspace(0.875, 0.125, 385, dtype=D), paths())
    errors, counts = [], []
    for tolerance in (0.3, 0.03, 0.003):
        counted = Counted(model)
        sampler = AdaptiveTorchSDE(rtol=tolerance, atol=tolerance, shared=True)
        errors.append(float((run(sampler, counted, x, WAY, paths()) - fine).square().mean().sqrt()))
        counts.append(counted.calls)
    assert counts[0] < counts[1] < counts[2]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]
    assert errors[2] < 0.005


@pytest.mark.parametrize("method", ["milstein", "euler-heun", "heun", "midpoint", "srk-diagonal"])
def test_every_method_follows_the_path_of_a_sample(method):
    """With a tree of halves the path is the sample's own, so all methods have one limit."""
    model, x = gaussian(VP()), normal(1, 3)
    way = torch.tensor([0.6, 0.4], dtype=D)
    fine, found = (
        run(AdaptiveTorchSDE(method=m, rtol=tol, atol=tol, refines=True), model, x, way, noise(1))
        for m, tol in (("srk", 1e-3), (method, 0.02))
    )
    assert_close(found, fine, rtol=0, atol=0.1)


def test_a_path_depends_on_the_tolerance_unless_it_refines():
    model, x, way = overlapping(VP()), normal(1, 3), torch.tensor([0.6, 0.4], dtype=D)
    apart = {}
    for refines in (False, True):
        loose, tight = (
            run(AdaptiveTorchSDE(rtol=t, atol=t, refines=refines), model, x, way, noise(1)) for t in (0.03, 0.01)
        )
        apart[refines] = float((loose - tight).norm())
    assert apart[True] < 0.03 < apart[False]


def test_a_sample_has_steps_of_its_own():
    model = overlapping(VP())
    x = torch.cat([normal(1, 3), 40 * normal(1, 3, seed=1)])
    counts = []
    for rows in ([0], [1], [0, 1]):
        counted = Counted(model)
        source = PerSample(4, rows, (3,), block=1)
        run(AdaptiveTorchSDE(rtol=0.02, atol=0.02), counted, x[rows], WAY, source)
        counts.append(counted.rows)
    assert counts[2] == counts[0] + counts[1]
    assert counts[0] != counts[1]


def test_a_batch_that_shares_steps_agrees_with_its_parts_within_the_tolerance():
    model, x = overlapping(VP()), normal(4, 3)
    way = torch.tensor([0.8, 0.4], dtype=D)
    for tolerance in (0.03, 0.01):
        sampler = AdaptiveTorchSDE(rtol=tolerance, atol=tolerance, shared=True)
        whole = run(sampler, model, x, way, noise())
        alone = run(sampler, model, x[2:3], way, PerSample(4, [2], (3,), block=1))
        assert 0 < float((whole[2:3] - alone).abs().max()) < tolerance


def test_a_shared_batch_costs_one_evaluation_for_all():
    counted = Counted(overlapping(VP()))
    run(AdaptiveTorchSDE(rtol=0.1, atol=0.1, shared=True), counted, normal(4, 3), WAY, noise())
    assert counted.rows == 4 * counted.calls


def test_states_on_the_way_are_the_solver_s_not_straight_lines():
    """torchsde draws a line between its steps, on which a path varies by much less than it does."""
    model, x = overlapping(VE()), normal(64, 3)
    grid = torch.linspace(0.6, 0.5, 41, dtype=D)
    source = Brownian().open(0, range(64), (3,))
    sampler = AdaptiveTorchSDE(rtol=0.3, atol=0.3, h=0.1, shared=True)
    states = [s.x for s in trajectory(model, sampler, grid, source, x, final="none")]
    assert len(states) == 41
    varied = float(sum((b - a).square().mean() for a, b in itertools.pairwise(states)))
    expected = float((VE().diffusion(grid[:-1]) ** 2 * 0.1 / 40).sum())
    assert varied == pytest.approx(expected, rel=0.15)


def test_mean_takes_the_last_half_step_without_noise():
    model, x = overlapping(VP()), normal(3, 3)
    way = torch.tensor([0.5, 0.4], dtype=D)
    sampler = AdaptiveTorchSDE(method="euler", rtol=0.5, atol=0.5, h=0.5)
    asked = Spy(model)
    whole, mean = (run(sampler, m, x, way, noise(3), final) for m, final in ((model, "none"), (asked, "mean")))
    # one step, whose second half begins at 0.45
    halves = {t: y for t, y in asked.asked if abs(t - 0.45) < 1e-9}
    assert len(asked.asked) == 6 and halves
    g = float(VP().diffusion(torch.tensor(0.45, dtype=D)))
    gone = (whole - mean) / (g * 0.05**0.5)
    assert 0.2 < float(gone.square().mean().sqrt()) < 3
    last = asked.asked[-1][1]
    p, t = VP(), torch.tensor(0.45, dtype=D)
    drift = p.diffusion(t) ** 2 * model(last, 0.45).score - p.drift(t) * last
    assert_close(mean[2:3], last + 0.05 * drift, rtol=1e-9, atol=1e-9)


class Spy(Counted):
    def __init__(self, model):
        super().__init__(model)
        self.asked = []

    def __call__(self, x, t, cond=None):
        self.asked.append((float(t), x.clone()))
        return super().__call__(x, t, cond)


def test_without_noise_nothing_is_drawn():
    model, x, way = gaussian(VP()), normal(2, 3), torch.tensor([0.6, 0.5], dtype=D)
    found = run(AdaptiveTorchSDE(rtol=1e-4, atol=1e-4), model, x, way, Zero())
    expected = run(TorchSDE(), model, x, torch.linspace(0.6, 0.5, 101, dtype=D), Zero())
    assert_close(found, expected, rtol=0, atol=1e-3)


def test_steps_that_are_too_short_are_refused_where_torchsde_would_go_on_without_looking_at_the_error():
    walked = Walked(normal(1, 3), lambda t, s: (normal(1, 3), normal(1, 3)), 0.5, 0.4)
    walked.increment(0.0, 2e-7)  # a step, and its halves
    walked.increment(0.0, 1e-7)
    walked.increment(1e-7, 2e-7)
    with pytest.raises(ConfigError, match=r"finds no step short enough for its tolerance near t = 0\.5: raise"):
        walked.increment(2e-7, 2.9e-7)
    assert Walked(normal(1, 3), lambda t, s: (t, s), 0.5, 0.5 - 5e-8).increment(0.0, 0.5 - (0.5 - 5e-8)) == 0.5


def test_tolerances_below_what_torchsde_looks_at_are_refused():
    """It takes 1e-7 for any smaller tolerance, which would have no effect."""
    with pytest.raises(ConfigError, match=r"AdaptiveTorchSDE\.atol must be at least 1e-07"):
        AdaptiveTorchSDE(atol=1e-8)


def test_one_sample_that_is_not_finite_is_alone_with_it():
    model, x = overlapping(VP()), normal(4, 3)
    way, sampler = torch.tensor([0.6, 0.4], dtype=D), AdaptiveTorchSDE(rtol=0.1, atol=0.1, shared=True)
    broken = x.clone()
    broken[1, 0] = torch.nan
    found = run(sampler, model, broken, way, noise())
    assert bool(found[1].isnan().all()) and bool(found[[0, 2, 3]].isfinite().all())


def test_a_time_with_no_coefficients_is_refused():
    with pytest.raises(ConfigError, match=r"no finite \w+ at t = 0:"):
        run(AdaptiveTorchSDE(), gaussian(Betas()), normal(1, 3), torch.tensor([0.05, 0.0], dtype=D), noise(1))


def test_a_remainder_that_cannot_be_halved_begins_again_with_another_step():
    walked = Walked(normal(1, 3), lambda t, s: (normal(1, 3), normal(1, 3)), 0.5, 0.4)
    with pytest.raises(Remainder):
        walked.increment(0.1, 0.1)


def test_the_steps_of_a_batch_may_not_decide_the_path_of_a_sample():
    assert AdaptiveTorchSDE(shared=True).refines is True and AdaptiveTorchSDE().refines is False
    with pytest.raises(ConfigError, match="refines cannot be false with shared = true"):
        AdaptiveTorchSDE(shared=True, refines=False)
