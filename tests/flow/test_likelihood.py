"""Likelihoods of laws whose probability flow is a formula."""

import math

import pytest
import torch

from fokker.data import Chain
from fokker.exact import Gaussian, Mixture
from fokker.flow import Exact, Hutchinson, encode, log_likelihood
from fokker.label import LogSNR
from fokker.linear import EDMNoise
from fokker.model import NetworkModel
from fokker.network import DataSpec
from fokker.noise import PerSample, Seeded, Zero
from fokker.parameterization import EDM
from fokker.perturbation import VE, VP, SubVP
from fokker.prediction import Prediction
from fokker.testing.worlds import CONTINUOUS, EVENT_SHAPES, PERTURBATIONS, correlated, gaussian, mixture, normal
from fokker_data.transforms import Dequantise, Range
from fokker_networks.mlp import MLP

D = torch.float64
TIGHT = {"rtol": 1e-10, "atol": 1e-10}
TOLERANCE = {"betas": 3e-4}  # whose rates have kinks at its levels, where no order is kept


def flow_log_prob(law, x):
    """log pi(x_1) + log |dx_1 / dx| of a Gaussian, in closed form."""
    p = law.perturbation
    z = law.flow(x, p.t_min, 1.0).flatten(1)
    start, end = (law.marginal(t)[1].logdet() for t in (p.t_min, 1.0))
    prior = -(z**2).sum(1) / 2 / p.prior_std**2 - z.shape[1] * math.log(2 * math.pi * p.prior_std**2) / 2
    return prior + (end - start) / 2, (end - start) / 2


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        (VP(t_min=1e-5), -1.6115770432),
        (VE(), -1.6115347586),
        (SubVP(t_min=1e-5), -1.6115707765),
        (VE(sigma_min=0.002, sigma_max=80.0), -1.61158640),  # EDM's sigmas: the map depends on its ends alone
        (EDMNoise(), -1.61158640),
    ],
    ids=["vp", "ve", "sub-vp", "edm's sigmas", "edm"],
)
@pytest.mark.parametrize("rule", [Exact(), Hutchinson()], ids=["exact", "hutchinson"])
def test_a_gaussian_to_seven_digits(p, expected, rule):
    law = Gaussian(p, torch.zeros(2), torch.tensor(0.25, dtype=D))
    x = torch.tensor([[0.3, -0.7]], dtype=D)
    found = log_likelihood(law, x, Seeded(0), divergence=rule, **TIGHT)
    # every Jacobian is a multiple of the identity, on which a Rademacher probe is exact
    assert float(found.value) == pytest.approx(expected, abs=1e-7)
    assert float(found.stderr) == pytest.approx(0, abs=1e-12)
    true = -(0.09 + 0.49) / 2 / 0.25 - math.log(2 * math.pi * 0.25)
    assert float(found.value) == pytest.approx(true, abs=1e-4)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_any_perturbation_and_every_term(name):
    law = gaussian(PERTURBATIONS[name])
    x = law.draw(5, Seeded(1))
    found = log_likelihood(law, x, Seeded(0), divergence=Exact(), rtol=1e-7, atol=1e-7)
    value, change = flow_log_prob(law, x)
    atol = TOLERANCE.get(name, 1e-5)
    torch.testing.assert_close(found.value, value, rtol=0, atol=atol)
    torch.testing.assert_close(found.divergence[:, 0], change.expand(5), rtol=0, atol=atol)
    torch.testing.assert_close(found.prior, value - change, rtol=0, atol=atol)
    torch.testing.assert_close(found.latent, law.flow(x, law.perturbation.t_min, 1.0), rtol=1e-5, atol=atol)
    assert found.exact and found.stderr.tolist() == [0] * 5


@pytest.mark.parametrize("shape", EVENT_SHAPES, ids=str)
def test_any_event_shape(shape):
    law = correlated(VP(), shape)
    x = law.draw(2, Seeded(1))
    found = log_likelihood(law, x, Seeded(0), divergence=Hutchinson(3), rtol=1e-6, atol=1e-6)
    value, _ = flow_log_prob(law, x)
    assert found.divergence.shape == (2, 3) and found.latent.shape == x.shape
    assert bool(((found.value - value).abs() < 6 * found.stderr + 1e-3).all())


@pytest.mark.parametrize("law", ["rademacher", "gaussian"])
def test_estimates_are_unbiased_and_their_standard_error_is_told(law):
    """Over many examples the errors, in units of the standard errors, are those of Student's law."""
    model = correlated(VP(), (4,))
    x = model.draw(1, Seeded(1)).expand(400, 4)
    noise = PerSample(3, range(400), (4,))
    found = log_likelihood(model, x, noise, divergence=Hutchinson(8, law), rtol=1e-6, atol=1e-6)
    exact = log_likelihood(model, x[:1], noise, divergence=Exact(), rtol=1e-6, atol=1e-6)
    off = found.value - exact.value
    spread = float((found.stderr**2).mean() ** 0.5)
    assert abs(float(off.mean())) < 3 * spread / 20
    assert float(off.std()) == pytest.approx(spread, rel=0.1)


def test_the_standard_error_of_one_probe_is_not_known():
    found = log_likelihood(gaussian(VP()), normal(3, 3), Seeded(0), divergence=Hutchinson(1))
    assert found.stderr.isnan().all() and found.value.isfinite().all()


def test_an_example_does_not_know_its_batch():
    for model in (mixture(VP(), (3,)), network()):
        x = normal(7, 3, seed=4)

        def scored(index, model=model, x=x):
            noise = PerSample(5, index, (3,))
            return log_likelihood(model, x[index], noise, divergence=Hutchinson(2, "gaussian"))

        whole = scored(list(range(7)))
        for index in ([0], [2, 3, 4], [6, 1]):
            part = scored(index)
            torch.testing.assert_close(part.value, whole.value[index], rtol=1e-10, atol=1e-10)
            torch.testing.assert_close(part.stderr, whole.stderr[index], rtol=1e-8, atol=1e-10)
            assert torch.equal(part.nfe, whole.nfe[index])


def network(classes=None):
    torch.manual_seed(0)
    backbone = MLP(width=8, depth=1, embedding_width=8).build(DataSpec((3,), classes)).double().eval()
    with torch.no_grad():
        for p in backbone.parameters():
            p.normal_(std=0.3)
    return NetworkModel(backbone, VP(), EDM(), LogSNR())


def test_two_probe_kinds_and_the_exact_trace_agree_on_a_network():
    model, x = network(), normal(40, 3)
    exact = log_likelihood(model, x, Seeded(0), divergence=Exact())
    for law in ("rademacher", "gaussian"):
        found = log_likelihood(model, x, PerSample(0, range(40), (3,)), divergence=Hutchinson(20, law))
        stderr = float((found.stderr**2).sum() ** 0.5) / 40
        assert abs(float((found.value - exact.value).mean())) < 3 * stderr


def test_a_network_with_classes_is_told_them():
    model, x = network(classes=3), normal(4, 3)
    labels = torch.tensor([0, 2, 1, 2])
    whole = log_likelihood(model, x, Zero(), cond={"label": labels}, divergence=Exact())
    for k in range(3):
        one = log_likelihood(model, x, Zero(), cond={"label": torch.full((4,), k)}, divergence=Exact())
        torch.testing.assert_close(whole.value[labels == k], one.value[labels == k], rtol=1e-10, atol=1e-10)
        assert not torch.allclose(whole.value[labels != k], one.value[labels != k])


def test_the_network_is_evaluated_as_often_as_is_told():
    class Counting(Mixture):
        asked = 0

        def __call__(self, x, t, cond=None):
            type(self).asked += len(x)
            return super().__call__(x, t, cond)

    law = Counting(VE(), torch.ones(2), torch.tensor([[0.0], [8.0]]), torch.tensor([0.01, 1.0]))
    x = torch.tensor([[0.0], [4.0], [8.0], [30.0]], dtype=D)
    found = log_likelihood(law, x, Seeded(0), divergence=Hutchinson(4))
    assert int(found.nfe.sum()) == Counting.asked
    assert len(set(found.nfe.tolist())) > 1


def test_gradients_are_left_alone():
    model = network()
    x = normal(2, 3).requires_grad_()
    found = log_likelihood(model, x, Seeded(0))
    assert not found.value.requires_grad and not encode(model, x).x.requires_grad
    assert x.grad is None and all(p.grad is None for p in model.backbone.parameters())


class Still(Gaussian):
    """The prior itself, which nothing moves: its density in the model's units is that of a standard normal."""

    def __call__(self, x, t, cond=None):
        alpha, sigma = self.perturbation.scales(t, x)
        return Prediction(x, alpha, sigma, velocity=0.0 * x)


@pytest.mark.parametrize(
    ("chain", "bits"),
    [
        (Chain((Dequantise(),)), 8.0),
        (Chain((Dequantise(), Range(-1.0, 1.0))), 7.0),
        (Chain((Dequantise(levels=17), Range(0.0, 17.0))), 0.0),
        (Chain((Range(0.0, 255.0), Range(0.0, 1 / 255), Dequantise())), 8.0),
    ],
    ids=["unit", "centred", "levels", "moved before"],
)
def test_bits_per_dim_of_a_uniform_density_count_the_levels(chain, bits):
    """A density of 1 in the model's units leaves the offset of the transforms alone."""
    dequantiser = next(t for t in chain.transforms if isinstance(t, Dequantise))
    x = torch.arange(6.0).reshape(2, 3).double() / (dequantiser.levels - 1)
    _, volume = chain.forward_with_log_volume(x, Seeded(0))
    assert (-volume / (3 * math.log(2))).tolist() == pytest.approx([bits, bits], abs=1e-12)


def test_levels_of_a_law_that_is_uniform_have_eight_bits_whatever_is_drawn():
    """The whole way: uint8 values, dequantised, under a flow that does not move and a prior that is known."""
    law = Still(VE(sigma_min=0.01, sigma_max=1.0), torch.zeros(2), torch.tensor(1.0))
    chain = Chain((Dequantise(), Range(-0.5, 0.5)))
    x = torch.tensor([[0.0, 255.0], [17.0, 128.0]], dtype=D) / 255
    y, volume = chain.forward_with_log_volume(x, Seeded(2))
    found = log_likelihood(law, y, Seeded(0), divergence=Exact())
    bits = -(found.value + volume) / (2 * math.log(2))
    normal_density = -(y**2).sum(1) / 2 - math.log(2 * math.pi)
    torch.testing.assert_close(bits, 8 - normal_density / (2 * math.log(2)), rtol=1e-12, atol=0)


@pytest.mark.parametrize(("variance", "bits"), [(1.0, 2.0470955852), (0.25, 1.0470955852)])
@pytest.mark.parametrize("name", CONTINUOUS)
def test_the_mean_over_a_gaussian_is_its_entropy(name, variance, bits):
    """By Gauss-Hermite nodes: log p is quadratic, and three nodes are exact."""
    p = CONTINUOUS[name]
    law = Gaussian(p, torch.zeros(1), torch.tensor(variance, dtype=D))
    nodes = torch.tensor([[-(3**0.5)], [0.0], [3**0.5]], dtype=D) * variance**0.5
    found = log_likelihood(law, nodes, Seeded(0), divergence=Exact(), rtol=1e-8, atol=1e-8).value
    mean = float((found * torch.tensor([1 / 6, 2 / 3, 1 / 6], dtype=D)).sum())
    assert -mean / math.log(2) == pytest.approx(bits, abs=2e-3)  # the noise of t_min


def test_the_entropy_of_the_noise_that_the_flow_starts_from():
    """All data in one point: what is left is N(0, sigma(t_min)^2), which Soft-Truncation puts at -7.92 bits."""
    p = VP(t_min=1e-5)
    law = Gaussian(p, torch.zeros(1), torch.zeros(()))
    sigma = float(p.sigma(torch.tensor(1e-5, dtype=D)))
    nodes = torch.tensor([[-(3**0.5)], [0.0], [3**0.5]], dtype=D) * sigma
    found = log_likelihood(law, nodes, Seeded(0), divergence=Exact(), rtol=1e-10, atol=1e-12).value
    mean = float((found * torch.tensor([1 / 6, 2 / 3, 1 / 6], dtype=D)).sum())
    assert -mean / math.log(2) == pytest.approx(-7.9179716766, abs=1e-4)
