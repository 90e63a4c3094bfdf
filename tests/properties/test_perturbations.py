"""What follows from alpha and sigma, on perturbations with random fields."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from fokker.perturbation import VE, Perturbation
from fokker.testing import strategies
from fokker.testing.strategies import continuous, event_shapes, log_uniform, perturbations, tables, times

D = torch.float64


def tensor(*values):
    return torch.tensor(values, dtype=D)


def spread(p, n=40):
    """Times from close to t = 0 to t = 1, and between the knots of a table as well as on them."""
    t = torch.cat([tensor(1e-6, 1e-4), torch.linspace(1e-3, 1, n, dtype=D)])
    if p.knots is not None:
        knots = p.knots[p.knots > 0]
        t = torch.cat([t, knots, (knots[1:] + 2 * knots[:-1]) / 3])
    return t.unique()


def away_from_knots(p):
    """Times and steps such that the steps to both sides stay within one piece of a table."""
    if p.knots is None:
        t = torch.linspace(0.005, 0.995, 34, dtype=D)
        return t, torch.full_like(t, 1e-5)
    ends = p.knots if p.knots[0] == 0 else torch.cat([tensor(0.0), p.knots])
    width = ends.diff()
    place = torch.linspace(0.1, 0.9, len(width), dtype=D)
    return ends[:-1] + place * width, 1e-4 * width


@given(perturbations())
def test_log_snr_decreases_strictly(p):
    log_snr = p.log_snr(spread(p))
    assert bool((log_snr.diff() < 0).all())


@given(perturbations())
def test_log_snr_is_that_of_alpha_and_sigma(p):
    t = spread(p)
    assert_close(p.log_snr(t), 2 * (p.alpha(t) / p.sigma(t)).log(), rtol=1e-10, atol=1e-9)
    assert_close(p.log_alpha(t).exp(), p.alpha(t), rtol=1e-12, atol=0)


@given(perturbations())
def test_time_inverts_log_snr(p):
    t = spread(p)
    assert_close(p.time(p.log_snr(t)), t, rtol=1e-8, atol=1e-12)


@given(perturbations(), st.floats(0.1, 50))
def test_time_beyond_the_range_is_the_nearest_end(p, beyond):
    first, last = p.log_snr(tensor(0.0, 1.0)).tolist()
    assert p.time(tensor(last - beyond)).item() == pytest.approx(1.0, abs=1e-12)
    assert p.time(tensor(-torch.inf)).item() == pytest.approx(1.0, abs=1e-12)
    assert p.time(tensor(torch.inf)).item() == pytest.approx(0.0, abs=1e-12)
    if first < torch.inf:
        assert p.time(tensor(first + beyond)).item() == pytest.approx(0.0, abs=1e-12)


@given(perturbations())
def test_drift_and_diffusion_are_the_derivatives_of_alpha_and_sigma(p):
    t, h = away_from_knots(p)

    def slope(f):
        return (f(t + h) - f(t - h)) / (2 * h)

    drift = slope(p.log_alpha)
    assert_close(p.drift(t), drift, rtol=1e-5, atol=1e-8)
    # g^2 = d sigma^2 / dt - 2 f sigma^2 = -sigma^2 d lambda / dt
    assert_close(p.diffusion(t) ** 2, slope(lambda u: p.sigma(u) ** 2) - 2 * drift * p.sigma(t) ** 2, rtol=1e-5, atol=0)
    assert_close(p.diffusion(t) ** 2, -(p.sigma(t) ** 2) * slope(p.log_snr), rtol=1e-5, atol=0)


@given(perturbations())
def test_rates_are_the_derivatives_of_alpha_and_sigma(p):
    t, h = away_from_knots(p)
    d_alpha, d_sigma = p.rates(t)
    assert_close(d_alpha, (p.alpha(t + h) - p.alpha(t - h)) / (2 * h), rtol=1e-5, atol=1e-7)
    assert_close(d_sigma, (p.sigma(t + h) - p.sigma(t - h)) / (2 * h), rtol=1e-5, atol=1e-7)


@given(perturbations(), st.lists(times(), min_size=3, max_size=3).map(sorted))
def test_transitions_compose(p, ordered):
    r, s, t = tensor(*ordered)
    a_rs, v_rs = p.transition(r, s)
    a_st, v_st = p.transition(s, t)
    a, v = p.transition(r, t)
    assert_close(a_st * a_rs, a, rtol=1e-10, atol=0)
    assert_close(a_st**2 * v_rs**2 + v_st**2, v**2, rtol=1e-10, atol=1e-10 * float(p.sigma(t)) ** 2)


@given(perturbations(), st.lists(times(), min_size=2, max_size=2).map(sorted))
def test_transitions_carry_marginals_to_marginals(p, ordered):
    s, t = tensor(*ordered)
    a, v = p.transition(s, t)
    assert_close(a * p.alpha(s), p.alpha(t), rtol=1e-10, atol=0)
    assert_close(a**2 * p.sigma(s) ** 2 + v**2, p.sigma(t) ** 2, rtol=1e-10, atol=0)


@given(perturbations(), times())
def test_transition_to_the_same_time_does_nothing(p, t):
    a, v = p.transition(tensor(t), tensor(t))
    assert a.tolist() == [1] and v.tolist() == [0]


@given(perturbations(), times(1e-3, 0.999), log_uniform(1e-12, 1e-9))
def test_short_transitions_keep_their_accuracy(p, t, h):
    s = tensor(t)
    later = s + h
    _, v = p.transition(s, later)
    expected = p.diffusion(s) * (later - s).sqrt()
    # v^2 / sigma^2 is a difference of two log-SNRs, each right to its last bit; sigma_t^2 - a^2 sigma_s^2 is not
    rounding = 4e-16 * (1 + p.log_snr(s).abs()) * (p.sigma(s) / expected) ** 2
    assert_close(v, expected, rtol=1e-4 + float(rounding), atol=0)


@given(continuous())
def test_closed_forms_equal_the_general_ones(p):
    t = spread(p)
    assert_close(p.log_snr(t), Perturbation.log_snr(p, t), rtol=1e-10, atol=1e-9)
    assert_close(p.log_alpha(t), Perturbation.log_alpha(p, t), rtol=1e-9, atol=1e-12)
    assert_close(p.time(p.log_snr(t)), Perturbation.time(p, p.log_snr(t)), rtol=1e-8, atol=1e-12)
    for closed, general in zip(p.rates(t), Perturbation.rates(p, t), strict=True):
        assert_close(closed, general, rtol=1e-9, atol=1e-12)
    assert_close(p.drift(t), Perturbation.drift(p, t), rtol=1e-9, atol=1e-12)
    assert_close(p.diffusion(t), Perturbation.diffusion(p, t), rtol=1e-9, atol=1e-12)


@given(perturbations())
def test_alpha_falls_and_sigma_rises_from_the_data_to_the_prior(p):
    t = spread(p)
    alpha, sigma = p.alpha(t), p.sigma(t)
    assert bool((alpha > 0).all() and (alpha <= 1).all() and (alpha.diff() <= 0).all())
    assert bool((sigma > 0).all() and (sigma.diff() >= 0).all())


@given(perturbations())
def test_single_precision_is_within_1e_6(p):
    t = spread(p).float()
    alpha, sigma = p.alpha(t), p.sigma(t)
    assert alpha.dtype == sigma.dtype == torch.float32
    assert_close(alpha.double(), p.alpha(t.double()), rtol=0, atol=1e-6)
    assert_close(sigma.double(), p.sigma(t.double()), rtol=1e-6, atol=0)


@given(tables())
def test_index_numbers_the_knots_from_1(p):
    levels = torch.arange(1, len(p.knots) + 1)
    assert torch.equal(p.index(p.knots), levels)
    assert torch.equal(p.index(p.knots.float()), levels)
    assert torch.equal(p.index(p.knots.flip(0).reshape(-1, 1)), levels.flip(0).reshape(-1, 1))
    assert p.index(p.knots[-1]).item() == len(levels)


@given(tables())
def test_tables_are_exact_on_their_knots(p):
    if hasattr(p, "log_alpha_bar"):
        alpha_bar = torch.cumprod(1 - p.table, 0)
        assert_close(p.alpha(p.knots) ** 2, alpha_bar, rtol=1e-12, atol=1e-15)
        assert_close(p.sigma(p.knots) ** 2, 1 - alpha_bar, rtol=1e-10, atol=0)
        assert_close(p.knots * p.steps, torch.arange(1, p.steps + 1, dtype=D))
    else:
        assert_close(p.sigma(p.knots), p.table, rtol=1e-14, atol=0)
        assert torch.equal(p.alpha(p.knots), torch.ones(len(p.table), dtype=D))
        assert p.knots[0] == 0 and p.knots[-1] == 1


@given(tables())
def test_tables_have_a_continuous_derivative(p):
    # betas begin with the variance linear below level 1, where the slope may jump
    knots, h = p.knots[1:-1], 1e-8 * (p.knots[1] - p.knots[0])
    typical = [1 - p.alpha(tensor(1.0)), p.sigma(tensor(1.0)) - p.sigma(tensor(0.0))]
    for before, after, size in zip(p.rates(knots - h), p.rates(knots + h), typical, strict=True):
        assert_close(before, after, rtol=1e-4, atol=1e-5 * float(size))


@given(perturbations(), event_shapes(), st.integers(0, 3), st.data())
def test_one_time_for_all_and_one_per_example_agree(p, event, batch, data):
    x0 = data.draw(strategies.states((batch, *event)))
    eps = data.draw(strategies.states((batch, *event)))
    t = data.draw(times())
    each = torch.full((batch,), t, dtype=D)
    expected = float(p.alpha(tensor(t))) * x0 + float(p.sigma(tensor(t))) * eps
    for time in (t, torch.tensor(t, dtype=D), each):
        assert_close(p.perturb(x0, time, eps), expected, rtol=1e-14, atol=1e-14)
    assert all(isinstance(scale, float) for scale in p.scales(t, x0))
    assert all(scale.shape == (batch,) + (1,) * len(event) for scale in p.scales(each, x0))


@given(perturbations(), st.sampled_from([(), (0,), (3,), (2, 3)]))
def test_functions_of_time_keep_its_shape(p, shape):
    t = torch.full(shape, 0.5, dtype=D)
    for f in (p.alpha, p.sigma, p.log_alpha, p.log_snr, p.drift, p.diffusion, p.time):
        assert f(t).shape == shape and f(t).dtype == D
    assert all(rate.shape == shape for rate in p.rates(t))


@given(perturbations())
def test_transition_broadcasts_its_two_times(p):
    s, t = tensor(0.1, 0.2, 0.3).unsqueeze(1), tensor(0.4, 0.5, 0.6, 0.7)
    a, v = p.transition(s, t)
    assert a.shape == v.shape == (3, 4)
    for i in range(3):
        for j in range(4):
            assert_close(torch.stack((a[i, j], v[i, j])), torch.stack(p.transition(s[i, 0], t[j])), rtol=1e-13, atol=0)


@given(perturbations())
def test_gradients_in_time_are_finite_wherever_there_is_noise(p):
    t = spread(p).requires_grad_()
    (p.log_snr(t).sum() + p.alpha(t).sum() + p.sigma(t).sum()).backward()
    assert bool(torch.isfinite(t.grad).all())


@given(st.floats(1e-6, 1))
def test_ve_sigma_is_geometric(t):
    p = VE()
    assert p.sigma(tensor(t)).item() == pytest.approx(0.01 * 5000**t, rel=1e-12)
