"""What the components claim, measured by the conformance kit."""

from fokker.testing import conformance

from fokker_torchsde.adaptive import AdaptiveTorchSDE
from fokker_torchsde.noise import Brownian
from fokker_torchsde.steps import TorchSDE


# test_steps.py holds euler and milstein to fokker's own, and log-ode to midpoint; test_strong_orders.py has all of them
@conformance(
    TorchSDE(),
    TorchSDE(method="euler-heun"),
    TorchSDE(method="heun"),
)
def test_the_steps_of_a_grid(check):
    check()


# loose tolerances, which are soon met; what tolerances and shared steps do is test_adaptive.py's
@conformance(AdaptiveTorchSDE(rtol=0.2, atol=0.2, h=0.1))
def test_steps_of_each_sample_s_own(check):
    check()


@conformance(Brownian(), Brownian(digits=6))
def test_paths(check):
    check()
