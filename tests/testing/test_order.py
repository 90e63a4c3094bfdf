import pytest
import torch

from fokker.exact import Gaussian
from fokker.perturbation import VP
from fokker.sampler import Claims, OneStep
from fokker.testing.order import Convergence, convergence, measure_order, measure_weak_order
from fokker_ddpm.ancestral import Ancestral
from fokker_ode.ode import ODE

D = torch.float64
# several variances at once: on a scalar problem an error can cross zero and show any order
LAW = Gaussian(VP(), torch.tensor([0.3, -1.0, 2.0], dtype=D), torch.tensor([0.04, 0.25, 1.7], dtype=D))


def test_the_slope_of_a_power_is_its_exponent():
    found = convergence(lambda n: 5.0 * n**-2.5, (10, 20, 40, 80))
    assert found.order == pytest.approx(2.5)
    assert found.local_orders == pytest.approx([2.5] * 3)
    assert found.steps == (10, 20, 40, 80)


def test_local_orders_show_where_the_limit_is_reached():
    found = Convergence((10, 20, 40), (1.0, 0.5, 0.125))
    assert found.local_orders == pytest.approx([1, 2])
    assert found.order == pytest.approx(1.5)


class Midpoint(OneStep):
    """The explicit midpoint rule with the stage at a fraction of the step: second order at 1/2 only."""

    claims = Claims(order=2, evaluations=2)

    def __init__(self, fraction=0.5):
        self.fraction = fraction

    def coefficients(self, p, t, s):
        return {"h": s - t, "middle": t + self.fraction * (s - t)}

    def step(self, model, x, t, s, c, noise, cond=None):
        half = x + self.fraction * c["h"] * model(x, t).velocity
        return x + c["h"] * model(half, c["middle"]).velocity


def test_a_wrong_coefficient_costs_an_order():
    assert measure_order(Midpoint(), LAW).order == pytest.approx(2, abs=0.15)
    assert measure_order(Midpoint(0.25), LAW).order == pytest.approx(1, abs=0.15)


def test_an_independent_implementation_is_measured_alike():
    ours, theirs = measure_order(Midpoint(), LAW), measure_order(ODE(method="midpoint"), LAW)
    assert ours.errors == pytest.approx(theirs.errors, rel=1e-6)


class Weakened(OneStep):
    """Ancestral sampling with a share of its noise."""

    claims = Claims(weak_order=1, stochastic=True)

    def coefficients(self, p, t, s):
        c = Ancestral().coefficients(p, t, s)
        return {**c, "z": 0.7**0.5 * c["z"]}

    def step(self, model, x, t, s, c, noise, cond=None):
        return Ancestral().step(model, x, t, s, c, noise, cond)


def test_missing_noise_is_seen_in_the_moments():
    assert measure_weak_order(Ancestral(), LAW).order == pytest.approx(1, abs=0.15)
    found = measure_weak_order(Weakened(), LAW)
    assert abs(found.local_orders[-1]) < 0.3  # it does not converge
    assert found.errors[-1] > 5 * measure_weak_order(Ancestral(), LAW).errors[-1]
