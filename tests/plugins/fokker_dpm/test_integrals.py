"""The weights against integrals that are known in closed form."""

from math import exp

import pytest
import torch

from fokker.perturbation import VE, VP
from fokker_dpm.integrals import Levels, decay, total, weights

ADAMS = [[1.0], [3 / 2, -1 / 2], [23 / 12, -16 / 12, 5 / 12], [55 / 24, -59 / 24, 37 / 24, -9 / 24]]


def ve_at(*sigmas):
    p = VE(sigma_min=1e-4, sigma_max=1e4)
    s = torch.tensor(sigmas, dtype=torch.float64)
    return Levels(p, p.time(-2 * s.log()), torch.ones_like(s), s, -s.log())


def last(levels, predicted, variable, q, kappa=1.0):
    n = len(levels.t)
    nodes = torch.arange(n - 2, n - 2 - q, -1).unsqueeze(0)
    return weights(levels, predicted, variable, torch.tensor([n - 2]), torch.tensor([n - 1]), nodes, kappa)[0]


@pytest.mark.parametrize("q", [1, 2, 3, 4])
@pytest.mark.parametrize("step", [1e-3, 1.0, 20.0])
def test_equal_steps_in_sigma_are_adams_bashforth(q, step):
    levels = ve_at(*(step * (6 - i) + 0.01 for i in range(5)))
    expected = -step * torch.tensor(ADAMS[q - 1], dtype=torch.float64)
    torch.testing.assert_close(last(levels, "eps", "sigma", q), expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("h", [1e-3, 0.1, 1.0, 8.0, 30.0])
@pytest.mark.parametrize("kappa", [1.0, 1.5, 2.0])
def test_two_nodes_of_x0_are_phi_functions(h, kappa):
    """The integral of kappa exp(kappa (tau - h)) tau is h - (1 - exp(-kappa h)) / kappa."""
    levels = ve_at(exp(h), 1.0, exp(-h))
    second = h - -torch.tensor(-kappa * h, dtype=torch.float64).expm1() / kappa
    first = -torch.tensor(-kappa * h, dtype=torch.float64).expm1()
    expected = torch.stack([first + second / h, -second / h])
    torch.testing.assert_close(last(levels, "x0", "log-snr", 2, kappa), expected, rtol=1e-10, atol=0)


@pytest.mark.parametrize("predicted", ["eps", "x0", "v"])
@pytest.mark.parametrize("variable", ["log-snr", "sigma", "sqrt-sigma", "angle", "t"])
@pytest.mark.parametrize("h", [1e-2, 0.7, 3.0])
def test_polynomials_of_lower_degree_are_integrated_alike_by_more_nodes(predicted, variable, h):
    """Weights of four nodes, applied to the polynomials 1, u, u^2, against a fine midpoint rule in ell."""
    p = VP()
    ell = torch.tensor([-1.5, -1.0, -0.6, -0.2, -0.2 + h], dtype=torch.float64)
    levels = Levels.at(p, p.time(2 * ell))
    w = last(levels, predicted, variable, 4)
    u = levels.coordinate(variable)[[3, 2, 1, 0]]
    fine = levels.ell[3] + (levels.ell[4] - levels.ell[3]) * torch.linspace(0, 1, 20001, dtype=torch.float64)
    middle = Levels.at(p, p.time(fine[:-1] + fine[1:]))
    s = (-fine).exp()
    measure = {"eps": s.diff(), "x0": (1 / s).diff(), "v": s.atan().diff()}[predicted]
    measure = measure * {"eps": levels.alpha, "x0": levels.sigma, "v": levels.rho}[predicted][-1]
    there = middle.coordinate(variable)
    scale = levels.rho[[3, 2, 1, 0]] if predicted == "v" else 1.0
    for degree in range(3):
        expected = (measure * there**degree).sum()
        torch.testing.assert_close((w * scale * u**degree).sum(), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("variable", ["sigma", "sqrt-sigma", "angle"])
def test_x0_on_clean_data_is_what_the_polynomial_is_there(variable):
    levels = ve_at(3.0, 2.0, 1.0, 1.0)
    levels.sigma[-1], levels.ell[-1] = 0.0, torch.inf
    w = last(levels, "x0", variable, 3)
    u = levels.coordinate(variable)[:3].flip(0)
    for degree in range(3):
        expected = torch.tensor(1.0 if degree == 0 else 0.0, dtype=torch.float64)
        torch.testing.assert_close((w * u**degree).sum(), expected, rtol=0, atol=1e-12)


def test_v_on_a_circle():
    """On constant x0 and eps the exact step is a rotation; its two factors are cosine and sine of the angle."""
    p = VP()
    levels = Levels.at(p, torch.tensor([0.5, 0.3], dtype=torch.float64))
    start, end = torch.tensor([0]), torch.tensor([1])
    angle = levels.angle[1] - levels.angle[0]
    assert float(total(levels, "v", start, end)) == pytest.approx(float(angle), rel=1e-13)
    assert float(decay(levels, "v", start, end)) == pytest.approx(1.0, rel=1e-13)
