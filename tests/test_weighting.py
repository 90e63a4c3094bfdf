import math

import pytest
import torch
from torch.testing import assert_close

from fokker.errors import ConfigError
from fokker.perturbation import VE, VP, Cosine, SubVP
from fokker.prediction import Prediction
from fokker.table import Betas, Sigmas
from fokker.weighting import P2, EDMWeight, Likelihood, MinSNR, ScoreError, Sigma2, Simple, WeightingClaims

D = torch.float64
PERTURBATIONS = [VP(), SubVP(), VE(), Cosine(), Betas(), Sigmas(levels=10)]
T = torch.tensor([0.02, 0.3, 0.55, 0.97], dtype=D)

everywhere = pytest.mark.parametrize("p", PERTURBATIONS, ids=lambda p: type(p).__name__)


def errors(p):
    """Squared errors of x0, eps and the score of one wrong prediction at each of the times, (4,)."""
    x0, eps, off = torch.randn(3, 4, 5, dtype=D, generator=torch.Generator().manual_seed(0)).unbind(0)
    alpha, sigma = p.scales(T, x0)
    wrong = Prediction(alpha * x0 + sigma * eps, alpha, sigma, x0=x0 + off)

    def square(y):
        return y.square().sum(1)

    return square(wrong.x0 - x0), square(wrong.eps - eps), square(wrong.score + eps / sigma)


@everywhere
def test_simple_weighs_the_error_of_the_noise(p):
    x0, eps, _ = errors(p)
    assert_close(Simple()(p, T) * x0, eps, rtol=1e-8, atol=0)


@everywhere
def test_sigma2_weighs_the_error_of_the_score_by_the_variance(p):
    x0, _, score = errors(p)
    assert_close(Sigma2()(p, T) * x0, p.sigma(T) ** 2 * score, rtol=1e-8, atol=0)


@everywhere
def test_score_weighs_the_error_of_the_score(p):
    x0, _, score = errors(p)
    assert_close(ScoreError()(p, T) * x0, score, rtol=1e-8, atol=0)


@everywhere
def test_likelihood_weighs_the_error_of_the_score_by_the_diffusion(p):
    x0, _, score = errors(p)
    weight = Likelihood()(p, T)
    assert_close(weight * x0, p.diffusion(T) ** 2 * score, rtol=1e-8, atol=0)
    h = 1e-6
    slope = (p.log_snr(T + h).exp() - p.log_snr(T - h).exp()) / (2 * h)
    assert_close(weight, -slope, rtol=1e-5, atol=0)


@everywhere
def test_min_snr_stops_at_gamma(p):
    # Hang et al. (2023), section 3.4
    snr = (p.alpha(T) / p.sigma(T)) ** 2
    assert_close(MinSNR()(p, T), torch.minimum(snr, torch.full_like(snr, 5.0)), rtol=1e-10, atol=0)


@everywhere
def test_edm_weighs_as_karras_et_al_at_sigma_over_alpha(p):
    # Karras et al. (2022), table 1
    sigma, data = p.sigma(T) / p.alpha(T), 0.7
    expected = (sigma**2 + data**2) / (sigma * data) ** 2
    assert_close(EDMWeight(sigma_data=data)(p, T), expected, rtol=1e-10, atol=0)


@everywhere
def test_p2_weighs_the_error_of_the_noise_less_where_there_is_little(p):
    # Choi et al. (2022), eq. 8
    x0, eps, _ = errors(p)
    snr = (p.alpha(T) / p.sigma(T)) ** 2
    assert_close(P2(k=2.0, gamma=0.5)(p, T) * x0, eps / (2 + snr) ** 0.5, rtol=1e-8, atol=0)
    assert_close(P2(gamma=0.0)(p, T), Simple()(p, T))


def test_the_fields_have_the_values_of_the_sources_unless_given():
    assert MinSNR().gamma == 5.0  # Hang et al. (2023), section 4
    assert EDMWeight().sigma_data == 0.5  # Karras et al. (2022), table 1
    assert (P2().k, P2().gamma) == (1.0, 1.0)  # Choi et al. (2022), section 4


def test_weights_of_the_score_depend_on_the_clock():
    alone, clocked = WeightingClaims(log_snr_alone=True), WeightingClaims(log_snr_alone=False)
    assert {w.claims for w in (Simple(), Sigma2(), MinSNR(), EDMWeight(), P2())} == {alone} == {WeightingClaims()}
    assert {w.claims for w in (ScoreError(), Likelihood())} == {clocked}


@pytest.mark.parametrize("w", [Simple(), Sigma2(), Likelihood(), MinSNR(), EDMWeight(), P2()], ids=repr)
def test_weights_are_positive_and_keep_the_shape_of_the_times(w):
    for shape in ((), (3,), (2, 2)):
        weight = w(VP(), torch.full(shape, 0.4, dtype=D))
        assert weight.shape == shape and weight.dtype == D and bool((weight > 0).all())


@pytest.mark.parametrize(
    ("w", "changed"),
    [
        (MinSNR(), MinSNR(gamma=2.0)),
        (EDMWeight(), EDMWeight(sigma_data=1.0)),
        (P2(), P2(k=2.0)),
        (P2(), P2(gamma=0.5)),
    ],
    ids=range(4),
)
def test_every_field_changes_a_weight(w, changed):
    assert not torch.allclose(w(VP(), T), changed(VP(), T))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MinSNR(gamma=0.0), r"MinSNR\.gamma must be greater than 0, got 0\.0"),
        (lambda: EDMWeight(sigma_data=-1.0), r"EDMWeight\.sigma_data must be greater than 0"),
        (lambda: P2(k=0.0), r"P2\.k must be greater than 0"),
        (lambda: P2(gamma=-1.0), r"P2\.gamma must be at least 0"),
        (lambda: P2(gamma=math.nan), r"P2\.gamma must be a finite number"),
    ],
    ids=range(5),
)
def test_impossible_fields_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
