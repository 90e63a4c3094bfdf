"""torchsde's solvers of stochastic differential equations as samplers (Li et al., 2020; Kidger et al., 2021)."""

from typing import TYPE_CHECKING

from fokker import hookimpl

if TYPE_CHECKING:
    from fokker.plugins.registry import Registry

__all__ = ["fokker_register"]


@hookimpl
def fokker_register(registry: "Registry") -> None:
    """Register what this package provides; nothing is imported until it is used."""
    fixed = "fokker_torchsde.steps:TorchSDE"
    registry.sampler("torchsde", fixed, summary="torchsde's solvers on the reverse SDE, with the steps of the grid.")
    registry.predictor("torchsde", fixed, summary="torchsde's solvers on the reverse SDE, with the steps of the grid.")
    adaptive = "fokker_torchsde.adaptive:AdaptiveTorchSDE"
    registry.sampler("torchsde-adaptive", adaptive, summary="torchsde's solvers on the reverse SDE, to a tolerance.")
    registry.noise("brownian", "fokker_torchsde.noise:Brownian", summary="A Brownian path for each sample.")
