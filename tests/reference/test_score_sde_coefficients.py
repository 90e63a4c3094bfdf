"""Score SDE (Song et al., 2021): coefficients of the SDEs, their marginals, priors and discretisations.

That code computes in float32. Where it subtracts nearly equal numbers its own rounding is larger than the tolerance:
what is compared there is the variance instead of the standard deviation (1 - alpha^2 near t = 0), and the next state
instead of its difference from the last one (sqrt(alpha_i) - 1).
"""

import pytest
import torch
from torch.distributions import Normal

from fokker.perturbation import expand
from fokker.prediction import Prediction
from fokker.table import Betas, Sigmas
from fokker_sde.euler_maruyama import EulerMaruyama
from fokker_sde.reverse_diffusion import ReverseDiffusion

CASES = ["ve_default", "vp_default", "subvp_default", "ve_b", "vp_b", "subvp_b"]
TOLERANCE = {"rtol": 1e-5, "atol": 1e-6}


@pytest.fixture(scope="module")
def data(record):
    return record("score_sde/sde_coefficients")


@pytest.fixture(params=CASES)
def case(request, data, sde, table):
    name = request.param
    params = dict(data.case(name))
    kind = params.pop("sde")
    return name, sde(kind, **params), table(kind, **params), params["N"]


def neighbours(data, name):
    """The recorded table, the truncated levels (from 0), their times, and the times of the levels below them."""
    if name.startswith("ve"):
        levels = Sigmas(values=tuple(data[f"{name}/discrete_sigmas"].tolist()))
    else:
        levels = Betas(schedule="values", values=tuple(data[f"{name}/discrete_betas"].tolist()))
    index = data[f"{name}/timestep_index"]
    below = torch.cat([torch.zeros(1, dtype=torch.float64), levels.knots[:-1]])
    return levels, index, levels.knots[index], below[index]


def test_drift_and_diffusion(data, case, agree):
    name, p, _, _ = case
    t, x = data[f"{name}/t"], data[f"{name}/x"]
    agree(expand(p.drift(t), x) * x, data[f"{name}/drift"], **TOLERANCE)
    agree(p.diffusion(t) ** 2, data[f"{name}/diffusion"] ** 2, **TOLERANCE)


def test_marginals(data, case, agree):
    name, p, _, _ = case
    t, x = data[f"{name}/t"], data[f"{name}/x"]
    agree(expand(p.alpha(t), x) * x, data[f"{name}/mean"], **TOLERANCE)
    agree(p.sigma(t) ** 2, data[f"{name}/std"] ** 2, **TOLERANCE)


def test_prior(data, case, agree):
    name, p, _, _ = case
    agree(p.prior_std * data[f"{name}/prior_randn"], data[f"{name}/prior_sample"], **TOLERANCE)
    log_prob = Normal(0.0, p.prior_std).log_prob(data[f"{name}/x"]).flatten(1).sum(1)
    agree(log_prob, data[f"{name}/prior_logp"], **TOLERANCE)


def test_tables(data, case, agree):
    """Geometric sigmas, linear betas and their alpha-bar; 2e-5 for the latter, a product of 1000 rounded factors."""
    name, _, levels, _ = case
    if name.startswith("ve"):
        agree(levels.table, data[f"{name}/discrete_sigmas"], **TOLERANCE)
    elif name.startswith("vp"):
        agree(levels.table, data[f"{name}/discrete_betas"], **TOLERANCE)
        agree(levels.alpha(levels.knots) ** 2, data[f"{name}/alphas_cumprod"], rtol=2e-5)


def test_discretisation(data, case, agree):
    """x_t = a x_s + v z between neighbouring levels of its table is x + f_i + G_i z: SMLD's and DDPM's rules.

    A level is found by truncating t (N - 1), which is Score SDE's convention. Below its smallest sigma it takes 0, a
    level that a table of sigmas does not have: there G is the whole of sigma_1. For sub-VP it has no table and makes an
    Euler step of 1/N.
    """
    name, p, _, n = case
    x = data[f"{name}/x"]
    if name.startswith("subvp"):
        t = data[f"{name}/t"]
        c = EulerMaruyama().coefficients(p, t, t - 1 / n)
        a, v = 2 - c["x"], c["z"]
    else:
        levels, index, t, s = neighbours(data, name)
        a, v = levels.transition(s, t)
        if name.startswith("ve"):
            v = torch.where(index == 0, levels.sigma(t), v)
    agree(expand(a, x) * x, x + data[f"{name}/discretize_f"], **TOLERANCE)
    agree(v**2, data[f"{name}/discretize_G"] ** 2, **TOLERANCE)


def test_reverse_discretisation(data, case, agree):
    """One step down is x - (f_i - G_i^2 score) + G_i z: the predictors' coefficients.

    Rows at the smallest sigma are left out: that step goes to sigma = 0, fokker's `final`.
    """
    name, p, _, n = case
    x, score = data[f"{name}/x"], data[f"{name}/score"]
    rows = torch.ones(len(x), dtype=torch.bool)
    if name.startswith("subvp"):
        t = data[f"{name}/t"]
        c = EulerMaruyama().coefficients(p, t, t - 1 / n)
    else:
        levels, index, t, s = neighbours(data, name)
        if name.startswith("ve"):
            rows = index > 0
        c = ReverseDiffusion().coefficients(levels, t, s)
    mean = expand(c["x"], x) * x + expand(c["score"], x) * score
    agree(mean[rows], (x - data[f"{name}/reverse_discretize_f"])[rows], **TOLERANCE)
    agree(c["z"][rows] ** 2, data[f"{name}/reverse_discretize_G"][rows] ** 2, **TOLERANCE)


def test_reverse_sde(data, case, agree):
    """f x - g^2 score, read off the Euler-Maruyama step of length 1."""
    name, p, _, _ = case
    t, x, score = data[f"{name}/t"], data[f"{name}/x"], data[f"{name}/score"]
    c = EulerMaruyama().coefficients(p, t, t - 1)
    drift = x - (expand(c["x"], x) * x + expand(c["score"], x) * score)
    agree(drift, data[f"{name}/reverse_sde_drift"], **TOLERANCE)
    agree(c["z"] ** 2, data[f"{name}/reverse_sde_diffusion"] ** 2, **TOLERANCE)


def test_probability_flow(data, case, agree):
    """f x - g^2 score / 2 is what a `Prediction` calls its velocity."""
    name, p, _, _ = case
    t, x, score = data[f"{name}/t"], data[f"{name}/x"], data[f"{name}/score"]
    alpha, sigma = p.scales(t, x)
    rates = tuple(expand(rate, x) for rate in p.rates(t))
    prediction = Prediction(x, alpha, sigma, score=score, rates=lambda: rates)
    agree(prediction.velocity, data[f"{name}/reverse_ode_drift"], **TOLERANCE)
