"""The label, the grids, the parameterization and the format, by the conformance kit."""

from fokker.testing import conformance

from fokker_diffusers.folder import Folder
from fokker_diffusers.grids import FlowSigmas, Timesteps
from fokker_diffusers.label import Timestep
from fokker_diffusers.negated import EDMv


@conformance(
    Timestep(),
    Timesteps(),
    Timesteps("dpm-solver-multistep", sigmas="karras"),
    Timesteps("euler-discrete"),
    FlowSigmas(shift=3.0),
    EDMv(),
    Folder(),
)
def test_conformance(check):
    check()
