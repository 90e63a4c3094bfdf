"""k-diffusion: grids of sigmas, and its wrappers of networks as parameterizations, with their losses.

Its states are x = x0 + sigma z. A network of a variance-preserving process sees x / sqrt(1 + sigma^2), which is
fokker's state at alpha = 1 / sqrt(1 + sigma^2) and the noise level sigma alpha. Its losses are means over dimensions.
"""

import pytest
import torch
from torch import Tensor

from fokker.edm_grid import Polyexponential
from fokker.grid import Exponential, Uniform, karras_sigmas
from fokker.label import Index
from fokker.objective import weighted_square
from fokker.parameterization import EDM, Eps, V
from fokker.perturbation import VE, VP, Perturbation, expand
from fokker.table import Betas
from fokker.weighting import EDMWeight, Simple, Weighting

RTOL = 1e-9


@pytest.fixture(scope="module")
def data(record):
    return record("k_diffusion/schedules_and_wrappers")


def test_karras(data, agree):
    case = data.case("karras")
    agree(karras_sigmas(case["n"], case["sigma_min"], case["sigma_max"]), data["karras/sigmas"][:-1], rtol=RTOL)


def test_exponential(data, agree):
    case = data.case("exponential")
    p = VE(sigma_min=case["sigma_min"], sigma_max=case["sigma_max"])
    agree(p.sigma(Exponential().times(p, case["n"] - 1)), data["exponential/sigmas"][:-1], rtol=RTOL)


def test_vp(data, agree):
    """Equal steps of time from 1 to 1e-3, as sigma / alpha."""
    p = VP(beta_min=0.1, beta_max=20.0, t_min=1e-3)
    times = Uniform().times(p, data.case("vp")["n"] - 1)
    agree(p.sigma(times) / p.alpha(times), data["vp/sigmas"][:-1], rtol=RTOL)


class Levels(Perturbation):
    """Noise levels one by one: level i at time i / (n - 1)."""

    def __init__(self, alphas: Tensor, sigmas: Tensor):
        self.alphas, self.sigmas = alphas, sigmas

    @property
    def knots(self):
        n = len(self.alphas)
        return torch.arange(n, dtype=torch.float64) / (n - 1)

    def alpha(self, t):
        return self.alphas[(t * (len(self.alphas) - 1)).round().long()]

    def sigma(self, t):
        return self.sigmas[(t * (len(self.sigmas) - 1)).round().long()]


@pytest.fixture
def preserving(data):
    sigma = data["discrete/sigma"]
    return Levels((1 + sigma**2) ** -0.5, sigma * (1 + sigma**2) ** -0.5)


@pytest.fixture
def exploding(data):
    return Levels(torch.ones(4, dtype=torch.float64), data["discrete/sigma"])


def answer(parameterization, p, x, network):
    """Read a network at the levels of `p`, one per example."""
    alpha, sigma = p.scales(p.knots, x)
    return parameterization.predict(network(parameterization.inputs(x, alpha, sigma)), x, alpha, sigma)


def loss(weighting: Weighting, parameterization, p, x0, eps, network):
    prediction = answer(parameterization, p, p.perturb(x0, p.knots, eps), network)
    return weighted_square(weighting, p, prediction, x0, eps, p.knots) / x0[0].numel()


@pytest.mark.parametrize(
    ("name", "wrapper", "parameterization", "slope"),
    [
        ("discrete/eps_denoised", "discrete", Eps(), 0.001),
        ("discrete/v_denoised", "discrete", V(), 0.001),
        ("vdenoiser/denoised", "vdenoiser", V(), 0.1),
    ],
)
def test_networks_of_variance_preserving_processes(data, preserving, name, wrapper, parameterization, slope, agree):
    """Denoised data, at the labels that it found for its sigmas."""
    label = data[f"{wrapper}/sigma_to_t"].reshape(-1, 1, 1, 1)
    x = expand(preserving.alphas, data["discrete/x"]) * data["discrete/x"]
    prediction = answer(parameterization, preserving, x, lambda y: 0.5 * y + slope * label)
    agree(prediction.x0, data[name], rtol=RTOL, atol=RTOL)


def test_eps_loss(data, preserving, agree):
    """The mean square of the noise's error is `simple`."""
    label = data["discrete/sigma_to_t"].reshape(-1, 1, 1, 1)
    x0, eps = data["discrete/x"], data["discrete/noise"]
    actual = loss(Simple(), Eps(), preserving, x0, eps, lambda y: 0.5 * y + 0.001 * label)
    agree(actual, data["discrete/eps_loss"], rtol=RTOL)


@pytest.mark.parametrize(
    ("name", "wrapper", "slope"), [("discrete/v_loss", "discrete", 0.001), ("vdenoiser/loss", "vdenoiser", 0.1)]
)
def test_v_loss(data, preserving, name, wrapper, slope, agree):
    """The mean square of v's error is `edm` at sigma_data = 1: SNR + 1."""
    label = data[f"{wrapper}/sigma_to_t"].reshape(-1, 1, 1, 1)
    x0, eps = data["discrete/x"], data["discrete/noise"]
    actual = loss(EDMWeight(sigma_data=1.0), V(), preserving, x0, eps, lambda y: 0.5 * y + slope * label)
    agree(actual, data[name], rtol=RTOL)


@pytest.mark.parametrize(
    ("name", "weighting"),
    [("denoiser_karras", EDMWeight(sigma_data=0.5)), ("denoiser_snr", Simple()), ("simple_loss_denoiser", Simple())],
)
def test_edm(data, exploding, name, weighting, agree):
    """EDM's preconditioning with its own weighting, and with the SNR."""

    def network(y):
        return 0.5 * y + 0.1 * data["discrete/sigma"].log().reshape(-1, 1, 1, 1)

    x, eps = data["discrete/x"], data["discrete/noise"]
    if name != "simple_loss_denoiser":
        agree(answer(EDM(sigma_data=0.5), exploding, x, network).x0, data[f"{name}/denoised"], rtol=RTOL, atol=RTOL)
    actual = loss(weighting, EDM(sigma_data=0.5), exploding, x, eps, network)
    agree(actual, data[f"{name}/loss"], rtol=RTOL)


def test_polyexponential(data, agree):
    case = data.case("polyexponential")
    p = VE(sigma_min=case["sigma_min"], sigma_max=case["sigma_max"])
    times = Polyexponential(rho=case["rho"]).times(p, case["n"] - 1)
    agree(p.sigma(times), data["polyexponential/sigmas"][:-1], rtol=RTOL)


def test_labels_between_the_levels_of_a_table(data, agree):
    """Its time-steps count from 0; a fraction is linear in log sigma, and rounding is to the nearest in log sigma."""
    bar = data["discrete/alphas_cumprod"]
    betas = 1 - torch.cat([bar[:1], bar[1:] / bar[:-1]])
    p = Betas(schedule="values", values=tuple(betas.tolist()))
    t = p.time(-2 * data["discrete/sigma"].log())
    agree(Index(between="interpolate")(p, t) - 1, data["discrete/sigma_to_t"], rtol=1e-7, atol=1e-6)
    agree(Index(between="round")(p, t) - 1, data["discrete/sigma_to_t_quantized"], rtol=0)
