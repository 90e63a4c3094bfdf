"""Sliced score matching (Song et al., 2019) and NCSN (Song & Ermon, 2019): losses, and their gradients in all weights.

Everything was computed in float64. The losses there are means over the batch and over the directions, row p B + b for
direction p of example b. What works on the data as it is is compared on the perturbation `none`, without its noise.
"""

import pytest
import torch
from torch import nn

from fokker.jacobian import leaf, trace
from fokker.label import LogSigma
from fokker.model import NetworkModel
from fokker.noise import Recorded
from fokker.parameterization import Energy, Score
from fokker.perturbation import VE
from fokker.table import Sigmas
from fokker.vanishing import Vanishing
from fokker.weighting import Sigma2
from fokker_matching.dsm import DSM
from fokker_matching.explicit import Explicit
from fokker_matching.ncsn import NCSN
from fokker_matching.sliced import Sliced, SlicedVR

RTOL = 1e-9
PROJECTIONS = 3


@pytest.fixture(scope="module")
def data(record):
    return record("score_matching/objectives")


class Told(nn.Module):
    """The recorded network, with the label as a further input if it is made for one more than the data has.

    Args:
        data: The record.
        name: Which network.
    """

    def __init__(self, data, name):
        super().__init__()
        weights = {key.removeprefix(f"{name}/"): data[key] for key in data.tensors if key.startswith(f"{name}/")}
        inputs, outputs = weights["0.weight"].shape[1], weights["4.weight"].shape[0]
        self.layers = nn.Sequential(
            nn.Linear(inputs, 14), nn.Softplus(), nn.Linear(14, 14), nn.Tanh(), nn.Linear(14, outputs)
        ).double()
        self.layers.load_state_dict(weights)
        self.told = inputs > data["samples"].shape[1]

    def forward(self, x, label, cond=None):
        return self.layers(torch.cat([x, label[:, None]], 1) if self.told else x)


def network(data, name, p):
    return NetworkModel(Told(data, name), p, Energy() if name == "energy_net" else Score(), LogSigma())


def check_gradients(agree, data, case, model, loss):
    """Compare the gradients of a loss; a bias of an energy has none in fokker, and zeros in the record."""
    loss.backward()
    layers = model.backbone.layers
    for name, parameter in layers.named_parameters():
        expected = data[f"{case}/param_grad/{name}"]
        found = torch.zeros_like(expected) if parameter.grad is None else parameter.grad
        agree(found, expected, rtol=RTOL, atol=1e-10)


def on_the_data(objective, model, data, draws=()):
    """The losses on the samples as they are, (B,)."""
    x0 = data["samples"]
    t = torch.ones(len(x0), dtype=torch.float64)
    return objective.loss(model, x0, t, Recorded([torch.zeros_like(x0), *draws]))


def test_an_energy_has_its_recorded_score_and_hessian(data, agree):
    model = network(data, "energy_net", Vanishing())
    x = leaf(data["samples"])
    score = model(x, 1.0).score
    agree(score, data["energy_net_eval/score"], rtol=RTOL)
    hessian = data["energy_net_eval/hessian_logp"]
    agree(trace(score, x, create_graph=False), hessian.diagonal(dim1=1, dim2=2).sum(1), rtol=RTOL)


def test_explicit(data, agree):
    """`exact_score_matching`, per example; the recorded gradient is that of the sum."""
    model = network(data, "energy_net", Vanishing())
    loss = on_the_data(Explicit(), model, data)
    agree(loss, data["exact_score_matching/loss"], rtol=RTOL)
    check_gradients(agree, data, "exact_score_matching", model, loss.sum())


@pytest.mark.parametrize(
    ("directions", "reduced"),
    [("rademacher", False), ("gaussian", False), ("sphere", False), ("rademacher", True), ("gaussian", True)],
)
def test_one_direction(data, directions, reduced, agree):
    """`single_sliced_score_matching` and `sliced_VR_score_matching`; Rademacher numbers are signs of normal ones."""
    spelled = "radermacher" if directions == "rademacher" else directions
    case = f"sliced_VR_{spelled}" if reduced else f"single_sliced_{spelled}"
    draw = data[f"{case}/draw"].sign() if directions == "rademacher" else data[f"{case}/draw"]
    model = network(data, "energy_net", Vanishing())
    objective = (SlicedVR if reduced else Sliced)(directions=directions)
    loss = on_the_data(objective, model, data, [draw]).mean()
    agree(loss, data[f"{case}/loss"], rtol=RTOL)
    check_gradients(agree, data, case, model, loss)


@pytest.mark.parametrize("reduced", [False, True])
@pytest.mark.parametrize("name", ["score_net", "energy_net"])
def test_many_directions(data, name, reduced, agree):
    """Several directions, for a score and for an energy.

    `sliced_score_matching` and `sliced_score_estimation` take directions of unit length, so that both of their terms,
    and their gradients, are 1 / numel of fokker's, whose directions on the sphere have length sqrt(numel).
    """
    case = ("sliced_score_matching" if name == "energy_net" else "sliced_score_estimation") + "_vr" * reduced
    draws = data[f"{case}/draw"].chunk(PROJECTIONS)
    model = network(data, name, Vanishing())
    if reduced:
        loss = on_the_data(SlicedVR(projections=PROJECTIONS, directions="gaussian"), model, data, draws).mean()
    else:
        numel = data["samples"].shape[1]
        loss = on_the_data(Sliced(projections=PROJECTIONS, directions="sphere"), model, data, draws).mean() / numel
    agree(loss, data[f"{case}/loss"], rtol=RTOL)
    check_gradients(agree, data, case, model, loss)


@pytest.mark.parametrize("case", ["dsm_score_estimation", "dsm_energy"])
def test_dsm(data, case, agree):
    """`dsm`; that of energies, 1/2 |sigma^2 score + sigma z|^2, is sigma^4 times it."""
    sigma = data.case(case)["sigma"]
    energy = case == "dsm_energy"
    model = network(data, "energy_net" if energy else "score_net", VE(sigma_min=0.01, sigma_max=1.0))
    objective, x0 = DSM(sigma=sigma), data["samples"]
    t = objective.times(model.perturbation, torch.zeros(len(x0), dtype=torch.float64))
    loss = objective.loss(model, x0, t, Recorded([data[f"{case}/draw"]])).mean() * (sigma**4 if energy else 1)
    agree(loss, data[f"{case}/loss"], rtol=RTOL)
    check_gradients(agree, data, case, model, loss)


def at_recorded_levels(data):
    """The table of the record, which descends there, and the times of its labels."""
    p = Sigmas(values=tuple(data["sigmas"].flip(0).tolist()))
    return p, p.knots.flip(0)[data["labels"]]


@pytest.mark.parametrize("power", [1, 2])
def test_ncsn(data, power, agree):
    """`anneal_dsm_score_estimation`."""
    case = f"anneal_dsm_power{power}"
    p, t = at_recorded_levels(data)
    model = network(data, "cond_score_net", p)
    objective = NCSN(anneal_power=float(power))
    loss = objective.loss(model, data["samples"], t, Recorded([data[f"{case}/draw"]])).mean()
    agree(loss, data[f"{case}/loss"], rtol=RTOL)
    check_gradients(agree, data, case, model, loss)


def test_sliced_at_every_noise_level(data, agree):
    """`anneal_sliced_score_estimation_vr`, weighted by sigma^2: the noise is drawn first, then the direction."""
    case = "anneal_ssm_vr"
    p, t = at_recorded_levels(data)
    model = network(data, "cond_score_net", p)
    objective = SlicedVR(directions="gaussian", weighting=Sigma2())
    draws = Recorded([data[f"{case}/draw0"], data[f"{case}/draw1"]])
    loss = objective.loss(model, data["samples"], t, draws).mean()
    agree(loss, data[f"{case}/loss"], rtol=RTOL)
    check_gradients(agree, data, case, model, loss)
