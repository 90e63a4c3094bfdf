"""Score SDE (Song et al., 2021): likelihoods by the probability-flow ODE, with the probe that it drew.

Its solver is SciPy's RK45 in float64 on a float32 drift, with one step for the batch.
"""

import math

import pytest
import torch

from fokker.data import Chain
from fokker.exact import Gaussian, Mixture
from fokker.flow import Exact, Hutchinson, log_likelihood
from fokker.noise import Recorded, Zero
from fokker.perturbation import VE
from fokker_data.transforms import Dequantise, Range

CASES = ["ve_gmm_rademacher", "vp_gmm_rademacher", "subvp_gmm_gaussian", "vp_single_gaussian"]


@pytest.fixture(scope="module")
def data(record):
    return record("score_sde/likelihood")


def perturbation(data, name, sde):
    """That of a case; it starts from eps, the earliest time that its networks are asked for."""
    case = data.case(name)
    return from_eps(sde(case["sde"], **case["sde_params"]), case["eps"])


def law(data, name, sde):
    p, single = perturbation(data, name, sde), "single_" * (data.case(name)["data_law"] == "gauss")
    weights, means, stds = (data[f"{single}gmm_{part}"] for part in ("weights", "means", "stds"))
    return Mixture(p, weights, means, stds**2)


@pytest.mark.parametrize("name", CASES)
def test_log_likelihoods(data, name, sde):
    """With its probe: latents, the integral, the prior, their sum and bits/dim; and the price, within a third."""
    case = data.case(name)
    rule = Hutchinson(1, case["hutchinson_type"].lower())
    found = log_likelihood(
        law(data, name, sde),
        data[f"{name}/data"],
        Recorded([data[f"{name}/epsilon"]]),
        divergence=rule,
        rtol=case["rtol"],
        atol=case["atol"],
    )
    z = data[f"{name}/z"]
    torch.testing.assert_close(found.latent, z, rtol=0, atol=1e-3 * float(z.abs().max()))
    for actual, key in (
        (found.divergence[:, 0], "delta_logp"),
        (found.prior, "prior_logp"),
        (found.value, "logp_nats"),
    ):
        torch.testing.assert_close(actual, data[f"{name}/{key}"], rtol=1e-4, atol=0.02)
    bpd = -found.value / (case["D"] * math.log(2)) + case["bpd_offset"]
    torch.testing.assert_close(bpd, data[f"{name}/bpd"], rtol=0, atol=1e-3)
    assert float(found.nfe.double().mean()) == pytest.approx(case["nfe"], rel=0.34)


@pytest.mark.parametrize("name", CASES)
def test_the_offset_of_bits_per_dim_is_that_of_the_transforms(data, name):
    """Pictures in [0, 1] have 8, those in [-1, 1] have 7."""
    case = data.case(name)
    centred = case["inverse_scaler"] == "(x+1)/2"
    chain = Chain((Dequantise(), Range(-1.0, 1.0))) if centred else Chain((Dequantise(),))
    _, volume = chain.forward_with_log_volume(torch.zeros(1, case["D"], dtype=torch.float64), Zero())
    assert -float(volume) / (case["D"] * math.log(2)) == pytest.approx(case["bpd_offset"], abs=1e-12)


def test_a_single_gaussian_meets_the_closed_form(data, sde):
    name = "vp_single_gaussian"
    mixture = law(data, name, sde)
    one = Gaussian(mixture.perturbation, data["single_gmm_means"][0], data["single_gmm_stds"][0] ** 2)
    probe = Recorded([data[f"{name}/epsilon"]])
    found = log_likelihood(one, data[f"{name}/data"], probe, divergence=Hutchinson(1), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(found.value, data[f"{name}/exact_logp_flow_f64"], rtol=0, atol=1e-5)
    torch.testing.assert_close(found.latent, data[f"{name}/exact_z_f64"], rtol=0, atol=1e-6)


def from_eps(p, eps=1e-5):
    """The same flow, which begins at eps: for VE from the noise that there is by then, which is all that matters."""
    if isinstance(p, VE):
        return VE(sigma_min=float(p.sigma(torch.tensor(eps, dtype=torch.float64))), sigma_max=p.sigma_max)
    return type(p)(t_min=eps)


@pytest.mark.parametrize("kind", ["ve", "vp", "subvp"])
def test_a_mixture_meets_the_flow_solved_to_twelve_digits(record, kind, sde):
    """Every term, and the density of the data but for the noise of eps and what the prior at t = 1 leaves of it."""
    data = record("analytic/mixture2d_pf_ode")
    law = Mixture(from_eps(sde(kind)), data["weights"], data["means"], data["stds"] ** 2)
    found = log_likelihood(law, data[f"{kind}/x_data"], Zero(), divergence=Exact(), rtol=1e-10, atol=1e-10)
    for actual, key in (
        (found.divergence[:, 0], "integral_div"),
        (found.prior, "prior_logp"),
        (found.value, "flow_logp_with_prior"),
    ):
        expected = data[f"{kind}/{key}"]  # of all times, the last of which is 1
        torch.testing.assert_close(actual, expected[-1] if expected.ndim == 2 else expected, rtol=0, atol=1e-7)
    torch.testing.assert_close(found.latent, data[f"{kind}/x_t"][-1], rtol=0, atol=1e-6)
    torch.testing.assert_close(found.value, data[f"{kind}/exact_logp_eps"], rtol=0, atol=0.05)


@pytest.mark.parametrize("kind", ["ve", "vp", "subvp"])
def test_a_correlated_gaussian_meets_its_closed_form(record, kind, sde):
    data = record("analytic/gaussian_pf_ode")
    law = Gaussian(from_eps(sde(kind)), data["mean"], data["cov"])
    x = data[f"{kind}/x_t"][data[f"{kind}/times"].tolist().index(1e-5)]
    found = log_likelihood(law, x, Zero(), divergence=Exact(), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(found.value, data[f"{kind}/flow_logp_with_prior_at_1e-5"], rtol=0, atol=1e-7)
    torch.testing.assert_close(found.prior, data[f"{kind}/prior_logp_x_T"], rtol=0, atol=1e-7)
