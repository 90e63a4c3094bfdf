import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from fokker.component import component
from fokker.errors import ConfigError
from fokker.exact import Gaussian, Mixture
from fokker.label import CNoise
from fokker.model import NetworkModel, ScoreModel
from fokker.noise import PerSample, Recorded, Seeded
from fokker.objective import Denoising, weighted_square
from fokker.parameterization import EDM, X0, Eps, Score, V, Velocity
from fokker.perturbation import VE, VP, Cosine, Perturbation, SubVP
from fokker.prediction import Prediction
from fokker.table import Betas, Sigmas
from fokker.testing.strategies import perturbations
from fokker.weighting import P2, EDMWeight, Likelihood, MinSNR, Sigma2, Simple

D = torch.float64
PERTURBATIONS = [VP(), SubVP(), VE(), Cosine(), Betas(), Sigmas(levels=10)]
U4 = torch.tensor([0.0, 0.25, 0.7, 1 - 2**-53], dtype=D)
WEIGHTINGS = [Simple(), Sigma2(), Likelihood(), MinSNR(), EDMWeight(), P2()]


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=D, generator=torch.Generator().manual_seed(seed))


def expected_loss(objective, model, t, *, mean=0.0, variance=1.0):
    """The loss of 1-d data N(mean, variance) at one time, without Monte Carlo.

    For a model that is affine in the state the loss is quadratic in (x0, eps); three Gauss-Hermite nodes in each, at
    0 and +-sqrt(3) with weights 2/3 and 1/6, integrate polynomials up to the fifth degree exactly.
    """
    nodes, weights = (-(3**0.5), 0.0, 3**0.5), (1 / 6, 2 / 3, 1 / 6)
    x0 = torch.tensor([[mean + variance**0.5 * a] for a, _ in itertools.product(nodes, nodes)], dtype=D)
    eps = torch.tensor([[b] for _, b in itertools.product(nodes, nodes)], dtype=D)
    weight = torch.tensor([v * w for v, w in itertools.product(weights, weights)], dtype=D)
    losses = objective.loss(model, x0, torch.full((9,), t, dtype=D), Recorded([eps]))
    return float((weight * losses).sum())


class Linear(ScoreModel):
    """score = -k (x - b)."""

    def __init__(self, p, k, b=0.0):
        self.p, self.k, self.b = p, k, b

    @property
    def perturbation(self):
        return self.p

    def __call__(self, x, t, cond=None):
        return Prediction(x, *self.p.scales(t, x), score=-self.k * (x - self.b))


@pytest.mark.parametrize(("k", "expected"), [(0.8, 1.6), (1.0, 1.625)])
def test_denoising_score_matching_of_a_linear_score(k, expected):
    # data N(0, 1), noise 0.5, weight 1 on the score: 1/2 E|s + eps / sigma|^2 = 1.25 k^2 / 2 - k + 2, least at k = 0.8
    p = VE(sigma_min=0.5)
    found = expected_loss(Denoising(weighting=Sigma2()), Linear(p, k), 0.0) / 0.5**2
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("p", PERTURBATIONS, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("t", [0.05, 0.5, 1.0])
def test_the_least_loss_is_the_variance_that_the_noise_leaves(p, t):
    mean, variance = 0.7, 0.3
    model = Gaussian(p, torch.tensor([mean], dtype=D), torch.tensor(variance, dtype=D))
    alpha, sigma = p.scales(t, torch.zeros(1))
    time = torch.tensor(t, dtype=D)
    for w in WEIGHTINGS:
        # Var[x0 | x] = variance sigma^2 / (alpha^2 variance + sigma^2)
        least = float(w(p, time)) / 2 * variance * sigma**2 / (alpha**2 * variance + sigma**2)
        found = expected_loss(Denoising(weighting=w), model, t, mean=mean, variance=variance)
        assert found == pytest.approx(least, rel=1e-8)


@pytest.mark.parametrize("p", PERTURBATIONS, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("w", WEIGHTINGS, ids=repr)
def test_every_other_model_has_a_larger_loss(w, p):
    t, objective = 0.4, Denoising(weighting=w)
    alpha, sigma = p.scales(t, torch.zeros(1))
    k, b = 1 / (alpha**2 * 0.3 + sigma**2), alpha * 0.7

    def loss(model):
        return expected_loss(objective, model, t, mean=0.7, variance=0.3)

    least = loss(Linear(p, k, b))
    assert least == pytest.approx(loss(Gaussian(p, torch.tensor([0.7], dtype=D), torch.tensor(0.3, dtype=D))), rel=1e-9)
    for other in (Linear(p, 1.01 * k, b), Linear(p, 0.99 * k, b), Linear(p, k, b + 0.01), Linear(p, k, b - 0.01)):
        assert loss(other) > least * (1 + 1e-9)


class Nothing(nn.Module):
    def forward(self, x, label, cond=None):
        return torch.zeros_like(x)


@pytest.mark.parametrize("p", PERTURBATIONS, ids=lambda p: type(p).__name__)
def test_edm_s_untrained_network_has_a_loss_of_a_half_at_every_level(p):
    # on N(0, 0.25) with sigma_data = 0.5 the zero network is optimal, and its weighted squared error is 1
    model = NetworkModel(Nothing(), p, EDM(sigma_data=0.5), CNoise())
    for t in (0.02, 0.3, 0.7, 1.0):
        found = expected_loss(Denoising(weighting=EDMWeight(sigma_data=0.5)), model, t, variance=0.25)
        assert found == pytest.approx(0.5, rel=1e-9)


def test_the_loss_is_summed_over_dimensions_and_given_per_example():
    p, event = VP(), (2, 3)
    model = Gaussian(p, torch.zeros(event), torch.tensor(0.3))
    x0, eps, t = normal(4, *event), normal(4, *event, seed=1), torch.tensor([0.01, 0.2, 0.5, 1.0], dtype=D)
    found = Denoising(weighting=Simple()).loss(model, x0, t, Recorded([eps]))
    assert found.shape == (4,)
    for i in range(4):
        row = slice(i, i + 1)
        prediction = model(p.perturb(x0[row], t[row], eps[row]), t[row])
        assert found[i].item() == pytest.approx(float((prediction.eps - eps[row]).square().sum()) / 2, rel=1e-9)


@pytest.mark.parametrize("read", [Score(), Eps(), X0(), V(), Velocity(), EDM()], ids=repr)
def test_the_loss_is_that_of_the_predicted_data_whatever_the_network_predicts(read):
    class Sine(nn.Module):
        def forward(self, x, label, cond=None):
            return (2 * x).sin()

    p = VP()
    model = NetworkModel(Sine(), p, read, CNoise())
    x0, eps, t = normal(4, 3), normal(4, 3, seed=1), torch.tensor([0.01, 0.2, 0.5, 1.0], dtype=D)
    error = (model(p.perturb(x0, t, eps), t).x0 - x0).square().sum(1)
    for w in WEIGHTINGS:
        found = Denoising(weighting=w).loss(model, x0, t, Recorded([eps]))
        assert_close(found, w(p, t) * error / 2, rtol=1e-8, atol=0)


@pytest.mark.parametrize("read", [Eps(), V(), EDM()], ids=repr)
@pytest.mark.parametrize("t", [1e-5, 1e-3, 1.0])
def test_losses_are_accurate_in_single_precision(t, read):
    # the difference of two x0 would lose all digits where sigma is 1e-3
    class Small(nn.Module):
        def forward(self, x, label, cond=None):
            return 0.1 * x

    p, x0, eps = VP(), normal(200, 2), normal(200, 2, seed=1)
    time = torch.full((200,), t, dtype=D)
    model, objective = NetworkModel(Small(), p, read, CNoise()), Denoising(weighting=Simple())
    exact = objective.loss(model, x0, time, Recorded([eps]))
    found = objective.loss(model, x0.float(), time, Recorded([eps]))
    assert found.dtype == torch.float32
    assert_close(found.double(), exact, rtol=0, atol=1e-5 * float(exact.max()))


@pytest.mark.parametrize("w", WEIGHTINGS, ids=repr)
def test_single_precision_stays_finite_at_the_least_noise(w):
    p, x0 = VP(t_min=1e-5), normal(5, 2).float()
    model = Mixture(p, torch.ones(2), normal(2, 2), torch.ones(2))
    loss = Denoising(weighting=w).loss(model, x0, torch.full((5,), 1e-5, dtype=D), Seeded(0))
    assert bool(loss.isfinite().all())


def test_the_loss_of_an_example_is_its_own():
    model = Mixture(VP(), torch.ones(2), normal(2, 3), torch.ones(2))
    x0, t = normal(9, 3), torch.linspace(0.1, 0.9, 9, dtype=D)
    together = Denoising().loss(model, x0, t, PerSample(0, range(9), (3,)))
    alone = Denoising().loss(model, x0[4:5], t[4:5], PerSample(0, [4], (3,)))
    assert_close(together[4:5], alone, rtol=1e-12, atol=0)


def test_gradients_reach_the_network_and_the_data_is_left_alone():
    net = nn.Linear(3, 3, dtype=D)

    class Wrapped(nn.Module):
        def forward(self, x, label, cond=None):
            self.cond = cond
            return net(x)

    wrapped = Wrapped()
    x0 = normal(4, 3)
    kept, before, cond = x0.clone(), torch.get_rng_state(), {"label": torch.zeros(4)}
    model = NetworkModel(wrapped, VP(), EDM(), CNoise())
    Denoising().loss(model, x0, torch.full((4,), 0.3, dtype=D), Seeded(0), cond).sum().backward()
    assert bool((net.weight.grad != 0).all()) and torch.equal(x0, kept) and wrapped.cond is cond
    assert torch.equal(torch.get_rng_state(), before)


@given(perturbations(), st.sampled_from(["uniform", "log-snr"]))
def test_times_go_from_t_min_to_1(p, clock):
    u = torch.cat([torch.zeros(1, dtype=D), torch.linspace(0, 1, 101, dtype=D)[1:-1] ** 3, torch.ones(1, dtype=D)])
    if clock == "log-snr" and float(p.log_snr(torch.tensor(p.t_min, dtype=D))) == torch.inf:
        with pytest.raises(ConfigError, match="raise t_min, or set times_in = 'uniform'"):
            Denoising(times_in=clock).times(p, u)
        return
    t = Denoising(times_in=clock).times(p, u)
    assert t.shape == u.shape and t.dtype == D
    assert bool((t >= p.t_min).all() and (t <= 1).all())
    ends = t[[0, -1]].sort().values
    assert_close(ends, torch.tensor([p.t_min, 1.0], dtype=D), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("factor", [1 - 2**-50, 1 + 2**-50], ids=["down", "up"])
def test_times_go_from_t_min_to_1_where_an_inverse_is_rounded(factor):
    class Rounded(VP):
        def time(self, log_snr):
            return super().time(log_snr) * factor

    t = Denoising().times(Rounded(), torch.tensor([0.0, 1.0], dtype=D))
    assert bool((t >= 1e-3).all() and (t <= 1).all())


def test_times_are_spread_as_asked():
    p, u = VP(), torch.linspace(0, 1, 11, dtype=D)
    assert_close(Denoising(times_in="uniform").times(p, u).diff(), torch.full((10,), 0.0999, dtype=D))
    log_snr = p.log_snr(Denoising(times_in="log-snr").times(p, u))
    assert_close(log_snr.diff(), log_snr.diff().mean().expand(10), rtol=1e-8, atol=0)


@pytest.mark.parametrize("w", [Simple(), Sigma2(), MinSNR(), EDMWeight(), P2()], ids=repr)
def test_spread_over_log_snr_the_loss_does_not_depend_on_the_perturbation(w):
    # Kingma et al. (2021), section 5.1: VP and VE between the same log-SNRs
    vp = VP(t_min=0.01)
    least, largest = (-vp.log_snr(torch.tensor([0.01, 1.0], dtype=D)) / 2).exp().tolist()
    ve = VE(sigma_min=least, sigma_max=largest)
    x0, eps, u = (
        normal(50, 2),
        normal(50, 2, seed=1),
        torch.rand(50, dtype=D, generator=torch.Generator().manual_seed(2)),
    )
    losses = []
    for p in (vp, ve):
        model = Mixture(p, torch.ones(2), normal(2, 2), torch.tensor([0.1, 0.5]))
        objective = Denoising(weighting=w, times_in="log-snr")
        losses.append(objective.loss(model, x0, objective.times(p, u), Recorded([eps])))
    assert_close(*losses, rtol=1e-7, atol=1e-9)


def test_every_field_changes_the_loss_or_the_times():
    p, u = VP(), torch.linspace(0.1, 0.9, 5, dtype=D)
    assert not torch.allclose(Denoising(times_in="uniform").times(p, u), Denoising(times_in="log-snr").times(p, u))
    model, x0 = Gaussian(p, torch.zeros(2), torch.tensor(0.3)), normal(5, 2)

    def loss(w):
        return Denoising(weighting=w).loss(model, x0, u, Seeded(0))

    for w, other in (
        (EDMWeight(), Simple()),
        (Simple(), Likelihood()),
        (EDMWeight(), EDMWeight(sigma_data=1.0)),
        (MinSNR(), MinSNR(gamma=2.0)),
        (P2(), P2(k=2.0)),
        (P2(), P2(gamma=0.5)),
    ):
        assert not torch.allclose(loss(w), loss(other))
    with pytest.raises(ConfigError, match=r"Denoising\.weighting must be a Weighting"):
        Denoising(weighting=1.0)


def test_one_time_for_all_is_weighed_like_one_for_each():
    p, x, x0, eps = VP(), normal(3, 2), normal(3, 2, seed=1), normal(3, 2, seed=2)
    model = Gaussian(p, torch.zeros(2), torch.tensor(0.3))
    one, each = torch.tensor(0.4, dtype=D), torch.full((3,), 0.4, dtype=D)
    found = weighted_square(Simple(), p, model(x, one), x0, eps, one)
    assert_close(found, weighted_square(Simple(), p, model(x, each), x0, eps, each))


@component
class Line(Perturbation):
    """alpha = 1 - t and sigma = t: nothing is left of the data at t = 1."""

    t_min: float = 0.01

    def alpha(self, t):
        return 1 - t

    def sigma(self, t):
        return t


def test_an_infinite_log_snr_cannot_be_spread_at_either_end():
    u = torch.tensor([0.0, 0.5], dtype=torch.float64)
    with pytest.raises(ConfigError, match=r"infinite at t = 1, where alpha = 0; set times_in = 'uniform'"):
        Denoising().times(Line(), u)
    with pytest.raises(ConfigError, match=r"infinite at t_min = 0; raise t_min, or set times_in = 'uniform'"):
        Denoising().times(Line(t_min=0.0), u)
    assert Denoising(times_in="uniform").times(Line(), u).tolist() == pytest.approx([0.01, 0.505])


def test_levels_are_trained_alike():
    p = Betas(steps=4)
    assert Denoising(times_in="levels").times(p, U4).tolist() == p.knots.tolist()
    with pytest.raises(ConfigError, match=r"'denoising' trains on the levels of a table; .* times_in = 'log-snr'"):
        Denoising(times_in="levels").times(VP(), U4)
