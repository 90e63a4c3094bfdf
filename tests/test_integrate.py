"""The integrator against closed forms: its orders, its tolerance, and rows that know nothing of each other."""

import math
from itertools import pairwise

import pytest
import torch

from fokker.errors import ConfigError
from fokker.integrate import IntegrationError, dormand_prince, integrate

D = torch.float64


def tensor(*values):
    return torch.tensor(values, dtype=D)


def swing(t, y):
    """x'' = -x with a push that depends on time; x = cos t + t is the solution from (1, 1)."""
    x, v = y[0].unbind(1)
    return (torch.stack([v, t.to(x) - x], 1),)


def swung(t):
    return torch.stack([t.cos() + t, 1 - t.sin()], 1)


def steps(n):
    """Of n equal steps: the state at t = 1, and the errors that the pair tells of on the way, added up."""
    h, y, told = tensor(1 / n), (swung(tensor(0.0)),), torch.zeros(1, 2, dtype=D)
    k = swing(tensor(0.0), y)
    for i in range(n):
        y, error, k = dormand_prince(swing, tensor(i / n), y, h, k)
        told = told + error[0]
    return y[0], told


def test_a_step_has_order_five_and_tells_of_the_error_of_order_four():
    found = [(steps(n), n) for n in (4, 8, 16, 32)]
    errors = [float((y - swung(tensor(1.0))).norm()) for (y, _), _ in found]
    told = [float(e.norm()) for (_, e), _ in found]
    rates = [math.log2(a / b) for a, b in pairwise(errors)]
    assert rates == pytest.approx([5, 5, 5], abs=0.15)
    rates = [math.log2(a / b) for a, b in pairwise(told)]
    assert rates == pytest.approx([4, 4, 4], abs=0.25)


def test_the_last_stage_is_the_first_of_the_next_step():
    y, h = (swung(tensor(0.3)),), tensor(0.2)
    moved, _, k = dormand_prince(swing, tensor(0.3), y, h, swing(tensor(0.3), y))
    torch.testing.assert_close(k[0], swing(tensor(0.5), moved)[0], rtol=0, atol=0)


def test_a_step_is_exact_on_polynomials_of_its_order():
    def power(t, y):
        return tuple(5 * (t.unsqueeze(1) ** 4).expand_as(part) for part in y)

    y = (tensor([0.0, 1.0]),)
    moved, _, _ = dormand_prince(power, tensor(0.0), y, tensor(2.0), power(tensor(0.0), y))
    torch.testing.assert_close(moved[0], tensor([32.0, 33.0]), rtol=1e-14, atol=0)


def rows(t, y, which):
    """Each row has its own rate, from slow to fast: y' = -rate (y - cos t)."""
    rate = (10.0 ** which.double()).unsqueeze(1)
    return (-rate * (y[0] - t.cos().unsqueeze(1)),)


@pytest.mark.parametrize(("start", "end"), [(0.0, 2.0), (2.0, 0.0)])
@pytest.mark.parametrize("tolerance", [1e-4, 1e-7, 1e-10])
def test_errors_are_of_the_size_of_the_tolerance(start, end, tolerance):
    def f(t, y, which):
        return (swing(t, y)[0],)

    y = (swung(tensor(start)).repeat(3, 1),)
    found = integrate(f, y, start, end, rtol=tolerance, atol=tolerance)
    error = float((found.y[0] - swung(tensor(end))).abs().max())
    assert 0 < error < 10 * tolerance
    assert torch.equal(y[0], swung(tensor(start)).repeat(3, 1))


def test_cost_grows_with_the_fifth_root_of_the_tolerance():
    def f(t, y, which):
        return (swing(t, y)[0],)

    costs = []
    for tolerance in (1e-6, 1e-11):
        found = integrate(f, (swung(tensor(0.0)),), 0.0, 20.0, rtol=tolerance, atol=tolerance)
        costs.append(int(found.evaluations[0]))
    assert costs[1] / costs[0] == pytest.approx(10, rel=0.2)


def test_a_row_does_not_know_its_batch():
    y = tensor([0.0, 3.0], [1.0, -1.0], [2.0, 2.0], [0.5, 0.1])
    whole = integrate(rows, (y,), 0.0, 3.0)
    assert whole.evaluations.tolist() == sorted(whole.evaluations.tolist())
    assert whole.evaluations[3] > 10 * whole.evaluations[0]
    for i in range(4):
        alone = integrate(lambda t, y, which, i=i: rows(t, y, which + i), (y[i : i + 1],), 0.0, 3.0)
        torch.testing.assert_close(alone.y[0][0], whole.y[0][i], rtol=1e-14, atol=1e-14)
        assert alone.evaluations[0] == whole.evaluations[i]


def test_rows_that_have_arrived_are_asked_no_more():
    asked = torch.zeros(3, dtype=torch.int64)

    def counted(t, y, which):
        asked[which] += 1
        assert len(t) == len(y[0]) == len(which)
        assert bool(((t >= 0) & (t <= 1)).all())
        return rows(t, y, which)

    found = integrate(counted, (tensor([1.0], [1.0], [1.0]),), 0.0, 1.0)
    assert torch.equal(found.evaluations, asked)


def test_variables_are_held_to_the_tolerance_each_for_itself():
    """A value that needs care is not lost among many that do not."""

    def f(t, y, which):
        return torch.zeros_like(y[0]), 50 * (50 * t).cos().unsqueeze(1)

    y = torch.zeros(1, 10_000, dtype=D), torch.zeros(1, 1, dtype=D)
    found = integrate(f, y, 0.0, 1.0, rtol=1e-8, atol=1e-8)
    assert float(found.y[1]) == pytest.approx(math.sin(50), abs=1e-7)


@pytest.mark.parametrize("shape", [(2, 3), (2, 1, 8, 9, 10)])
def test_states_of_any_shape_keep_their_dtype(shape):
    found = integrate(lambda t, y, which: (-y[0],), (torch.ones(shape),), 0.0, 1.0)
    assert found.y[0].dtype == torch.float32
    torch.testing.assert_close(found.y[0], torch.full(shape, math.exp(-1)), rtol=1e-4, atol=0)


def test_what_does_not_move_costs_next_to_nothing():
    found = integrate(lambda t, y, which: (torch.zeros_like(y[0]),), (tensor([1.0, 2.0]),), 0.0, 1.0)
    assert torch.equal(found.y[0], tensor([1.0, 2.0]))
    assert int(found.evaluations[0]) < 80


def test_it_tells_how_far_it_is():
    told = []
    integrate(rows, (tensor([1.0], [1.0]),), 0.0, 1.0, on_step=told.append)
    assert told == sorted(told) and 0 < told[0] < 1 and told[-1] == 1


@pytest.mark.parametrize(("rtol", "atol"), [(0.0, 1e-5), (1e-7, 1e-5), (1.0, 1e-5), (1e-5, 0.0), (math.nan, 1e-5)])
def test_tolerances_that_mean_nothing_are_refused(rtol, atol):
    with pytest.raises(ConfigError, match="rtol must be at least 1.2e-06" if rtol != 1e-5 else "atol must be greater"):
        integrate(lambda t, y, which: y, (torch.ones(1, 1),), 0.0, 1.0, rtol=rtol, atol=atol)


def test_a_row_that_ends_nowhere_is_named():
    def torn(t, y, which):
        bad = (which == 2) & (t > 0.5)
        return (torch.where(bad.unsqueeze(1), torch.nan, torch.ones_like(y[0])),)

    def blown_up(t, y, which):
        return (y[0] ** 2,)

    with pytest.raises(IntegrationError, match=r"^Row 2 of the batch has a derivative that is not finite near t = 0.5"):
        integrate(torn, (torch.ones(4, 1, dtype=D),), 0.0, 1.0)
    with pytest.raises(IntegrationError, match=r"^Row 1 of the batch .* near t = 0.33333\d*: raise rtol and atol"):
        integrate(blown_up, (tensor([0.1], [3.0]),), 0.0, 1.0)
