import pytest
import torch
from torch.testing import assert_close

from fokker.errors import SingularError
from fokker.model import rates_at
from fokker.perturbation import VE, VP
from fokker.prediction import Prediction

D = torch.float64


def test_exactly_one_primary_is_taken():
    x = torch.zeros(1, 2)
    with pytest.raises(TypeError, match="exactly one of score, eps, x0, v, velocity; got 0"):
        Prediction(x, 1.0, 1.0)
    with pytest.raises(TypeError, match="got 2"):
        Prediction(x, 1.0, 1.0, eps=x, x0=x)


def test_nothing_is_computed_before_it_is_asked():
    x = torch.zeros(1, 2)
    prediction = Prediction(x, 0.0, 0.0, eps=x, rates=lambda: pytest.fail("nobody asked for a velocity"))
    assert prediction.eps is x and prediction.value is x and prediction.primary == "eps"


def test_a_velocity_needs_rates():
    x = torch.ones(1, 2)
    with pytest.raises(TypeError, match="pass rates= to Prediction"):
        _ = Prediction(x, 0.6, 0.8, eps=x).velocity
    with pytest.raises(TypeError, match="pass rates= to Prediction"):
        _ = Prediction(x, 0.6, 0.8, velocity=x).x0
    assert Prediction(x, 0.6, 0.8, velocity=x).velocity is x


@pytest.mark.parametrize("t", [0.0, torch.tensor([0.0, 0.5], dtype=D)])
def test_a_velocity_is_refused_where_sigma_has_no_derivative(t):
    # sigma of VP grows with the square root of t
    x = torch.ones(2, 3, dtype=D)
    prediction = Prediction(x, *VP().scales(t, x), v=x, rates=rates_at(VP(), t, x))
    with pytest.raises(SingularError, match="sigma' does not exist at this time; keep t above t_min"):
        _ = prediction.velocity
    assert_close(
        Prediction(x, *VE().scales(t, x), v=x, rates=rates_at(VE(), t, x)).velocity.isnan().any().item(), False
    )


def test_the_velocity_is_the_drift_of_the_probability_flow():
    p, t = VP(), 0.4
    x, score = torch.randn(2, 3, 4, dtype=D, generator=torch.Generator().manual_seed(0)).unbind(0)
    prediction = Prediction(x, *p.scales(t, x), score=score, rates=rates_at(p, t, x))
    time = torch.tensor(t, dtype=D)
    # Song et al. (2021), eq. 13
    assert_close(prediction.velocity, p.drift(time) * x - p.diffusion(time) ** 2 * score / 2, rtol=1e-12, atol=1e-14)


def test_v_is_the_velocity_of_the_angle():
    # Salimans & Ho (2022), appendix D: with alpha = cos(u), sigma = sin(u), v = dx/du
    x = torch.tensor([[0.3, -1.0]], dtype=D)
    u = torch.tensor(0.7, dtype=D)
    alpha, sigma = float(u.cos()), float(u.sin())
    prediction = Prediction(x, alpha, sigma, eps=torch.tensor([[1.0, 2.0]], dtype=D), rates=lambda: (-sigma, alpha))
    assert_close(prediction.v, prediction.velocity)


def test_an_error_can_be_caught_as_arithmetic():
    x = torch.zeros(1, 2)
    with pytest.raises(ArithmeticError):
        _ = Prediction(x, 0.0, 1.0, eps=x).x0


def test_a_vanishing_scale_of_one_example_is_refused_too():
    x = torch.zeros(2, 2)
    alpha = torch.tensor([[1.0], [0.0]])
    with pytest.raises(
        SingularError, match="x0 does not follow from eps where alpha = 0; take another parameterization"
    ):
        _ = Prediction(x, alpha, torch.ones(2, 1), eps=x).x0


def test_a_residual_is_refused_where_its_gain_is_infinite():
    x = torch.ones(1, 2)
    with pytest.raises(SingularError, match="alpha = 0"):
        Prediction(x, 0.0, 1.0, eps=x).residual(x, x)
    with pytest.raises(SingularError, match="sigma = 0"):
        Prediction(x, 1.0, 0.0, score=x).residual(x, x)


def test_a_learned_variance_is_kept():
    x = torch.zeros(1, 2)
    assert Prediction(x, 1.0, 1.0, eps=x).log_var is None
    assert Prediction(x, 1.0, 1.0, eps=x, log_var=x).log_var is x


@pytest.mark.parametrize("sigma", [1e-3, 1.0, 50.0, 1e4])
@pytest.mark.parametrize("alpha", [1e-3, 1.0])
def test_v_is_read_accurately_in_single_precision(alpha, sigma):
    x0, eps = torch.randn(2, 1, 1000, dtype=D, generator=torch.Generator().manual_seed(0)).unbind(0)
    x, v = alpha * x0 + sigma * eps, alpha * eps - sigma * x0
    prediction = Prediction(x.float(), alpha, sigma, v=v.float())
    # x0 and eps are orthogonal combinations of x and v, over sqrt(alpha^2 + sigma^2)
    size = max(alpha, sigma) / (alpha**2 + sigma**2) ** 0.5
    assert_close(prediction.x0.double(), x0, rtol=0, atol=2e-6 * size)
    assert_close(prediction.eps.double(), eps, rtol=0, atol=2e-6 * size)


PRIMARIES = ("score", "eps", "x0", "v", "velocity")


def predicted(primary, alpha, sigma, shape=(4, 3)):
    """A prediction whose quantities are known, with its x, x0 and eps."""
    x0, eps = torch.randn(2, *shape, dtype=D, generator=torch.Generator().manual_seed(1)).unbind(0)
    rates = (-0.3, 0.7)
    values = {
        "score": eps / -sigma,
        "eps": eps,
        "x0": x0,
        "v": alpha * eps - sigma * x0,
        "velocity": rates[0] * x0 + rates[1] * eps,
    }
    x = alpha * x0 + sigma * eps
    return Prediction(x, alpha, sigma, **{primary: values[primary]}, rates=lambda: rates), x, x0, eps


@pytest.mark.parametrize("primary", PRIMARIES)
@pytest.mark.parametrize("scale", ["float", "tensor"])
@pytest.mark.parametrize(
    "factors",
    [
        {"x0": 0.3, "eps": -1.2},
        {"x": 1.0, "score": 0.4},
        {"x": -0.5, "x0": 2.0},
        {"eps": 1.5},
        {"x0": 1.0},
        {"score": -2.0},
        {"x": 0.7},
        {"x": 0.2, "x0": -0.4, "eps": 0.6, "score": 0.8},
    ],
    ids=lambda f: "+".join(f),
)
def test_a_sum_of_what_follows_is_that_sum_of_the_state_and_the_primary(primary, scale, factors):
    alpha, sigma = 0.8, 0.45
    if scale == "tensor":
        alpha, sigma = torch.linspace(0.5, 0.9, 4, dtype=D)[:, None], torch.linspace(0.8, 0.2, 4, dtype=D)[:, None]
        factors = {name: torch.full((4, 1), value, dtype=D) for name, value in factors.items()}
    q, x, x0, eps = predicted(primary, alpha, sigma)
    parts = {"x": x, "x0": x0, "eps": eps, "score": eps / -sigma}
    found = q.linear(**factors)
    assert_close(found, sum(value * parts[name] for name, value in factors.items()), rtol=1e-12, atol=1e-13)
    of_x, of_primary = q.factors(**factors)
    assert_close(found, of_x * x + of_primary * q.value)


@pytest.mark.parametrize("primary", PRIMARIES)
@pytest.mark.parametrize(
    "factors", [{"x": 1.0}, {"x0": 1.0}, {"eps": 1.0}, {"score": 1.0}, {"x": 1.0, "x0": 0.5}], ids=lambda f: "+".join(f)
)
def test_a_sum_is_a_tensor_of_its_own(primary, factors):
    q, x, _, _ = predicted(primary, 0.8, 0.45)
    before, value = x.clone(), q.value.clone()
    q.linear(**factors).fill_(7.0)
    assert torch.equal(x, before)
    assert torch.equal(q.value, value)


def test_what_has_no_factor_need_not_exist():
    x = torch.ones(1, 2, dtype=D)
    assert_close(Prediction(x, 0.0, 1.0, eps=2 * x).linear(x=3.0, eps=0.5), 4 * x)
    assert_close(Prediction(x, 1.0, 0.0, x0=2 * x).linear(x0=0.5), x)
    assert_close(Prediction(x, 1.0, 0.0, score=2 * x).linear(x=1.0, score=0.5), 2 * x)
    assert_close(Prediction(x, 1.0, 0.0, score=2 * x).linear(x0=1.0), x)
    with pytest.raises(SingularError, match="score does not follow from eps where sigma = 0"):
        Prediction(x, 1.0, 0.0, eps=x).linear(score=1.0)


@pytest.mark.parametrize("primary", PRIMARIES)
def test_a_sum_takes_two_passes_over_the_data(primary):
    from torch.utils._python_dispatch import TorchDispatchMode

    class Passes(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.count += 1
            return func(*args, **(kwargs or {}))

    q, *_ = predicted(primary, 0.8, 0.45)
    with Passes() as passes:
        q.linear(x=0.3, x0=0.5, eps=0.2, score=0.1)
    assert passes.count == 2
