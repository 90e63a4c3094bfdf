"""Strong orders along known paths: of the solvers, and of fokker's own samplers towards torchsde's fine solution."""

from functools import cache
from math import log

import pytest
import torch
from fokker.noise import PerSample, Seeded
from fokker.perturbation import VP
from fokker.sampler import trajectory
from fokker.testing.worlds import gaussian, overlapping
from fokker_sde.euler_maruyama import EulerMaruyama
from fokker_sde.milstein import Milstein

from fokker_torchsde.methods import METHODS
from fokker_torchsde.noise import Brownian
from fokker_torchsde.steps import TorchSDE

D = torch.float64
PATHS, FIRST, LAST, FINE = 64, 0.875, 0.125, 768
STEPS = (24, 48, 96)
WORLDS = {"overlapping": overlapping(VP()), "linear": gaussian(VP())}


def grid(steps):
    return FIRST + (LAST - FIRST) * torch.arange(steps + 1, dtype=D) / steps


def paths():
    """Binary fractions are found soonest in a tree of halves; 12 decimals hold those of 768 steps."""
    return Brownian(digits=12).open(0, range(PATHS), (3,))


def end(world, sampler, steps, noise=None):
    model = WORLDS[world]
    z = torch.randn(PATHS, 3, dtype=D, generator=torch.Generator().manual_seed(1))
    x = model.perturbation.perturb(model.draw(PATHS, Seeded(2)), torch.tensor(FIRST), z)
    for state in trajectory(model, sampler, grid(steps), noise or paths(), x, final="none"):
        x = state.x
    return x


@cache
def fine(world):
    """torchsde's SRK in many steps."""
    return end(world, TorchSDE(), FINE)


def errors(world, sampler, noise=lambda: None):
    return [float((end(world, sampler, n, noise()) - fine(world)).square().mean().sqrt()) for n in STEPS]


def order(found):
    return log(found[0] / found[-1]) / log(STEPS[-1] / STEPS[0])


@pytest.mark.parametrize(
    ("method", "world"), [*((m, "overlapping") for m in METHODS), ("srk", "linear"), ("heun", "linear")]
)
def test_solvers_have_their_strong_order_along_the_path(method, world):
    claimed = METHODS[method].strong
    assert order(errors(world, TorchSDE(method=method))) > claimed - 0.2


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("sampler", [EulerMaruyama(), Milstein()], ids=["euler-maruyama", "milstein"])
def test_fokker_s_samplers_converge_to_torchsde_s_fine_solution_along_the_same_path(sampler, world):
    found = errors(world, sampler)
    assert 0.8 < order(found) < 1.5
    assert found[-1] < 0.05


def test_without_the_path_they_do_not():
    found = errors("overlapping", EulerMaruyama(), lambda: PerSample(0, range(PATHS), (3,)))
    assert min(found) > 0.5 * max(found) > 0.2
