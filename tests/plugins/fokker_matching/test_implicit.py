"""Explicit and sliced score matching against formulas; their optima are the conformance kit's."""

import itertools

import pytest
import torch
from torch.testing import assert_close

from fokker.errors import ConfigError
from fokker.noise import Recorded, Seeded, Zero
from fokker.perturbation import VE, VP
from fokker.table import Sigmas
from fokker.vanishing import Vanishing
from fokker.weighting import Likelihood, ScoreError, Sigma2
from fokker_matching.explicit import Explicit
from fokker_matching.implicit import score_weight
from fokker_matching.sliced import Sliced, SlicedVR, direction

D = torch.float64
OBJECTIVES = [Explicit(), Sliced(), SlicedVR()]

each = pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: type(o).__name__)
energies = pytest.mark.parametrize("energy", [False, True])


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=D, generator=torch.Generator().manual_seed(seed))


@energies
@each
@pytest.mark.parametrize("k", [0.5, 1.0, 2.0])
def test_a_linear_score_of_a_standard_normal_number(objective, k, energy, linear):
    """E[k^2 x^2 / 2 - k] = k^2 / 2 - k, least at k = 1; in one dimension slices are the whole.

    The losses are quadratic in the data, so two points at +-1 have its mean.
    """
    x0, t = torch.tensor([[1.0], [-1.0]], dtype=D), torch.tensor([0.0, 1.0], dtype=D)
    loss = objective.loss(linear(Vanishing(), k, energy), x0, t, Zero())
    assert loss.mean().item() == pytest.approx(k**2 / 2 - k, rel=1e-12)


def probes(d):
    return torch.tensor(list(itertools.product([-1.0, 1.0], repeat=d)), dtype=D)


@energies
@pytest.mark.parametrize("p", [Vanishing(), VE(), VP()], ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("d", [1, 3, 4])
def test_the_mean_over_all_probes_is_the_exact_trace(d, p, energy, wave):
    """2^d Rademacher probes, each a direction of its own; the expectation of (v^T s)^2 is |s|^2 too."""
    model, n = wave(p, d, energy), 2**d
    x0, z, t = normal(3, d), normal(3, d, seed=1), torch.tensor([0.1, 0.5, 0.9], dtype=D)
    exact = Explicit().loss(model, x0, t, Recorded([z]))
    draws = [z, *(v.expand(3, d) for v in probes(d))]
    for objective in (Sliced(projections=n), SlicedVR(projections=n)):
        assert_close(objective.loss(model, x0, t, Recorded(draws)), exact, rtol=1e-9, atol=1e-12)


def test_hutchinson_has_the_least_variance_with_rademacher_probes():
    """A = [[2, 1, 0], [1, -1, 1/2], [0, 1/2, 3]]: trace 4, variance 2 sum of the squares off the diagonal = 5."""
    a = torch.tensor([[2.0, 1.0, 0.0], [1.0, -1.0, 0.5], [0.0, 0.5, 3.0]], dtype=D)
    forms = torch.einsum("ni,ij,nj->n", probes(3), a, probes(3))
    assert forms.mean().item() == pytest.approx(4, abs=1e-12)
    assert forms.var(correction=0).item() == pytest.approx(5, abs=1e-12)


@pytest.mark.parametrize("law", ["rademacher", "gaussian", "sphere"])
def test_directions_have_unit_covariance(law):
    x = torch.zeros(20000, 2, 3, dtype=D)
    v = direction(law, x, Seeded(0)).flatten(1)
    assert_close(v.T @ v / len(v), torch.eye(6, dtype=D), rtol=0, atol=0.06)
    if law != "gaussian":
        assert_close(v.norm(dim=1), torch.full((20000,), 6**0.5, dtype=D))


def test_a_direction_of_length_zero_stays_there():
    assert direction("sphere", torch.zeros(2, 1), Zero()).tolist() == [[0.0], [0.0]]


@each
def test_the_loss_is_in_single_precision_what_it_is_in_double(objective, wave):
    model, x0, t = wave(Vanishing(), 3), normal(4, 3), torch.linspace(0, 1, 4, dtype=D)
    draws = normal(2, 4, 3, seed=1).sign()
    expected = objective.loss(model, x0, t, Recorded(draws)).detach()
    model.backbone.float()
    found = objective.loss(model, x0.float(), t, Recorded(draws.float())).detach()
    assert found.dtype == torch.float32
    assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)


@each
def test_nothing_is_kept_in_validation_and_the_data_is_left_alone(objective, wave):
    model, t = wave(VE(), 3), torch.linspace(0, 1, 4, dtype=D)
    x0 = normal(4, 3).requires_grad_()
    with torch.no_grad():
        loss = objective.loss(model, x0, t, Seeded(0))
    assert not loss.requires_grad
    objective.loss(model, x0, t, Seeded(0)).sum().backward()
    assert x0.grad is None


@pytest.mark.parametrize("weighting", [Sigma2(), Likelihood()], ids=lambda w: type(w).__name__)
@each
def test_a_weighting_is_that_of_the_error_of_the_score(objective, weighting, wave):
    p, t = VP(), torch.tensor([0.1, 0.5, 0.9], dtype=D)
    model, x0 = wave(p, 3), normal(3, 3)
    plain = objective.loss(model, x0, t, Seeded(0))
    weighted = type(objective)(weighting=weighting).loss(model, x0, t, Seeded(0))
    factor = p.sigma(t) if isinstance(weighting, Sigma2) else p.diffusion(t)
    assert_close(weighted, factor**2 * plain, rtol=1e-9, atol=0)


@pytest.mark.parametrize("p", [Vanishing(sigma_data=0.1), VE(), VP(), Sigmas()], ids=lambda p: type(p).__name__)
def test_score_is_weight_one(p):
    t = torch.linspace(0.01, 1, 7, dtype=D)
    weight = score_weight(ScoreError(), p, t, torch.zeros(7, 2))
    assert weight.dtype == torch.float32
    assert_close(weight, torch.ones(7), rtol=1e-6, atol=0)


@each
def test_levels_are_those_of_a_table(objective):
    on_levels = type(objective)(times_in="levels")
    p, u = Sigmas(levels=4), torch.tensor([0.0, 0.3, 0.6, 0.99], dtype=D)
    assert_close(on_levels.times(p, u), p.knots)
    name = {"Explicit": "explicit", "Sliced": "sliced", "SlicedVR": "sliced-vr"}[type(objective).__name__]
    with pytest.raises(ConfigError, match=f"The objective '{name}' trains on the levels of a table; VP is continuous"):
        on_levels.times(VP(), u)


def test_explicit_refuses_many_dimensions_unless_asked(wave):
    message = r"a backward pass for each of 129 dimensions, and at most 128 .*; use 'sliced' .* max_dimensions = 129"
    x0, t = normal(1, 129), torch.ones(1, dtype=D)
    with pytest.raises(ConfigError, match=message):
        Explicit().check((1, 129))
    with pytest.raises(ConfigError, match=message):
        Explicit().loss(wave(Vanishing(), 129), x0, t, Seeded(0))
    asked = Explicit(max_dimensions=129)
    asked.check((129,))
    assert bool(asked.loss(wave(Vanishing(), 129), x0, t, Seeded(0)).isfinite())
    Explicit().check((8, 16))
    Sliced().check((3, 1000, 1000))
