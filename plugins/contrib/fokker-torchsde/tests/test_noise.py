"""Brownian paths as noise: the same path on every grid, for every sampler, precision and batch."""

import itertools

import pytest
import torch
from fokker import build, load_plugins
from fokker.data import Chain
from fokker.errors import ConfigError
from fokker.grid import Uniform
from fokker.network import DataSpec
from fokker.noise import PerSample, SilentEnd
from fokker.perturbation import VP
from fokker.sampler import trajectory
from fokker.sampling import generate
from fokker.testing.worlds import overlapping
from fokker_edm.restart import Restart
from fokker_sde.adaptive_sde import AdaptiveSDE
from fokker_sde.euler_maruyama import EulerMaruyama
from fokker_sde.pc import PredictorCorrector
from torch.testing import assert_close
from torchsde import BrownianInterval

from fokker_torchsde.noise import Brownian, drawn_path, interval

D = torch.float64
X = torch.zeros(4, 3, dtype=D)


def opened(index=range(4), shape=(3,), seed=2, digits=9, **options):
    return Brownian(digits=digits).open(seed, index, shape, **options)


def gained(noise, grid, x=X):
    """What a path gains over a grid, from the draws of its steps."""
    times = grid.tolist()
    return sum((t - s) ** 0.5 * noise(x, t, s) for t, s in itertools.pairwise(times))


def test_it_is_a_noise_by_name():
    assert build(load_plugins(), "noise", "brownian:digits=6") == Brownian(digits=6)


@pytest.mark.parametrize("steps", [1, 3, 7, 50])
def test_a_finer_grid_sees_the_same_path(steps):
    whole = gained(opened(), torch.tensor([0.9, 0.1], dtype=D))
    # thirds are rounded to nine decimals
    assert_close(gained(opened(), torch.linspace(0.9, 0.1, steps + 1, dtype=D)), whole, rtol=0, atol=1e-7)


def test_torchsde_s_interval_as_it_is_walks_another_path_on_another_grid():
    """Why the tree is one of halves: with the same entropy, the usual tree depends on what it was asked."""

    def increment(digits, parts):
        path = interval((64,), 7, digits)
        times = [0.1 + 0.8 * k / parts for k in range(parts + 1)]
        return sum(path(a, b) for a, b in itertools.pairwise(times))

    assert_close(increment(9, 3), increment(9, 1), rtol=0, atol=1e-12)
    assert float((increment(None, 3) - increment(None, 1)).std()) > 0.1


def test_times_are_told_apart_to_as_many_decimals_as_is_said():
    """torchsde takes the whole part of the logarithm of its tolerance: 5e-9 would mean eight decimals, not nine."""
    apart = {d: [interval((2,), 1, d)(0.1, 0.6 + 0.4 * 10.0**-k) for k in (6, 7)] for d in (6, 7)}
    whole = {d: interval((2,), 1, d)(0.1, 0.6) for d in (6, 7)}
    assert torch.equal(apart[6][0], whole[6]) and not torch.equal(apart[7][0], whole[7])
    assert torch.equal(apart[7][1], whole[7])


def test_starts_are_those_of_independent_noise():
    assert torch.equal(opened()(X), PerSample(2, range(4), (3,))(X))
    assert torch.equal(opened()(X, 0.5, 0.5), PerSample(2, range(4), (3,))(X))


def test_single_precision_and_large_indices_see_the_same_path():
    index = [70_000, 3]
    wide = opened(index)(X[:2], 0.7, 0.6)
    narrow = opened(index)(X[:2].float(), 0.7, 0.6)
    assert torch.equal(narrow, wide.float())
    assert torch.equal(opened([3])(X[:1], 0.7, 0.6), wide[1:])


def test_seeds_may_be_negative_and_large():
    draws = [opened(seed=seed)(X, 0.7, 0.6) for seed in (-1, 0, 1, 2**63)]
    assert all(not torch.equal(a, b) for i, a in enumerate(draws) for b in draws[:i])


def test_the_path_itself_may_be_asked_any_number_of_times_and_draws_no_less():
    noise = opened()
    path = noise.path(X)
    first = path(0.8, 0.3)
    z, y = noise.integral(X, 0.8, 0.3)
    assert_close(first[0], 0.5**0.5 * z, rtol=1e-12, atol=0)
    assert_close(first[1], 0.5**1.5 * y, rtol=1e-12, atol=0)
    assert torch.equal(path(0.8, 0.3)[0], first[0])
    halves = path(0.8, 0.5)[0] + path(0.5, 0.3)[0]
    assert_close(halves, first[0], rtol=0, atol=1e-12)
    assert not bool(path(0.5, 0.5)[0].any())
    assert torch.equal(SilentEnd(opened()).path(X)(0.8, 0.3)[0], first[0])


def test_a_path_that_is_drawn_is_decided_by_the_sample_not_by_its_batch():
    for refines in (False, True):
        whole = drawn_path(X, PerSample(0, range(4), (3,)), refines=refines)(0.6, 0.2)[0]
        part = drawn_path(X[:1], PerSample(0, [2], (3,)), refines=refines)(0.6, 0.2)[0]
        assert torch.equal(part, whole[2:3])


def test_steps_shorter_than_the_path_tells_apart_are_standard_normal():
    assert 0.5 < float(opened(range(400), digits=3)(torch.zeros(400, 3), 0.5, 0.49999).std()) < 1.5


def draw(sampler, steps=6, **options):
    grid = Uniform(end=0.1).times(VP(), steps)
    model = overlapping(VP())
    chunks = generate(model, Chain(()), DataSpec((3,)), sampler, grid, n=5, source=Brownian(), **options)
    return torch.cat([chunk.x for chunk in chunks])


def test_samples_do_not_depend_on_the_batch():
    for sampler in (EulerMaruyama(), PredictorCorrector()):
        assert_close(draw(sampler, batch_size=2), draw(sampler), rtol=1e-5, atol=1e-5)


def test_samplers_with_steps_of_each_sample_s_own_are_refused():
    with pytest.raises(ConfigError, match="this sampler has steps of each sample's own; leave --noise out"):
        draw(AdaptiveSDE())
    with pytest.raises(ConfigError, match="cannot serve some of its rows"):
        opened().rows(torch.tensor([0]))
    with pytest.raises(ConfigError, match="one time for the whole batch"):
        opened()(X, torch.full((4,), 0.5), torch.full((4,), 0.4))


def test_what_goes_back_up_and_down_again_does_not_see_the_same_noise_twice():
    noise = opened()
    noise(X, 0.5, 0.4)
    assert torch.equal(noise(X, 0.3, 0.6), noise(X, 0.3, 0.6)) is False  # up: draws of its own
    with pytest.raises(ConfigError, match=r"walked down to t = 0\.4 and is asked for the step from 0\.45 to 0\.42"):
        noise(X, 0.45, 0.42)
    assert bool(draw(Restart()).isfinite().all())  # its way down draws nothing: fresh noise on the way up alone


def test_mean_ends_without_the_last_step_s_noise():
    model, grid = overlapping(VP()), Uniform(end=0.1).times(VP(), 4)
    *_, found = trajectory(model, EulerMaruyama(), grid, opened(), X, final="mean")
    *_, whole = trajectory(model, EulerMaruyama(), grid, opened(), X, final="none")
    t, s = grid[-2], grid[-1]
    noise = opened()
    for a, b in zip(grid.tolist(), grid.tolist()[1:], strict=False):
        z = noise(X, a, b)
    assert_close(whole.x - found.x, float(VP().diffusion(t) * (t - s).sqrt()) * z, rtol=1e-9, atol=1e-9)


def test_torchsde_s_tree_is_what_it_is_built_on():
    assert isinstance(interval((2,), 0, 9), BrownianInterval)
    assert interval((2,), 0, 9).halfway_tree and not interval((2,), 0, None).halfway_tree
