"""The solvers with the steps of a grid: fokker's own schemes, and torchsde's in torchsde's own form."""

import warnings

import pytest
import torch
from fokker import build, load_plugins
from fokker.errors import ConfigError
from fokker.grid import LogSNR, Uniform
from fokker.model import Counted
from fokker.noise import PerSample
from fokker.perturbation import VE, VP
from fokker.sampler import sample, trajectory
from fokker.testing.worlds import mixture, overlapping
from fokker_sde.euler_maruyama import EulerMaruyama
from fokker_sde.milstein import Milstein
from fokker_sde.sra1 import SRA1
from torch.testing import assert_close
from torchsde import BaseBrownian, sdeint

from fokker_torchsde.methods import METHODS
from fokker_torchsde.steps import TorchSDE

D = torch.float64
ROWS = 5


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=D, generator=torch.Generator().manual_seed(seed))


def noise(shape=(3,), seed=4):
    return PerSample(seed, range(ROWS), shape)


def run(sampler, model, x, grid, source):
    for state in trajectory(model, sampler, grid, source, x, final="none"):
        x = state.x
    return x


@pytest.mark.parametrize("p", [VP(), VE()], ids=["vp", "ve"])
@pytest.mark.parametrize(
    ("method", "own"),
    [("euler", EulerMaruyama()), ("milstein", EulerMaruyama()), ("milstein", Milstein()), ("srk", SRA1())],
    ids=["euler", "milstein-is-euler", "milstein", "srk-is-sra1"],
)
def test_it_is_fokker_s_own_scheme_to_rounding(method, own, p):
    grid, model = LogSNR(end=0.05).times(p, 12), overlapping(p)
    x = p.prior_std * normal(ROWS, 3)
    found, expected = (run(s, model, x, grid, noise()) for s in (TorchSDE(method=method), own))
    assert_close(found, expected, rtol=1e-11, atol=1e-11 * float(expected.abs().max()))


def test_log_ode_is_midpoint_where_the_noise_depends_on_time_alone():
    p = VP()
    grid, x = Uniform(end=0.1).times(p, 7), normal(ROWS, 3)
    one, other = (run(TorchSDE(method=m), overlapping(p), x, grid, noise()) for m in ("log-ode", "midpoint"))
    assert torch.equal(one, other)


class Drawn(BaseBrownian):
    """One step's increment and integral in torchsde's own time, from the numbers that fokker draws."""

    def __init__(self, z, y, h):
        self._w, self._u = h**0.5 * z, h**1.5 * y

    def __call__(self, ta, tb=None, return_U=False, return_A=False):
        area = self._w.new_zeros(*self._w.shape, self._w.shape[-1])
        return (self._w, self._u) if return_U else (self._w, area) if return_A else self._w

    def __repr__(self):
        return "Drawn()"

    dtype = property(lambda self: self._w.dtype)
    device = property(lambda self: self._w.device)
    shape = property(lambda self: self._w.shape)
    levy_area_approximation = "foster"


class Reverse:
    """The reverse SDE as torchsde's documentation has SDEs written: whole examples, u = t_0 - t, noise a matrix."""

    def __init__(self, model, start, calculus, noise_type):
        self.model, self.start = model, start
        self.sde_type, self.noise_type = calculus, noise_type

    def f(self, u, y):
        t = self.start - u
        p = self.model.perturbation
        return p.diffusion(t) ** 2 * self.model(y, t).score - p.drift(t) * y

    def g(self, u, y):
        g = self.model.perturbation.diffusion(self.start - u) * torch.ones_like(y)
        return torch.diag_embed(g) if self.noise_type == "additive" else g


@pytest.mark.parametrize("method", METHODS)
def test_a_step_is_torchsde_s_own_step_in_its_own_time(method):
    p, m = VP(), METHODS[method]
    model, x, grid = overlapping(p), normal(ROWS, 3), torch.tensor([0.6, 0.52], dtype=D)
    found = run(TorchSDE(method=method), model, x, grid, noise())
    h = float(grid[0] - grid[1])
    z, y = noise().integral(x) if m.area else (noise()(x), x)
    times = torch.tensor([0.0, h], dtype=D)
    theirs = Reverse(model, grid[0], m.calculus, m.noise)
    expected = sdeint(theirs, x, times, bm=Drawn(z, y, h), method=m.name, dt=2 * h)[-1]
    assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_torchsde_s_look_at_the_shape_costs_no_evaluation(method):
    counted = Counted(overlapping(VP()))
    run(TorchSDE(method=method), counted, normal(ROWS, 3), Uniform(end=0.1).times(VP(), 4), noise())
    assert counted.calls == 4 * METHODS[method].evaluations


@pytest.mark.parametrize("method", METHODS)
def test_steps_too_short_for_single_precision_are_taken(method):
    """Times near 1 that differ by 1e-9 are the same number in float32; torchsde would call them not increasing."""
    p = VE()
    grid = torch.tensor([0.9, 0.9 - 1e-9, 0.9 - 2e-9], dtype=D)
    x = p.prior_std * normal(ROWS, 3).float()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = run(TorchSDE(method=method), mixture(p, (3,)), x, grid, noise())
    assert found.dtype == torch.float32
    moved = (found - x).double().std() / (float(p.diffusion(grid[0])) * 2e-9**0.5)
    assert 0.5 < moved < 1.5


@pytest.mark.parametrize("shape", [(16,), (1, 12), (3, 5, 7), (1, 2, 3, 4)])
def test_data_of_any_shape_goes_through(shape):
    p = VP()
    model, grid = mixture(p, shape), Uniform(end=0.05).times(p, 8)
    x = sample(model, TorchSDE(), grid, PerSample(0, range(4), shape), (4, *shape))
    assert x.shape == (4, *shape)
    assert bool(x.isfinite().all())


def test_memory_grows_with_the_numbers_of_an_example_not_with_their_square():
    """A matrix of the noise of each example would have 16384^2 entries, 1 GB in float32."""
    p, shape = VE(), (16384,)
    model = mixture(p, shape)
    x = sample(model, TorchSDE(), Uniform(end=0.5).times(p, 2), PerSample(0, range(2), shape), (2, *shape))
    assert bool(x.isfinite().all())


def test_it_composes_with_a_corrector():
    host = load_plugins()
    pc = build(host, "sampler", "pc:predictor=torchsde(method=heun),corrector=annealed-langevin(step=0.05)")
    p = VP()
    x = sample(overlapping(p), pc, Uniform(end=0.05).times(p, 20), noise(), (ROWS, 3))
    assert bool(x.isfinite().all())


def test_a_method_that_torchsde_has_not_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"TorchSDE\.method must be one of srk"):
        TorchSDE(method="reversible-heun")
