"""Orders on the probability flow of a mixture, whose score is not linear; the kit measures them on Gaussian data.

The exact flow is an adaptive solution of order 8 at a tolerance of 1e-12. The kit has methods with noise on a mixture
too: `strong-order`.
"""

import pytest
import torch

from fokker.noise import Zero
from fokker.perturbation import VE, VP
from fokker.sampler import trajectory
from fokker.testing.order import convergence, even
from fokker.testing.worlds import normal, overlapping
from fokker_ddpm.ddim import DDIM
from fokker_ode.ode import ODE

METHODS = [
    (DDIM(), 1),
    (ODE(method="euler"), 1),
    (ODE(method="midpoint"), 2),
    (ODE(method="heun2"), 2),
    (ODE(method="heun3"), 3),
    (ODE(method="rk4"), 4),
]


@pytest.mark.parametrize("p", [VP(), VE()], ids=lambda p: type(p).__name__)
@pytest.mark.parametrize(("sampler", "order"), METHODS, ids=lambda v: repr(v)[:24])
def test_the_order_of_a_method_is_that_on_a_mixture(sampler, order, p):
    model = overlapping(p)
    x = float(p.sigma(torch.tensor(0.9, dtype=torch.float64))) * normal(6, *model.event_shape, seed=3)

    def end(way, n):
        y = x
        for state in trajectory(model, way, even(0.9, 0.1, n), Zero(), x, final="none"):
            y = state.x
        return y

    exact = end(ODE(method="dopri8", rtol=1e-12, atol=1e-12), 1)
    found = convergence(lambda n: float((end(sampler, n) - exact).norm()), (32, 64, 128, 256))
    assert found.order >= order - 0.25
    assert found.local_orders[-1] == pytest.approx(order, abs=0.3)
