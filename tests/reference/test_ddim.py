"""DDIM's original code (Song, Meng & Ermon, 2021): schedules, sampling steps, sequences of times and the loss.

Its time t counts from 0 and is fokker's level t + 1; its last step goes to alpha-bar = 1, fokker's t = 0.
"""

import pytest
import torch
from torch import nn

from fokker.grid import Quadratic
from fokker.label import Index
from fokker.model import NetworkModel
from fokker.noise import Recorded
from fokker.parameterization import Eps
from fokker.sampler import by_step
from fokker.table import Betas
from fokker_ddpm.ancestral import Ancestral
from fokker_ddpm.ddim import DDIM
from fokker_ddpm.objective import DDPM

TOLERANCE = {"rtol": 1e-5, "atol": 5e-5}


@pytest.fixture(scope="module")
def data(record):
    return record("ddim/ddim_original")


def grid_of(seq):
    return torch.cat([seq.flip(0) + 1, torch.zeros(1)]).double() / 1000


def test_schedules(data, agree):
    agree(Betas().table, data["betas_linear_1000"], rtol=1e-12)
    case = data.case("betas_quad_200")
    quad = Betas(schedule="scaled-linear", steps=case["T"], start=case["beta_start"], end=case["beta_end"])
    agree(quad.table, data["betas_quad_200"], rtol=1e-12)


@pytest.mark.parametrize("name", ["generalized_uniform_eta0", "generalized_quad_eta1"])
def test_generalised_steps(data, name, agree):
    """`ddim` down the same times on the exact model; at eta = 0 fokker draws nothing."""
    law = data.law(Betas())
    grid = grid_of(data[f"{name}/seq"])
    ddim = DDIM(eta=data.case(name)["eta"])
    states = [s.x for s in ddim.trajectory(law, data[f"{name}/x_T"], grid, Recorded(data[f"{name}/noise"]))]
    agree(torch.stack(states[1:]), data[f"{name}/xs"], **TOLERANCE)
    x0 = [law(x, t).x0 for x, t in zip(states, grid[:-1].tolist(), strict=False)]
    agree(torch.stack(x0), data[f"{name}/x0_preds"], **TOLERANCE)


def test_ddpm_steps(data, told, agree):
    """`ancestral` with the forward variance; this code clamps x0 to [-1, 1], so the steps are told the clamped one.

    Single steps from the recorded states: fokker leaves x0 as the model gives it.
    """
    name = "ddpm_noisy_uniform"
    grid = grid_of(data[f"{name}/seq"])
    ancestral, levels = Ancestral(variance="forward"), Betas()
    model = told(levels, "x0", data[f"{name}/x0_preds"])
    starts = torch.cat([data[f"{name}/x_T"].unsqueeze(0), data[f"{name}/xs"][:-1]])
    noise = Recorded(data[f"{name}/noise"])
    for k, c in enumerate(by_step(ancestral.coefficients(levels, grid[:-1], grid[1:]))):
        x = ancestral.step(model, starts[k], float(grid[k]), float(grid[k + 1]), c, noise)
        agree(x, data[f"{name}/xs"][k], **TOLERANCE)


def test_quadratic_sequence(data):
    """Its `quad` is `quadratic` over the first four fifths of the levels, truncated to whole ones."""
    seq = data["generalized_quad_eta1/seq"]
    times = Quadratic(end=0.0).times(Betas(), len(seq) - 1)
    assert (0.8 * 1000 * times.flip(0) + 1e-9).long().tolist() == seq.tolist()


def test_loss(data, agree):
    """`ddpm`: summed over dimensions, without the factor 1/2."""

    class Formula(nn.Module):
        def forward(self, x, index, cond=None):
            return 0.9 * x + 0.0005 * (index - 1).reshape(-1, 1, 1, 1)

    levels = Betas()
    model = NetworkModel(Formula(), levels, Eps(), Index())
    loss = DDPM().loss(model, data["loss/x0"], levels.knots[data["loss/t"]], Recorded([data["loss/e"]]))
    agree(loss, data["loss/loss_keepdim"], rtol=1e-5)
    agree(loss.mean(), data["loss/loss"], rtol=1e-5)
