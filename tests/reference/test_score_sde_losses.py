"""Score SDE (Song et al., 2021): training losses with recorded times and noise.

It sums over dimensions with the factor 1/2, as fokker does, or takes the mean without it (`reduce_mean`): 2 / numel
times the sum. It averages over the batch; fokker's losses are per example.
"""

import pytest
from torch import nn

from fokker.label import Index, Sigma, ThousandTime
from fokker.model import NetworkModel
from fokker.noise import Recorded
from fokker.objective import Denoising
from fokker.parameterization import Eps, Score
from fokker.perturbation import VP, SubVP
from fokker.weighting import Likelihood, Sigma2
from fokker_ddpm.objective import DDPM

RTOL = 1e-5


@pytest.fixture(scope="module")
def data(record):
    return record("score_sde/losses")


class Formula(nn.Module):
    """A network that is a formula of the noisy data and its label."""

    def __init__(self, formula):
        super().__init__()
        self.formula = formula

    def forward(self, x, label, cond=None):
        return self.formula(x, label.reshape(-1, 1, 1, 1))


def reduced(loss, x0, reduce_mean):
    return loss.mean() * (2 / x0[0].numel() if reduce_mean else 1)


@pytest.mark.parametrize("reduce_mean", [False, True])
@pytest.mark.parametrize("likelihood", [False, True])
@pytest.mark.parametrize("kind", ["ve", "vp", "subvp"])
def test_continuous(data, kind, likelihood, reduce_mean, sde, agree):
    """`denoising` with weighting `sigma2`, or `likelihood` for its likelihood weighting.

    Its label for VP is 999 t, fokker's is 1000 t.
    """
    name = f"sde_{kind}_lw{likelihood:d}_rm{reduce_mean:d}"
    p = sde(kind)
    if kind == "ve":
        model = NetworkModel(Formula(lambda x, sigma: -0.5 * x / (sigma**2 + 1)), p, Score(), Sigma())
        agree(Sigma()(p, data[f"{name}/t"]), data[f"{name}/labels"], rtol=RTOL)
    else:
        model = NetworkModel(Formula(lambda x, label: 0.9 * x + 0.05 * label / 1000), p, Eps(), ThousandTime())
        agree(0.999 * ThousandTime()(p, data[f"{name}/t"]), data[f"{name}/labels"], rtol=RTOL)
    objective = Denoising(weighting=Likelihood() if likelihood else Sigma2())
    loss = objective.loss(model, data["batch"], data[f"{name}/t"], Recorded([data[f"{name}/z"]]))
    agree(reduced(loss, data["batch"], reduce_mean), data[f"{name}/loss"], rtol=RTOL)


@pytest.mark.parametrize("kind", ["vp", "subvp"])
def test_times(data, kind, agree):
    """t = eps + (1 - eps) u, with eps fokker's t_min; fokker's VE trains on all of [0, 1]."""
    eps = data.case(f"sde_{kind}_lw0_rm0")["eps"]
    p = {"vp": VP, "subvp": SubVP}[kind](t_min=eps)
    u = data[f"sde_{kind}_lw0_rm0/u"]
    agree(Denoising(times_in="uniform").times(p, u), data[f"sde_{kind}_lw0_rm0/t"], rtol=RTOL)


@pytest.mark.parametrize("reduce_mean", [False, True])
def test_smld(data, reduce_mean, table, agree):
    """`denoising` at the levels of a table; its label 0 is the largest sigma, fokker's level 1 the smallest."""
    name = f"smld_rm{reduce_mean:d}"
    levels = table("ve")
    model = NetworkModel(Formula(lambda x, s: -0.8 * x / (s**2 + 1) + 0.01), levels, Score(), Sigma())
    t = levels.knots.flip(0)[data[f"{name}/labels"]]
    loss = Denoising(weighting=Sigma2()).loss(model, data["batch"], t, Recorded([data[f"{name}/z"]]))
    agree(reduced(loss, data["batch"], reduce_mean), data[f"{name}/loss"], rtol=RTOL)


@pytest.mark.parametrize("reduce_mean", [False, True])
def test_ddpm(data, reduce_mean, table, agree):
    """`ddpm`, which follows the paper and has no factor 1/2, where this code halves it; labels count from 0 there."""
    name = f"ddpm_rm{reduce_mean:d}"
    levels = table("vp")
    model = NetworkModel(Formula(lambda x, index: 0.9 * x + 0.0005 * (index - 1)), levels, Eps(), Index())
    t = levels.knots[data[f"{name}/labels"]]
    loss = DDPM().loss(model, data["batch"], t, Recorded([data[f"{name}/z"]]))
    agree(reduced(loss / 2, data["batch"], reduce_mean), data[f"{name}/loss"], rtol=RTOL)
