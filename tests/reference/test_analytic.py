"""Closed forms evaluated in forty digits, and flows solved to 1e-12, by no diffusion library at all."""

import pytest
import torch

from fokker.exact import Gaussian, Mixture
from fokker.label import Time
from fokker.model import NetworkModel
from fokker.noise import Recorded, Zero
from fokker.objective import Denoising
from fokker.parameterization import Score
from fokker.perturbation import Perturbation
from fokker.sampler import trajectory
from fokker.table import Sigmas
from fokker.weighting import Sigma2
from fokker_ode.ode import ODE

KINDS = ["ve", "vp", "subvp"]
FLOW = {"rtol": 0, "atol": 1e-3}


class At(Perturbation):
    """One noise level at all times."""

    def __init__(self, alpha, sigma):
        self._alpha, self._sigma = alpha, sigma

    def alpha(self, t):
        return torch.full_like(t, self._alpha)

    def sigma(self, t):
        return torch.full_like(t, self._sigma)


@pytest.mark.parametrize("kind", KINDS)
def test_schedules(record, kind, sde, agree):
    data, p = record("analytic/sde_schedules"), sde(kind)
    t = data[f"{kind}/t"]
    for name, actual in {
        "alpha": p.alpha(t),
        "sigma": p.sigma(t),
        "beta": -2 * p.drift(t),
        "g": p.diffusion(t),
        "log_snr": p.log_snr(t),
    }.items():
        agree(actual, data[f"{kind}/{name}"], rtol=1e-10)
    agree(p.time(data[f"{kind}/log_snr"]), t, rtol=1e-10)


@pytest.mark.parametrize("name", ["d1_k2", "d2_k3", "d8_k3"])
def test_mixtures(record, name):
    """Log densities, scores, their Jacobians and posterior means at seven noise levels, outliers included."""
    data = record("analytic/mixture_scores")
    for level, (alpha, sigma) in enumerate(data[f"{name}/alpha_sigma"].tolist()):
        law = Mixture(At(alpha, sigma), data[f"{name}/weights"], data[f"{name}/means"], data[f"{name}/covs"])
        x = data[f"{name}/x"][level]
        jacobian = torch.func.vmap(torch.func.jacrev(lambda y, law=law: law.score(y.unsqueeze(0), 0.5)[0]))(x)
        for key, actual in {
            "logp": law.log_prob(x, 0.5),
            "score": law.score(x, 0.5),
            "score_jacobian": jacobian,
            "posterior_mean": law(x, 0.5).x0,
        }.items():
            expected = data[f"{name}/{key}"][level]
            torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9 * float(expected.abs().max()))


@pytest.mark.parametrize("kind", KINDS)
def test_flow_of_a_gaussian(record, kind, sde, agree):
    """The closed form, the densities along it, and `ode` on the exact score."""
    data = record("analytic/gaussian_pf_ode")
    law = Gaussian(sde(kind), data["mean"], data["cov"])
    times, x_start = data[f"{kind}/times"], data[f"{kind}/x_T"]
    flow = torch.stack([law.flow(x_start, 1.0, t) for t in times.tolist()])
    agree(flow, data[f"{kind}/x_t"], rtol=1e-9, atol=1e-9)
    log_prob = torch.stack([law.log_prob(x, t) for x, t in zip(data[f"{kind}/x_t"], times.tolist(), strict=True)])
    agree(log_prob, data[f"{kind}/logp_t"], rtol=1e-9)
    states = trajectory(law, ODE(), times, Zero(), x_start.float(), final="none")
    torch.testing.assert_close(torch.stack([s.x for s in states]).double(), data[f"{kind}/x_t"], **FLOW)


@pytest.mark.parametrize("kind", KINDS)
def test_flow_of_a_mixture(record, kind, sde):
    """`ode` down the whole of the flow, and from draws of the prior; at tight tolerances it meets the truth."""
    data = record("analytic/mixture2d_pf_ode")
    p = sde(kind)
    law = Mixture(p, data["weights"], data["means"], data["stds"] ** 2)
    times, path = data[f"{kind}/times"].flip(0), data[f"{kind}/x_t"].flip(0)
    down = torch.stack([s.x for s in trajectory(law, ODE(), times, Zero(), path[0], final="none")])
    torch.testing.assert_close(down, path, **FLOW)
    grid = torch.tensor([1.0, 1e-3], dtype=torch.float64)
    for ode, atol in ((ODE(), FLOW["atol"]), (ODE(method="dopri8", rtol=1e-11, atol=1e-11), 1e-7)):
        *_, end = trajectory(law, ode, grid, Zero(), data[f"{kind}/z"], final="none")
        torch.testing.assert_close(end.x, data[f"{kind}/x_at_1e-3_from_z"], rtol=0, atol=atol)


@pytest.mark.parametrize("kind", KINDS)
def test_densities_of_a_mixture(record, kind, sde, agree):
    data = record("analytic/mixture2d_pf_ode")
    x = data[f"{kind}/x_data"]
    for p, t, key in ((sde(kind), 1e-5, "exact_logp_eps"), (At(1.0, 0.0), 0.5, "exact_logp_data")):
        law = Mixture(p, data["weights"], data["means"], data["stds"] ** 2)
        agree(law.log_prob(x, t), data[f"{kind}/{key}"], rtol=1e-9)


def test_expected_denoising_loss(record, agree):
    """Denoising score matching of a linear score on Gaussian data, exactly: nodes of Gauss and Hermite for x and z."""
    for m, s, sigma, a, b, dsm, _, _ in record("analytic/divergences")["linear_score/table"].tolist():
        # the loss is a square of what is linear in x and z, and three nodes are exact to the fifth degree
        nodes = torch.tensor([-(3**0.5), 0.0, 3**0.5], dtype=torch.float64)
        weights = torch.tensor([1 / 6, 2 / 3, 1 / 6], dtype=torch.float64)
        x0 = (m + s * nodes).repeat_interleave(3).unsqueeze(1)
        z = nodes.repeat(3).unsqueeze(1)

        class Linear(torch.nn.Module):
            def forward(self, x, label, cond=None, a=a, b=b):
                return -a * x + b

        p = Sigmas(values=(sigma, 2 * sigma))
        model = NetworkModel(Linear(), p, Score(), Time())
        t = torch.zeros(9, dtype=torch.float64)
        # weighted by sigma^2, which the table does not do
        losses = Denoising(weighting=Sigma2()).loss(model, x0, t, Recorded([z])) / sigma**2
        expected = (losses * torch.outer(weights, weights).flatten()).sum()
        agree(expected, torch.tensor(dsm, dtype=torch.float64), rtol=1e-9)
