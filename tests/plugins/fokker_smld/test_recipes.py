import math

import pytest

from fokker.network import DataSpec
from fokker.plan import resolve
from fokker.plugins import load_plugins


@pytest.fixture(scope="module")
def plan():
    return resolve(load_plugins().registry, "two-gaussians-smld")


def test_the_two_gaussians_are_those_of_the_source(plan):
    # a million points at (-2, -2) and (2, 2) of variance 0.01, a network of 2-4-32-4-2 values with ELU
    assert (plan.data.n, plan.data.centre, plan.data.variance, plan.data.weights) == (10**6, 2.0, 0.01, (0.5, 0.5))
    assert [type(t).__name__ for t in plan.data.transforms] == ["Standardise"]
    backbone = plan.network.build(DataSpec((2,)))
    assert [p.shape[0] for p in backbone.parameters() if p.ndim == 2] == [4, 32, 4, 2]
    assert plan.network.activation == "elu"
    train = plan.train
    assert (train.steps, train.batch_size, train.optimizer, train.lr, train.decay) == (
        100_000, 512, "adam", 1e-3, "one-cycle",
    )  # fmt: skip


def test_eight_levels_are_trained_and_nine_sampled(plan):
    grid = plan.sample.grid.times(plan.perturbation, plan.sample.steps)
    assert plan.perturbation.sigma(grid).tolist() == pytest.approx(
        [0.015 ** (k / 8) for k in range(9)]
    )  # from 1 down to 0.015
    assert plan.objective.times_in == "levels" and plan.perturbation.levels == 8
    claims = plan.sample.sampler.claims
    assert plan.sample.steps * claims.evaluations + claims.at_end == 9 * 200
    assert plan.sample.final == "mean"  # no noise in the very last update


def test_its_levels_suit_its_data(plan):
    # in units of the standardised data, the smallest adds less than 5 % to the width of a mode
    width = math.sqrt(0.01 / 4.01)
    assert math.sqrt(width**2 + plan.perturbation.minimum**2) / width < 1.05
