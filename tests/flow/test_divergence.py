"""Divergences of linear fields, where every law is a formula."""

import itertools

import pytest
import torch

from fokker.errors import ConfigError
from fokker.flow import Exact, Hutchinson
from fokker.noise import PerSample, Recorded

D = torch.float64
A = torch.tensor([[2.0, 1.0, 0.0], [1.0, -1.0, 0.5], [0.0, 0.5, 3.0]], dtype=D)
SIGNS = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=3)), dtype=D)


def estimates(rule, probes, matrix=A, event=(3,)):
    """Estimates of the divergence of u = A x + sin-free rest, for one state and the given probes (K, 3)."""
    x = torch.ones(1, *event, dtype=D, requires_grad=True)
    u = (x.flatten(1) @ matrix.T).reshape(x.shape)
    return rule.estimates(u, x, probes.reshape(1, -1, *event))[0]


@pytest.mark.parametrize("event", [(3,), (1, 3), (3, 1, 1)])
def test_all_rademacher_probes_give_the_trace_and_the_variance(event):
    found = estimates(Hutchinson(8), SIGNS, event=event)
    assert float(found.mean()) == pytest.approx(4, abs=1e-12)
    assert float(found.var(correction=0)) == pytest.approx(5, abs=1e-12)


def test_the_variance_of_a_matrix_that_is_not_symmetric_is_the_formula():
    matrix = A + torch.tensor([[0.0, 3.0, -1.0], [0.0, 0.0, 2.0], [0.0, 0.0, 0.0]], dtype=D)
    off = matrix - matrix.diag().diag()
    formula = (off**2).sum() + (off * off.T).sum()
    assert float(estimates(Hutchinson(8), SIGNS, matrix).var(correction=0)) == pytest.approx(float(formula))


def test_gaussian_probes_have_the_variance_of_the_formula():
    """By the nodes of Gauss and Hermite, which are exact for the fourth moments that a variance needs."""
    nodes = torch.tensor([-(3**0.5), 0.0, 3**0.5], dtype=D)
    weights = torch.tensor([1 / 6, 2 / 3, 1 / 6], dtype=D)
    probes = torch.tensor(list(itertools.product(nodes.tolist(), repeat=3)), dtype=D)
    weight = torch.tensor(list(itertools.product(weights.tolist(), repeat=3)), dtype=D).prod(1)
    found = estimates(Hutchinson(27, "gaussian"), probes)
    assert float((weight * found).sum()) == pytest.approx(4, abs=1e-12)
    assert float((weight * (found - 4) ** 2).sum()) == pytest.approx(33, abs=1e-12)


@pytest.mark.parametrize("event", [(3,), (1, 3), (3, 1, 1)])
def test_the_exact_divergence_is_the_trace(event):
    rule = Exact()
    probes = rule.probes(torch.ones(1, *event, dtype=D), Recorded([]))
    assert probes.shape == (1, 0, *event)
    found = estimates(rule, probes, event=event)
    assert found.tolist() == pytest.approx([4.0])


def test_a_nonlinear_field_is_taken_where_it_is():
    x = torch.tensor([[0.3, -1.2], [2.0, 0.1]], dtype=D, requires_grad=True)
    u = torch.stack([x[:, 0] ** 2 * x[:, 1], x[:, 1].sin()], 1)
    expected = 2 * x[:, 0] * x[:, 1] + x[:, 1].cos()
    found = Exact().estimates(u, x, x.new_empty(2, 0, 2))[:, 0]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("law", ["rademacher", "gaussian"])
def test_the_probes_of_an_example_are_its_own(law):
    rule = Hutchinson(3, law)
    x = torch.empty(6, 2, 5, dtype=D)
    whole = rule.probes(x, PerSample(4, range(6), (2, 5)))
    assert whole.shape == (6, 3, 2, 5)
    assert torch.equal(rule.probes(x[:2], PerSample(4, [5, 1], (2, 5))), whole[[5, 1]])
    assert (whole.abs() == 1).all() == (law == "rademacher")
    assert len(torch.unique(whole.flatten(2).flatten(0, 1), dim=0)) == 18


def test_a_number_of_probes_is_at_least_one():
    with pytest.raises(ConfigError, match=r"Hutchinson.number must be at least 1"):
        Hutchinson(0)
