import math

import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal
from torch.testing import assert_close

from fokker.errors import ConfigError, SingularError
from fokker.exact import Empirical, Gaussian, Mixture, PointMass
from fokker.noise import PerSample, Seeded
from fokker.perturbation import VE, VP, Cosine, SubVP
from fokker.table import Betas, Sigmas

D = torch.float64
PERTURBATIONS = [VP(), SubVP(), VE(), Cosine(), Betas(), Sigmas(levels=10)]


def tensor(*values):
    return torch.tensor(values, dtype=D)


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=D, generator=torch.Generator().manual_seed(seed))


def covariance(d, rank=None, seed=1):
    root = normal(d, d if rank is None else rank, seed=seed)
    return root @ root.T


def laws(p, d=3):
    """A law of each kind, in d dimensions."""
    weights, means = tensor(0.2, 0.5, 0.3), 2 * normal(3, d)
    return {
        "one variance": Gaussian(p, means[0], torch.tensor(0.7, dtype=D)),
        "diagonal": Gaussian(p, means[0], tensor(0.3, 2.0, 0.0)[:d]),
        "full": Gaussian(p, means[0], covariance(d)),
        "singular": Gaussian(p, means[0], covariance(d, rank=1)),
        "mixture": Mixture(p, weights, means, tensor(0.1, 0.7, 2.0)),
        "mixture of diagonals": Mixture(p, weights, means, normal(3, d) ** 2),
        "mixture of any": Mixture(p, weights, means, torch.stack([covariance(d, seed=k) for k in range(3)])),
        "empirical": Empirical(p, means),
        "point": PointMass(p, means[0]),
    }


KINDS = list(laws(VP()))


@pytest.mark.parametrize("p", PERTURBATIONS, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_the_score_is_the_gradient_of_the_log_density(kind, p):
    law = laws(p)[kind]
    for t in (0.1, torch.tensor(0.5, dtype=D), tensor(0.05, 0.4, 0.7, 1.0)):
        x = normal(4, 3, seed=5).requires_grad_()
        (gradient,) = torch.autograd.grad(law.log_prob(x, t).sum(), x)
        assert_close(law.score(x, t), gradient, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("p", PERTURBATIONS, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_the_prediction_is_tweedie_s_formula(kind, p):
    law = laws(p)[kind]
    x = normal(4, 3, seed=5)
    for t in (0.1, tensor(0.05, 0.4, 0.7, 1.0)):
        alpha, sigma = p.scales(t, x)
        prediction, score = law(x, t), law.score(x, t)
        # Efron (2011): E[x0 | x] = (x + sigma^2 score) / alpha
        assert_close(alpha * prediction.x0, x + sigma**2 * score, rtol=1e-9, atol=1e-9 * float(p.prior_std))
        assert_close(prediction.eps, -sigma * score, rtol=1e-9, atol=1e-9)
        assert_close(prediction.score, score, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("p", PERTURBATIONS, ids=lambda p: type(p).__name__)
def test_densities_are_those_of_torch(p):
    weights, means = tensor(0.2, 0.5, 0.3), 2 * normal(3, 4)
    covariances = torch.stack([covariance(4, seed=k) for k in range(3)])
    law, x, t = Mixture(p, 10 * weights, means, covariances), normal(5, 4, seed=9), 0.3
    alpha, sigma = p.scales(t, x)
    spread = alpha**2 * covariances + sigma**2 * torch.eye(4, dtype=D)
    expected = MixtureSameFamily(Categorical(weights), MultivariateNormal(alpha * means, spread))
    assert_close(law.log_prob(x, t), expected.log_prob(x), rtol=1e-10, atol=1e-10)
    one = Gaussian(p, means[1], covariances[1])
    assert_close(
        one.log_prob(x, t), MultivariateNormal(alpha * means[1], spread[1]).log_prob(x), rtol=1e-10, atol=1e-10
    )


def test_log_densities_of_gaussian_data():
    # N(0, 0.25 I) at x = (0.3, -0.7), t = 1e-5, evaluated in float64 from the closed form
    x, variance = tensor(0.3, -0.7).unsqueeze(0), torch.tensor(0.25, dtype=D)
    for p, expected in ((VP(), -1.6115822248), (VE(), -1.6115188000), (SubVP(), -1.6115828654)):
        found = Gaussian(p, torch.zeros(2), variance).log_prob(x, 1e-5)
        assert found.item() == pytest.approx(expected, abs=5.1e-11)
    assert Gaussian(VP(), torch.zeros(2), variance).log_prob(x, 0.0).item() == pytest.approx(-1.6115827053, abs=5.1e-11)


@pytest.mark.parametrize(
    ("p", "expected"),
    [(VP(), -1.6115770432), (VE(), -1.6115347586), (SubVP(), -1.6115707765)],
    ids=["VP", "VE", "SubVP"],
)
def test_likelihoods_of_the_probability_flow_from_1e_5_to_the_prior(p, expected):
    law, x = Gaussian(p, torch.zeros(2), torch.tensor(0.25, dtype=D)), tensor(0.3, -0.7).unsqueeze(0)
    jacobian = torch.autograd.functional.jacobian(lambda y: law.flow(y, 1e-5, 1.0)[0], x)[:, 0]
    prior = torch.distributions.Normal(0.0, torch.tensor(p.prior_std, dtype=D))
    found = prior.log_prob(law.flow(x, 1e-5, 1.0)).sum() + jacobian.det().log()
    assert found.item() == pytest.approx(expected, abs=5.1e-11)


def test_the_mixture_of_two_normals_seen_through_vp():
    # w = (.3, .7), m = (-2, 1), s = (.5, .8): x, t, log density, score
    law = Mixture(VP(), tensor(0.3, 0.7), tensor(-2.0, 1.0).unsqueeze(1), tensor(0.25, 0.64))
    for x, t, log_prob, score in (
        (0.0, 0.0, -1.8332176170, 1.5576978778),
        (0.0, 0.25, -1.3787989540, 0.5358781591),
        (0.5, 0.5, -1.0666650720, -0.4031561974),
        (-1.0, 0.1, -2.4943736494, -1.3224639921),
    ):
        assert law.log_prob(tensor(x).unsqueeze(1), t).item() == pytest.approx(log_prob, abs=5.1e-11)
        assert law.score(tensor(x).unsqueeze(1), t).item() == pytest.approx(score, abs=5.1e-11)


FLOWS = ["one variance", "diagonal", "full", "singular"]


@pytest.mark.parametrize("p", PERTURBATIONS, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("kind", FLOWS)
def test_the_flow_solves_the_probability_flow_ode(kind, p):
    law, x, h = laws(p)[kind], normal(4, 3, seed=5), 1e-6
    for s in (0.2, 0.77):
        slope = (law.flow(x, 0.6, s + h) - law.flow(x, 0.6, s - h)) / (2 * h)
        velocity = law(law.flow(x, 0.6, s), s).velocity
        assert_close(slope, velocity, rtol=1e-5, atol=1e-5 * float(velocity.abs().max()))


@pytest.mark.parametrize("p", PERTURBATIONS, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("kind", FLOWS)
def test_the_flow_carries_marginals_to_marginals(kind, p):
    law, t, s = laws(p)[kind], 0.8, 0.1
    offset = law.flow(torch.zeros(1, 3, dtype=D), t, s)
    matrix = (law.flow(torch.eye(3, dtype=D), t, s) - offset).T
    (mean_t, covariance_t), (mean_s, covariance_s) = law.marginal(t), law.marginal(s)
    assert_close(matrix @ mean_t + offset[0], mean_s, rtol=1e-10, atol=1e-10)
    assert_close(matrix @ covariance_t @ matrix.T, covariance_s, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", FLOWS)
def test_the_flow_composes_and_returns(kind):
    law, x = laws(VP())[kind], normal(4, 3, seed=5)
    assert_close(law.flow(law.flow(x, 0.8, 0.5), 0.5, 0.1), law.flow(x, 0.8, 0.1), rtol=1e-10, atol=1e-10)
    assert_close(law.flow(law.flow(x, 0.8, 0.1), 0.1, 0.8), x, rtol=1e-10, atol=1e-10)
    assert_close(law.flow(x, 0.5, 0.5), x, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(), (3,), (3, 3)], ids=str)
def test_a_gaussian_tells_its_mean_and_covariance(shape):
    given = {(): torch.tensor(0.4, dtype=D), (3,): tensor(0.1, 0.5, 2.0), (3, 3): covariance(3)}[shape]
    law = Gaussian(VP(), tensor(1.0, -1.0, 0.5), given)
    full = given if given.ndim == 2 else given.expand(3).diag()
    assert_close(law.covariance, full, rtol=0, atol=1e-12)
    assert_close(law.mean, tensor(1.0, -1.0, 0.5), rtol=0, atol=0)


@pytest.mark.parametrize("kind", FLOWS)
def test_marginals_follow_from_the_data_and_the_transitions(kind):
    p = VP()
    law = laws(p)[kind]
    s, t = 0.3, 0.7
    a, v = p.transition(torch.tensor(s, dtype=D), torch.tensor(t, dtype=D))
    (mean_s, covariance_s), (mean_t, covariance_t) = law.marginal(s), law.marginal(t)
    assert_close(a * mean_s, mean_t)
    assert_close(a**2 * covariance_s + v**2 * torch.eye(3, dtype=D), covariance_t)
    mean, data = law.marginal(0.0)
    expected = {"one variance": 0.7 * torch.eye(3, dtype=D), "diagonal": tensor(0.3, 2.0, 0.0).diag()}
    expected |= {"full": covariance(3), "singular": covariance(3, rank=1)}
    assert_close(data, expected[kind], rtol=1e-10, atol=1e-10)
    assert_close(mean, 2 * normal(3, 3)[0])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("empirical", "point")])
def test_draws_have_the_law_s_score(kind):
    law, n = laws(VP())[kind], 20_000
    x0 = law.draw(n, Seeded(0))
    assert x0.shape == (n, 3) and x0.dtype == D
    # Stein's identities E[score] = 0 and E[x score^T] = -I, for draws of the score's own law alone
    x = VP().perturb(x0, 0.2, normal(n, 3, seed=3))
    score = law.score(x, 0.2)
    products = x.unsqueeze(2) * score.unsqueeze(1)
    assert bool((score.mean(0).abs() < 4 * score.std(0) / n**0.5).all())
    assert bool(((products.mean(0) + torch.eye(3, dtype=D)).abs() < 4 * products.std(0) / n**0.5).all())


@pytest.mark.parametrize("kind", ["empirical", "point"])
def test_draws_of_a_data_set_are_its_examples(kind):
    law, n = laws(VP())[kind], 3000
    chosen = (law.draw(n, Seeded(0)).unsqueeze(1) == law.means).all(-1).double()
    assert bool((chosen.sum(1) == 1).all())
    assert_close(chosen.mean(0), law.weights, rtol=0, atol=4 * 0.5 / n**0.5)


def test_draws_follow_the_weights():
    law = Mixture(VP(), tensor(1.0, 0.0, 3.0), tensor(-1.0, 0.0, 1.0).unsqueeze(1), torch.zeros(3))
    x = law.draw(10_000, Seeded(0)).flatten()
    assert set(x.tolist()) == {-1.0, 1.0}
    assert (x > 0).double().mean().item() == pytest.approx(0.75, abs=4 * (0.75 * 0.25 / 10_000) ** 0.5)


def test_draws_of_a_sample_are_its_own():
    law = laws(VP())["mixture of any"]
    together = law.draw(8, PerSample(0, range(8), (3,)))
    assert_close(law.draw(2, PerSample(0, [5, 1], (3,))), together[[5, 1]], rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("event", [(2,), (16,), (1, 28), (3, 7, 5), (1, 2, 3, 4)], ids=str)
def test_states_may_have_any_shape(event):
    d = math.prod(event)
    flat = Mixture(VP(), tensor(0.3, 0.7), normal(2, d), torch.stack([covariance(d, seed=k) for k in range(2)]))
    law = Mixture(
        VP(), tensor(0.3, 0.7), normal(2, d).reshape(2, *event), torch.stack([covariance(d, seed=k) for k in range(2)])
    )
    x = normal(3, *event, seed=4)
    for t in (0.4, tensor(0.2, 0.5, 1.0)):
        assert law.log_prob(x, t).shape == (3,)
        assert_close(law.log_prob(x, t), flat.log_prob(x.flatten(1), t))
        assert_close(law.score(x, t), flat.score(x.flatten(1), t).reshape(x.shape))
        assert_close(law(x, t).x0, flat(x.flatten(1), t).x0.reshape(x.shape))
    assert law.event_shape == event and law.draw(2, Seeded(0)).shape == (2, *event)


def test_a_singular_law_predicts_inside_its_support():
    direction = tensor(0.6, 0.0, 0.8)
    law = Gaussian(VP(), torch.zeros(3), direction.outer(direction))
    x = normal(5, 3)
    for t in (1e-4, 0.3, 1.0):
        x0 = law(x, t).x0
        across = x0 - (x0 @ direction).unsqueeze(1) * direction
        assert float(across.abs().max()) < 1e-10
    # along its direction the data has variance 1, and so the prediction is alpha x
    alpha, _ = VP().scales(0.3, x)
    assert_close(law(x, 0.3).x0 @ direction, alpha * (x @ direction), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", ["diagonal", "singular", "empirical", "point"])
def test_a_singular_law_has_no_density_without_noise(kind):
    law, x = laws(VP())[kind], normal(2, 3)
    for ask in (law, law.score, law.log_prob):
        for t in (0.0, tensor(0.0, 0.5)):
            with pytest.raises(SingularError, match="no density where sigma = 0"):
                ask(x, t)
    assert bool(laws(VE())[kind].log_prob(x, 0.0).isfinite().all())


@pytest.mark.parametrize("p", [VP(), VE(), VE(sigma_min=1e-3, sigma_max=1e4), Sigmas(), Betas()], ids=repr)
@pytest.mark.parametrize("kind", KINDS)
def test_single_precision_is_as_good_as_the_state_it_is_given(kind, p):
    law = laws(p)[kind]
    for t in (1e-5, 1e-3, 0.3, 1.0):
        alpha, sigma = p.scales(t, torch.zeros(1))
        x0 = law.draw(50, Seeded(0))
        x = (alpha * x0 + sigma * normal(50, 3, seed=2)).float()
        exact, found = law(x.double(), t), law(x, t)
        assert found.x0.dtype == torch.float32
        size = 1 + float(law.means.abs().max())
        # alpha m is rounded by 6e-8 of its size, which the noise sees over sigma
        assert_close(found.x0.double(), exact.x0, rtol=0, atol=1e-6 * size)
        assert_close(found.eps.double(), exact.eps, rtol=0, atol=1e-6 * (1 + size / sigma))


def test_an_empirical_law_is_the_nearest_example_at_little_noise_and_the_mean_at_much():
    data = normal(6, 2, 3)
    law = Empirical(VE(sigma_min=1e-3, sigma_max=1e4), data)
    assert_close(law(data + 1e-3, 0.0).x0, data, rtol=0, atol=1e-12)
    assert_close(law(1e4 * normal(6, 2, 3, seed=2), 1.0).x0, data.mean(0).expand(6, 2, 3), rtol=0, atol=1e-2)


def test_an_empirical_law_of_one_example_is_a_point():
    point, x = normal(2, 3), normal(4, 2, 3, seed=1)
    law = PointMass(VP(), point)
    assert_close(law(x, 0.4).x0, point.expand(4, 2, 3))
    assert_close(Empirical(VP(), point.unsqueeze(0))(x, 0.4).eps, law(x, 0.4).eps)


def test_far_from_all_components_nothing_overflows():
    law = laws(VE())["mixture"]
    x = torch.full((1, 3), 1e6, dtype=D)
    assert bool(law(x, 0.0).eps.isfinite().all()) and bool(law.log_prob(x, 0.0).isfinite().all())
    assert bool(law(x.float(), 0.0).eps.isfinite().all())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mixture(VP(), torch.ones(2), torch.zeros(3, 2), torch.ones(3)), r"takes weights \(3,\)"),
        (lambda: Mixture(VP(), torch.ones(3), torch.zeros(3, 2), torch.ones(2)), r"got \(3,\) and \(2,\)"),
        (lambda: Mixture(VP(), -torch.ones(2), torch.zeros(2, 2), torch.ones(2)), r"weights of at least 0"),
        (lambda: Mixture(VP(), torch.zeros(2), torch.zeros(2, 2), torch.ones(2)), r"not all of them 0"),
        (lambda: Gaussian(VP(), torch.zeros(2), torch.tensor(-1.0)), "variances of at least 0"),
        (lambda: Gaussian(VP(), torch.zeros(2), tensor(1.0, -1.0).diag()), "positive semi-definite"),
        (lambda: Gaussian(VP(), torch.zeros(2), torch.ones(3)), r"got \(1,\) and \(1, 3\)"),
    ],
)
def test_impossible_laws_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
