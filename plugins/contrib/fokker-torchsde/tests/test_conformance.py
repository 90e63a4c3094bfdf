"""What the components claim, measured by the conformance kit."""

from fokker.testing import conformance
from fokker_torchsde.adaptive import AdaptiveTorchSDE
from fokker_torchsde.noise import Brownian
from fokker_torchsde.steps import TorchSDE


# euler is milstein and log-ode is midpoint, which test_steps.py holds them to
@conformance(
    TorchSDE(),
    TorchSDE(method="srk-diagonal"),
    TorchSDE(method="milstein"),
    TorchSDE(method="euler-heun"),
    TorchSDE(method="heun"),
    TorchSDE(method="midpoint"),
)
def test_the_steps_of_a_grid(check):
    check()


# loose tolerances, which are soon met; what they do to the error is test_adaptive.py's
@conformance(AdaptiveTorchSDE(rtol=0.2, atol=0.2, h=0.1))
def test_steps_of_each_sample_s_own(check):
    check()


@conformance(
    AdaptiveTorchSDE(rtol=0.2, atol=0.2, h=0.1, shared=True),
    expected_failures={"batch-independent": "a batch agrees with its parts within this tolerance, which is not 1e-3"},
)
def test_steps_that_a_batch_shares(check):
    check()


@conformance(Brownian(), Brownian(digits=6))
def test_paths(check):
    check()
