"""Metrics that compare samples with a reference directly, without features of a network."""

from typing import TYPE_CHECKING

from fokker import hookimpl

if TYPE_CHECKING:
    from fokker.plugins.registry import Registry

__all__ = ["fokker_register"]


@hookimpl
def fokker_register(registry: "Registry") -> None:
    """Register the built-in components of this plugin."""
    registry.metric(
        "sliced-wasserstein",
        "fokker_metrics.sliced_wasserstein:SlicedWasserstein",
        summary="Wasserstein distance of one-dimensional projections, averaged.",
    )
    registry.metric(
        "energy-distance",
        "fokker_metrics.energy_distance:EnergyDistance",
        summary="Mean distance between the sets less those within them.",
    )
    registry.metric("mmd", "fokker_metrics.mmd:MMD", summary="Squared maximum mean discrepancy of a kernel; KID's too.")
    registry.metric(
        "frechet",
        "fokker_metrics.frechet:Frechet",
        summary="Squared distance of the Gaussians with the same means and covariances.",
    )
    registry.metric(
        "prdc",
        "fokker_metrics.prdc:PRDC",
        summary="Precision, recall, density or coverage: shares of one set near the other.",
    )
