"""What the components claim, measured by the conformance kit."""

from fokker.testing import conformance

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
def test_conformance(check):
    check()
