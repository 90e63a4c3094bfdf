"""EDM (Karras et al., 2022): its noise levels in training, its samplers, and its recipe."""

from typing import TYPE_CHECKING

from fokker import hookimpl

if TYPE_CHECKING:
    from fokker.plugins.registry import Registry

__all__ = ["fokker_register"]


@hookimpl
def fokker_register(registry: "Registry") -> None:
    """Register the built-in components of this plugin."""
    registry.objective("edm", "fokker_edm.objective:EDMLoss", summary="Denoising at log-normal noise levels, as EDM.")
    heun = "fokker_edm.heun:Heun"
    registry.sampler("heun", heun, summary="Second-order Runge-Kutta on the probability flow, Heun's by default.")
    registry.predictor("heun", heun, summary="Second-order Runge-Kutta on the probability flow, Heun's by default.")
    registry.sampler("edm", "fokker_edm.edm:EDM", summary="Heun's method with churn, EDM's stochastic sampler.")
    registry.sampler(
        "restart", "fokker_edm.restart:Restart", summary="Heun's method that goes through intervals again."
    )
    registry.recipe(
        "digits-edm", "fokker_edm:recipes/digits-edm.toml", summary="EDM on 8x8 digits, 5 minutes on one core."
    )
