import math

import pytest
import torch
from torch.testing import assert_close

from fokker.component import component
from fokker.errors import ConfigError
from fokker.perturbation import VE, VP, Cosine, Perturbation, SubVP, expand
from fokker.table import Betas

D = torch.float64

# mean and standard deviation of x_t given x_0 = 1, and g(t), of the SDEs of Song et al. (2021), appendix B and C,
# with beta 0.1 to 20 and sigma 0.01 to 50, as score_sde_pytorch's sde_lib.py writes them, evaluated in float64
TIMES = [1e-5, 1e-3, 0.1, 0.25, 0.5, 1.0]
VP_ALPHA = [0.9999994995, 0.9999450265, 0.9467217988, 0.7236571851, 0.2811828808, 0.0065715865]
SDES = {
    VP(): (
        VP_ALPHA,
        [0.0010004971, 0.0104854163, 0.3220525355, 0.6901596036, 0.9596542021, 0.9999784069],
        [0.3165422563, 0.3462657939, 1.4456832295, 2.2527760652, 3.1701734968, 4.4721359550],
    ),
    SubVP(): (
        VP_ALPHA,
        [0.0000010010, 0.0001099440, 0.1037178356, 0.4763202785, 0.9209361875, 0.9999568143],
        [0.0004478808, 0.0051345020, 0.6411377458, 1.9191742267, 3.1602494492, 4.4721359508],
    ),
    VE(): (
        [1.0] * 6,
        [0.0100008518, 0.0100855357, 0.0234367291, 0.0840896415, 0.7071067812, 50.0],
        [0.0412762502, 0.0416257639, 0.0967297905, 0.3470609475, 2.9184230659, 206.3636740250],
    ),
}


@pytest.mark.parametrize("p", SDES, ids=lambda p: type(p).__name__)
def test_sdes_have_the_coefficients_of_song_et_al(p):
    alpha, sigma, g = (torch.tensor(column, dtype=D) for column in SDES[p])
    t = torch.tensor(TIMES, dtype=D)
    assert_close(p.alpha(t), alpha, rtol=0, atol=5.1e-11)
    assert_close(p.sigma(t), sigma, rtol=0, atol=5.1e-11)
    assert_close(p.diffusion(t), g, rtol=0, atol=5.1e-11)


@pytest.mark.parametrize(("p", "expected"), [(VP(), -2822.9791740048), (SubVP(), -2822.9791740048)])
def test_prior_of_vp_is_a_standard_normal(p, expected):
    assert prior_log_prob_at_0(p) == pytest.approx(expected, abs=5.1e-11)


def test_the_fields_have_the_values_of_the_sources_unless_given():
    # Song et al. (2021), appendix C
    assert [(p.beta_min, p.beta_max, p.t_min) for p in (VP(), SubVP())] == [(0.1, 20.0, 1e-3)] * 2
    assert (VE().sigma_min, VE().sigma_max, VE().t_min) == (0.01, 50.0, 0)
    assert (Cosine().log_snr_min, Cosine().t_min) == (-12.0, 1e-3)


@pytest.mark.parametrize("p", [VP(), SubVP(), VE(), Cosine(), SubVP(beta_max=120.0), SubVP(beta_max=1e6)], ids=repr)
def test_time_inverts_log_snr_and_stays_within_0_and_1(p):
    t = torch.linspace(0, 1, 1001, dtype=D)[1:]
    assert_close(p.time(p.log_snr(t)), t, rtol=1e-10, atol=1e-15)
    beyond = torch.tensor([-torch.inf, -1e6, 1e6, torch.inf], dtype=D)
    assert_close(p.time(beyond), torch.tensor([1.0, 1.0, 0.0, 0.0], dtype=D), rtol=0, atol=1e-15)


def test_the_smallest_log_snr_is_reached_at_1_at_the_latest():
    for beta_max in torch.linspace(0.1, 40, 400).tolist():
        for p in (VP(beta_max=beta_max), SubVP(beta_max=beta_max)):
            assert p.time(torch.tensor(-torch.inf, dtype=D)) <= 1


@pytest.mark.parametrize("p", [VP(), SubVP(), VE(), Cosine(), Betas()], ids=lambda p: type(p).__name__)
def test_a_transition_to_the_next_number_is_not_lost_in_rounding(p):
    s = torch.linspace(0.01, 0.99, 999, dtype=D)
    a, v = p.transition(s, torch.nextafter(s, torch.ones((), dtype=D)))
    assert_close(a, torch.ones_like(a))
    assert bool((v >= 0).all() and (v < 1e-6 * p.sigma(s)).all())


def test_prior_of_ve_has_its_largest_sigma():
    assert VE(sigma_max=50.0).prior_std == 50.0
    assert prior_log_prob_at_0(VE(sigma_max=50.0)) == pytest.approx(-14840.7138466800, abs=5.1e-11)


def prior_log_prob_at_0(p, d=3072):
    normal = torch.distributions.Normal(torch.zeros(d, dtype=D), p.prior_std)
    return normal.log_prob(torch.zeros(d, dtype=D)).sum().item()


@pytest.mark.parametrize("p", [VP(), SubVP(), Cosine(), Betas()], ids=lambda p: type(p).__name__)
def test_a_prior_of_1_takes_what_is_left_of_the_data_for_noise(p):
    alpha, sigma = p.scales(1.0, torch.zeros(1))
    assert p.prior_std == 1
    assert sigma == pytest.approx(1, abs=1.001 * alpha**2)


def test_vp_sigma_is_accurate_near_0_in_single_precision():
    t = torch.tensor(1e-5)
    exact = VP().sigma(t.double()).item()
    assert VP().sigma(t).item() == pytest.approx(exact, rel=1e-6)
    # what sqrt(1 - exp(2 log alpha)) gives instead is 0.6 % off
    naive = (1 - (2 * VP().log_alpha(t)).exp()).sqrt().item()
    assert naive == pytest.approx(1.00662e-3, abs=5.1e-9)


def test_vp_over_alpha_is_the_vp_of_edm():
    # Karras et al. (2022), table 1: sigma(t) = sqrt(exp(beta_d t^2 / 2 + beta_min t) - 1), beta_d = 19.9, beta_min = .1
    p, t = VP(), torch.tensor([1e-5, 1e-3, 1.0], dtype=D)
    expected = torch.tensor([0.00100049763, 0.0104859928, 152.16697029], dtype=D)
    assert_close(p.sigma(t) / p.alpha(t), expected, rtol=5e-9, atol=0)
    assert_close(p.sigma(t) / p.alpha(t), torch.expm1(9.95 * t**2 + 0.1 * t).sqrt(), rtol=1e-12, atol=0)


def test_ve_starts_from_sigma_min_and_ends_at_sigma_max():
    p = VE(sigma_min=0.01, sigma_max=50.0)
    ends = torch.tensor([0.0, 1.0], dtype=D)
    assert p.sigma(ends).tolist() == [0.01, 50.0]
    # the SDE integrated from t = 0 alone would give sqrt(sigma^2 - sigma_min^2), which is 0 there
    _, v = p.transition(ends[0], ends[1])
    assert v.item() == pytest.approx(math.sqrt(50.0**2 - 0.01**2), rel=1e-14)


def test_cosine_ends_at_the_log_snr_that_is_asked_for():
    for log_snr_min in (-40.0, -30.0, -12.0, -1.0, 0.0):
        p = Cosine(log_snr_min=log_snr_min)
        assert p.log_snr(torch.ones((), dtype=D)).item() == pytest.approx(log_snr_min, abs=1e-14)
        t = torch.linspace(0, 1, 11, dtype=D)
        assert_close(p.alpha(t) ** 2 + p.sigma(t) ** 2, torch.ones(11, dtype=D))
        angle = torch.atan2(p.sigma(t), p.alpha(t))
        assert_close(angle.diff(), angle[1:2].expand(10), rtol=1e-9, atol=0)


@pytest.mark.parametrize("p", [VP(), SubVP()], ids=lambda p: type(p).__name__)
def test_beta_is_the_rate_of_the_drift(p):
    t = torch.tensor([0.0, 0.5, 1.0], dtype=D)
    assert_close(p.beta(t), torch.tensor([0.1, 10.05, 20.0], dtype=D))
    assert_close(p.drift(t), -p.beta(t) / 2)


@pytest.mark.parametrize("p", [VP(), SubVP(), Cosine(), Betas(), Betas(schedule="cosine")], ids=repr)
def test_nothing_is_perturbed_at_time_0(p):
    zero, later = torch.zeros((), dtype=D), torch.tensor(0.3, dtype=D)
    assert p.alpha(zero) == 1 and p.sigma(zero) == 0 and p.log_snr(zero) == torch.inf
    a, v = p.transition(zero, later)
    assert_close(a, p.alpha(later))
    assert_close(v, p.sigma(later))
    assert [c.item() for c in p.transition(zero, zero)] == [1, 0]


def test_a_coefficient_per_example_broadcasts_from_the_left():
    c = torch.arange(2.0)
    assert expand(c, torch.empty(2)).shape == (2,)
    assert expand(c, torch.empty(2, 3, 5)).shape == (2, 1, 1)


def test_scales_take_the_state_s_dtype_and_are_computed_in_double_precision():
    x = torch.zeros(3, 4)
    assert VP().scales(1e-5, x) == VP().scales(torch.tensor(1e-5, dtype=D), x)
    assert VP().scales(1e-5, x)[1] == VP().sigma(torch.tensor(1e-5, dtype=D)).item()
    assert all(isinstance(c, float) for c in VP().scales(torch.tensor(1e-5, dtype=D), x))
    t = torch.tensor([1e-5, 0.5, 1.0], dtype=D)
    alpha, sigma = VP().scales(t, x)
    assert alpha.dtype == sigma.dtype == torch.float32 and sigma.shape == (3, 1)
    assert torch.equal(sigma.flatten(), VP().sigma(t).float())


def test_remembered_scales_belong_to_one_perturbation():
    for p, expected in ((VE(sigma_max=10.0), 10.0), (VE(sigma_max=20.0), 20.0)):
        assert p.scales(1.0, torch.zeros(1))[1] == expected == p.scales(1.0, torch.zeros(1))[1]


def test_remembered_scales_stay_few():
    p, most = VP(), 0
    for k in range(10_000):
        p.scales(k / 10_000, torch.zeros(1))
        most = max(most, len(vars(p)["_memo"]))
    assert most == 8192
    assert p.scales(0.25, torch.zeros(1))[0] == pytest.approx(0.7236571851, abs=1e-10)


def test_two_methods_make_a_perturbation():
    class Linear(Perturbation):
        """Rectified flow: everything but alpha and sigma is derived."""

        def alpha(self, t):
            return 1 - t

        def sigma(self, t):
            return t

    p, t = Linear(), torch.tensor([0.1, 0.5, 0.9], dtype=D)
    assert_close(p.drift(t), -1 / (1 - t))
    assert_close(p.diffusion(t) ** 2, 2 * t / (1 - t))
    assert_close(p.time(p.log_snr(t)), t, rtol=1e-14, atol=0)
    assert_close(torch.stack(p.rates(t)), torch.tensor([[-1.0], [1.0]], dtype=D).expand(2, 3))
    assert p.prior_std == 1 and p.knots is None and p.t_min == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VP(beta_min=0.0), "VP.beta_min must be greater than 0, got 0.0."),
        (lambda: VP(beta_min=2.0, beta_max=1.0), "VP.beta_max must be at least beta_min = 2, got 1."),
        (lambda: VP(beta_max=0.0), "VP.beta_max must be greater than 0, got 0.0."),
        (lambda: VP(t_min=1.0), "VP.t_min must be less than 1, got 1.0."),
        (lambda: VP(beta_max=math.inf), "VP.beta_max must be a finite number, got inf."),
        (lambda: SubVP(beta_min=2.0, beta_max=1.0), "SubVP.beta_max must be at least beta_min = 2, got 1."),
        (lambda: SubVP(t_min=-0.1), "SubVP.t_min must be at least 0, got -0.1."),
        (lambda: VE(sigma_max=0.005), "VE.sigma_max must be greater than sigma_min = 0.01, got 0.005."),
        (lambda: VE(sigma_min=0.0), "VE.sigma_min must be greater than 0, got 0.0."),
        (lambda: VE(sigma_max=0.0), "VE.sigma_max must be greater than 0, got 0.0."),
        (lambda: VE(sigma_min=1.0, sigma_max=1.0), "VE.sigma_max must be greater than sigma_min = 1, got 1."),
        (lambda: Cosine(t_min=-0.5), "Cosine.t_min must be at least 0, got -0.5."),
        (lambda: Cosine(t_min=1.0), "Cosine.t_min must be less than 1, got 1.0."),
        (lambda: Cosine(log_snr_min=1.0), "Cosine.log_snr_min must be at most 0, got 1.0."),
        (lambda: Cosine(log_snr_min=-50.0), "Cosine.log_snr_min must be at least -40, got -50.0."),
    ],
)
def test_impossible_fields_are_refused_in_one_line(make, message):
    with pytest.raises(ConfigError) as error:
        make()
    assert str(error.value) == message


def test_every_field_changes_a_coefficient():
    t = torch.tensor([0.3, 0.6], dtype=D)
    for cls, changes in (
        (VP, {"beta_min": 0.2, "beta_max": 10.0}),
        (SubVP, {"beta_min": 0.2, "beta_max": 10.0}),
        (VE, {"sigma_min": 0.02, "sigma_max": 10.0}),
        (Cosine, {"log_snr_min": -10.0}),
    ):
        for name, value in changes.items():
            assert not torch.allclose(cls(**{name: value}).sigma(t), cls().sigma(t)), (cls, name)
    assert [cls(t_min=0.02).t_min for cls in (VP, SubVP, Cosine)] == [0.02] * 3


def test_a_continuous_perturbation_has_no_index():
    with pytest.raises(ConfigError, match="VP is continuous and has no levels; use another label than 'index'"):
        VP().index(torch.tensor(0.5))


@component
class Line(Perturbation):
    """alpha = 1 - t and sigma = t: nothing is left of the data at t = 1."""

    def alpha(self, t):
        return 1 - t

    def sigma(self, t):
        return t


def test_an_infinite_log_snr_is_reached_at_the_ends_themselves():
    assert Line().time(torch.tensor([torch.inf, -torch.inf], dtype=D)).tolist() == [0, 1]


def test_transitions_end_where_nothing_is_left_of_the_data():
    s, t = torch.tensor([0.0, 0.5, 1.0], dtype=D), torch.ones(3, dtype=D)
    a, v = Line().transition(s, t)
    assert a.tolist() == [0, 0, 1] and v.tolist() == [1, 1, 0]


def test_a_grid_is_evaluated_once(monkeypatch):
    p, x = VP(), torch.zeros(2, 3)
    times = torch.linspace(1.0, p.t_min, 6, dtype=D)
    p.remember(times)
    expected = [(float(p.alpha(t)), float(p.sigma(t))) for t in times]
    monkeypatch.setattr(VP, "sigma", lambda *_: pytest.fail("it was evaluated already"))
    for t, scales in zip(times.tolist(), expected, strict=True):
        assert p.scales(t, x) == pytest.approx(scales, rel=1e-14)


def test_rates_are_remembered(monkeypatch):
    p = VP()
    d_alpha, d_sigma = p.rates(torch.tensor(0.3, dtype=D))
    assert p.rates_at(0.3) == (float(d_alpha), float(d_sigma))
    monkeypatch.setattr(VP, "rates", lambda *_: pytest.fail("they were evaluated already"))
    assert p.rates_at(0.3) == (float(d_alpha), float(d_sigma))


def test_what_is_remembered_stays_small():
    p = VP()
    for k in range(5):
        p.remember(torch.linspace(k, k + 1, 3000, dtype=D) / 5)
    assert 3000 <= len(p.__dict__["_memo"]) <= 8192
