"""The kit on configurations that it does not make by itself."""

from fokker.testing import conformance
from fokker_guidance.gradient import DPS, PiGDM
from fokker_guidance.inpaint import Inpaint
from fokker_guidance.linear import Linear


@conformance(
    Inpaint("right"),
    Inpaint("centre", "train"),
    Linear("left", noise=0.0),
    Linear("average-2", data_std=0.8),
    PiGDM("left", noise=0.0),
    PiGDM(spread="full"),
    PiGDM("left", spread="full", noise=0.0),
    DPS("right", weight=0.5),
)
def test_measurements(check):
    check()
