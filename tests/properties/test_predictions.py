"""One quantity gives all others, wherever they exist; elsewhere it is refused, and nothing is ever NaN."""

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch.testing import assert_close

from fokker.errors import SingularError
from fokker.parameterization import EDM, X0, Eps, Score, SigmaScaled, V, Velocity
from fokker.prediction import Prediction
from fokker.testing.strategies import event_shapes, states

D = torch.float64
NAMES = ("score", "eps", "x0", "v", "velocity")
SCALES = st.floats(0.05, 20)
RATES = st.tuples(st.floats(-5, -0.1), st.floats(0.1, 5))  # alpha falls and sigma rises


def truth(x0, eps, alpha, sigma, rates):
    """All quantities that exist, from their definitions."""
    values = {
        "score": -eps / torch.as_tensor(sigma, dtype=D),
        "eps": eps,
        "x0": x0,
        "v": alpha * eps - sigma * x0,
        "velocity": rates[0] * x0 + rates[1] * eps,
    }
    return {name: value for name, value in values.items() if bool(torch.isfinite(value).all())}


@st.composite
def worlds(draw, alpha=SCALES, sigma=SCALES):
    """x0, eps, alpha, sigma and rates, with one scale for all examples or one for each."""
    event, batch = draw(event_shapes()), draw(st.integers(1, 3))
    x0, eps = draw(states((batch, *event))), draw(states((batch, *event)))
    if draw(st.booleans()):
        return x0, eps, draw(alpha), draw(sigma), draw(RATES)
    shape = (batch,) + (1,) * len(event)

    def column(strategy):
        return torch.tensor([draw(strategy) for _ in range(batch)], dtype=D).reshape(shape)

    pairs = [draw(RATES) for _ in range(batch)]
    rates = tuple(torch.tensor([pair[i] for pair in pairs], dtype=D).reshape(shape) for i in (0, 1))
    return x0, eps, column(alpha), column(sigma), rates


def predict(primary, world):
    x0, eps, alpha, sigma, rates = world
    value = truth(*world)[primary]
    return Prediction(alpha * x0 + sigma * eps, alpha, sigma, **{primary: value}, rates=lambda: rates)


@pytest.mark.parametrize("primary", NAMES)
@given(world=worlds())
def test_every_quantity_follows_from_every_other(primary, world):
    prediction = predict(primary, world)
    assert prediction.primary == primary
    for name, expected in truth(*world).items():
        assert_close(getattr(prediction, name), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("primary", NAMES)
@pytest.mark.parametrize("way", NAMES)
@given(world=worlds())
def test_round_trips_return(primary, way, world):
    _, _, alpha, sigma, rates = world
    there = predict(primary, world)
    back = Prediction(there.x, alpha, sigma, **{way: getattr(there, way)}, rates=lambda: rates)
    assert_close(getattr(back, primary), there.value, rtol=1e-10, atol=1e-10)


# which quantities exist at the two ends, from each primary; the others are refused
AT_SIGMA_0 = {
    "score": {"score", "eps", "x0", "v", "velocity"},
    "eps": {"eps", "x0", "v", "velocity"},
    "x0": {"x0"},
    "v": {"eps", "x0", "v", "velocity"},
    "velocity": {"eps", "x0", "v", "velocity"},
}
AT_ALPHA_0 = {
    "score": {"score", "eps"},
    "eps": {"score", "eps"},
    "x0": set(NAMES),
    "v": set(NAMES),
    "velocity": set(NAMES),
}


@pytest.mark.parametrize("primary", NAMES)
@given(world=worlds(sigma=st.just(0.0)))
def test_at_the_data_everything_exists_or_is_refused(primary, world):
    x0, eps, alpha, sigma, rates = world
    if primary == "score":  # finite at sigma = 0, where the expected noise then vanishes
        value, expected = eps, truth(x0, torch.zeros_like(eps), alpha, sigma, rates)
    else:
        expected = truth(*world)
        value = expected[primary]
    prediction = Prediction(alpha * x0, alpha, sigma, **{primary: value}, rates=lambda: rates)
    for name in NAMES:
        if name == primary:
            assert getattr(prediction, name) is value
        elif name in AT_SIGMA_0[primary]:
            assert_close(getattr(prediction, name), expected[name], rtol=1e-10, atol=1e-10)
        else:
            with pytest.raises(SingularError, match=r"does not follow from .* where sigma = 0"):
                getattr(prediction, name)


@pytest.mark.parametrize("primary", NAMES)
@given(world=worlds(alpha=st.just(0.0)))
def test_at_the_prior_everything_exists_or_is_refused(primary, world):
    prediction, expected = predict(primary, world), truth(*world)
    for name in NAMES:
        if name in AT_ALPHA_0[primary]:
            assert_close(getattr(prediction, name), expected[name], rtol=1e-10, atol=1e-10)
        else:
            with pytest.raises(SingularError, match=rf"{name} does not follow from {primary} where alpha = 0"):
                getattr(prediction, name)


@given(worlds(alpha=st.sampled_from([0.0, 1.0]), sigma=st.sampled_from([0.0, 1.0])), st.sampled_from(NAMES))
def test_nothing_is_ever_nan(world, primary):
    x0, _, alpha, sigma, rates = world
    prediction = Prediction(x0, alpha, sigma, **{primary: torch.ones_like(x0)}, rates=lambda: rates)
    for name in NAMES:
        try:
            value = getattr(prediction, name)
        except SingularError:
            continue
        assert bool(torch.isfinite(value).all()), name


PARAMETERIZATIONS = [Score(), Eps(), X0(), V(), Velocity(), SigmaScaled(), EDM(), EDM(sigma_data=1.0), EDM(3.0)]


@pytest.mark.parametrize("read", PARAMETERIZATIONS, ids=repr)
@given(world=worlds())
def test_a_perfect_network_is_read_as_the_truth(read, world):
    x0, eps, alpha, sigma, rates = world
    x = alpha * x0 + sigma * eps
    output = read.target(x0, eps, alpha, sigma, lambda: rates)
    prediction = read.predict(output, x, alpha, sigma, lambda: rates)
    for name, expected in truth(*world).items():
        assert_close(getattr(prediction, name), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("read", [X0(), V(), Velocity(), Eps(), SigmaScaled(), EDM(), EDM(sigma_data=1.0)], ids=repr)
@given(world=worlds(sigma=st.just(0.0)))
def test_a_perfect_network_is_read_at_the_data_too(read, world):
    x0, eps, alpha, sigma, rates = world
    output = read.target(x0, eps, alpha, sigma, lambda: rates)
    prediction = read.predict(output, alpha * x0, alpha, sigma, lambda: rates)
    assert_close(prediction.x0, x0, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("read", [X0(), V(), Velocity(), Eps(), SigmaScaled(), EDM(), Score()], ids=repr)
@given(world=worlds(alpha=st.just(0.0)))
def test_a_perfect_network_is_read_at_the_prior_too(read, world):
    x0, eps, alpha, sigma, rates = world
    output = read.target(x0, eps, alpha, sigma, lambda: rates)
    prediction = read.predict(output, sigma * eps, alpha, sigma, lambda: rates)
    assert_close(prediction.eps, eps, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("primary", NAMES)
@given(world=worlds(), error=st.integers(0, 9))
def test_residual_times_gain_is_the_error_of_x0(primary, world, error):
    x0, eps, alpha, sigma, rates = world
    value = truth(*world)[primary]
    value = value + torch.randn(value.shape, dtype=D, generator=torch.Generator().manual_seed(error))
    x = alpha * x0 + sigma * eps
    prediction = Prediction(x, alpha, sigma, **{primary: value}, rates=lambda: rates)
    residual, gain = prediction.residual(x0, eps)
    assert residual.shape == x0.shape
    # signs differ between quantities; losses see the square
    assert_close((residual * gain).abs(), (prediction.x0 - x0).abs(), rtol=1e-10, atol=1e-10)


@given(worlds(), st.floats(0.1, 10))
@example((torch.ones(1, 1, dtype=D), torch.ones(1, 1, dtype=D), 0.6, 0.8, (-1.0, 1.0)), 1.0)
def test_edm_preconditioning_is_that_of_karras_et_al_in_the_scaled_state(world, sigma_data):
    x0, eps, alpha, sigma, _ = world
    read, x = EDM(sigma_data), alpha * x0 + sigma * eps
    # Karras et al. (2022), eq. 7 and table 1, for the state x / alpha with the noise sigma / alpha
    scaled, noise = x / alpha, sigma / alpha
    power = noise**2 + sigma_data**2
    c_skip, c_out, c_in = sigma_data**2 / power, noise * sigma_data / power**0.5, 1 / power**0.5
    output = (3 * eps).sin()
    assert_close(read.inputs(x, alpha, sigma), c_in * scaled, rtol=1e-12, atol=1e-12)
    found = read.predict(output, x, alpha, sigma).x0
    assert_close(found, c_skip * scaled + c_out * output, rtol=1e-9, atol=1e-9 * float(found.abs().max()))
