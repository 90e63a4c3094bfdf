import pytest
import torch

from fokker.errors import DataError
from fokker_metrics.frechet import Frechet


def exact(mean, covariance, n=50, seed=0):
    """Examples whose mean and covariance are these, to rounding."""
    mean, covariance = (torch.tensor(v, dtype=torch.float64) for v in (mean, covariance))
    z = torch.randn(n, len(mean), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    z = z - z.mean(0)
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(z.T @ z / (n - 1)), z.T, upper=False)
    return mean + (torch.linalg.cholesky(covariance) @ white).T


def test_shift_of_five_is_twenty_five():
    eye = torch.eye(2).tolist()
    assert Frechet()(exact([0.0, 0.0], eye), exact([3.0, 4.0], eye, n=31, seed=1)) == pytest.approx(25, rel=1e-12)


@pytest.mark.parametrize("d", [1, 3, 16])
def test_twice_as_wide_is_the_dimension(d):
    eye = torch.eye(d)
    value = Frechet()(exact([0.0] * d, eye.tolist()), exact([0.0] * d, (4 * eye).tolist(), n=40, seed=1))
    assert value == pytest.approx(d, rel=1e-10)


def test_correlated_gaussians_meet_the_published_value():
    x = exact([1.0, 0.0], [[2.0, 0.5], [0.5, 1.0]])
    y = exact([0.0, 2.0], [[1.0, -0.3], [-0.3, 0.5]], n=70, seed=1)
    assert Frechet()(x, y) == pytest.approx(5.5533014128, rel=1e-10)


def test_it_is_the_formula_with_roots_of_matrices():
    x = torch.randn(60, 5, dtype=torch.float64)
    y = torch.randn(40, 5, dtype=torch.float64) @ torch.randn(5, 5, dtype=torch.float64) + 1
    s, t = torch.cov(x.T), torch.cov(y.T)
    w, v = torch.linalg.eigh(s)
    root = v @ torch.diag(w.sqrt()) @ v.T
    cross = torch.linalg.eigvalsh(root @ t @ root).sqrt().sum()
    expected = (x.mean(0) - y.mean(0)).square().sum() + s.trace() + t.trace() - 2 * cross
    assert Frechet()(x, y) == pytest.approx(float(expected), rel=1e-10)


def test_few_examples_in_many_dimensions_are_those_of_their_plane():
    """Sets in a plane of a large space are as far apart as in the plane, whichever way it is computed."""
    x, y = torch.randn(8, 2, dtype=torch.float64), 2 * torch.randn(9, 2, dtype=torch.float64) + 1
    axes = torch.linalg.qr(torch.randn(30, 2, dtype=torch.float64)).Q
    assert Frechet()(x @ axes.T, y @ axes.T) == pytest.approx(Frechet()(x, y), rel=1e-10)
    many = 2 * torch.randn(90, 2, dtype=torch.float64) + 1
    assert Frechet()(x @ axes.T, many @ axes.T) == pytest.approx(Frechet()(x, many), rel=1e-10)


def test_sets_of_one_law_are_as_far_apart_as_the_docstring_says():
    d, n = 5, 1000
    draws = torch.randn(100, 2, n, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mean = sum(Frechet()(x, y) for x, y in draws) / len(draws)
    assert mean == pytest.approx(d * (d + 5) / (2 * n), rel=0.07)


def test_one_example_has_no_covariance():
    with pytest.raises(DataError, match="hold 1 of the 2"):
        Frechet()(torch.zeros(1, 2), torch.zeros(5, 2))
