"""Any model on any grid: the model is asked where its own signal-to-noise ratio is the grid's."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from fokker.errors import ConfigError
from fokker.exact import Gaussian, Mixture
from fokker.grid import Karras
from fokker.label import Index
from fokker.levelled import OnLevels
from fokker.model import NetworkModel
from fokker.noise import Zero
from fokker.parameterization import Eps
from fokker.run.folder import Run
from fokker.sampler import trajectory
from fokker.table import Betas
from fokker_ddpm.ddim import DDIM

D = torch.float64
P = Betas()


def down(model, grid, x):
    for state in trajectory(model, DDIM(), grid, Zero(), x, final="none"):
        x = state.x
    return x


def test_a_model_of_a_table_ends_on_a_karras_grid_where_its_own_probability_flow_ends():
    s2 = torch.tensor([0.05, 0.6, 2.0], dtype=D)
    m = torch.tensor([1.0, -0.5, 0.0], dtype=D)
    model = Gaussian(P, m, s2)
    x = torch.randn(7, 3, dtype=D, generator=torch.Generator().manual_seed(1))
    errors = []
    for steps in (200, 400):
        grid = Karras().times(P, steps)
        (a, b), (r, s) = P.alpha(grid[[0, -1]]), P.sigma(grid[[0, -1]])
        exact = b * m + ((b**2 * s2 + s**2) / (a**2 * s2 + r**2)).sqrt() * (x - a * m)
        errors.append(float((down(model, grid, x) - exact).abs().max()))
    assert errors[1] < 0.05 and errors[0] / errors[1] == pytest.approx(2, abs=0.15)  # DDIM's order


class OfLevels(nn.Module):
    """An exact eps of a mixture that is told nothing but the level, as a published DDPM is."""

    def __init__(self, law):
        super().__init__()
        self.law = law

    def forward(self, x, label, cond=None):
        i = label[0].double() - 1
        low = int(i.floor().clamp(0, len(P.knots) - 2))
        levels = P.log_snr(P.knots[low : low + 2])
        t = P.time(levels[0] + (i - low) * (levels[1] - levels[0]))
        return self.law(x, t).eps


def law():
    means = torch.tensor([[-1.0], [1.0]], dtype=D)
    return Mixture(P, torch.ones(2, dtype=D), means, torch.full((2,), 0.05**2, dtype=D))


def told(rule):
    return NetworkModel(OfLevels(law()), P, Eps(), Index(between=rule))


def test_a_network_of_levels_is_told_by_the_rule():
    x = torch.linspace(-2, 2, 20, dtype=D).reshape(-1, 1)
    grid = Karras().times(P, 50)
    with pytest.raises(ConfigError, match="fokker sample --between round"):
        down(told("refuse"), grid, x)
    exact = down(law(), grid, x)
    assert_close(down(told("interpolate"), grid, x), exact, rtol=0, atol=1e-6)
    rounded = (down(told("round"), grid, x) - exact).abs().max()
    assert 1e-5 < float(rounded) < 0.1
    levels = OnLevels().times(P, 50)
    assert_close(down(told("refuse"), levels, x), down(law(), levels, x), rtol=0, atol=1e-9)


def test_the_rule_can_be_chosen_for_a_run_that_was_trained_without(tmp_path):
    @dataclasses.dataclass(frozen=True)
    class Planned:
        label: object
        network: object = None

    run = Run(tmp_path, Planned(Index(), SimpleNamespace(reads_levels=False)), None)
    assert run.told_between(None) is run
    assert run.told_between("round").plan.label == Index(between="round")
    rows = Run(tmp_path, Planned(Index(), SimpleNamespace(reads_levels=True)), None)
    with pytest.raises(ConfigError, match="has a row for each level, no fractions; use --between round"):
        rows.told_between("interpolate")
    with pytest.raises(ConfigError, match="was trained with Eps, which exists at all times; leave it out"):
        Run(tmp_path, Planned(Eps()), None).told_between("round")
