"""Samplers of the probability-flow ODE (Song et al., 2021, eq. 13)."""

from typing import Any

from fokker import hookimpl

__all__ = ["fokker_register"]


@hookimpl
def fokker_register(registry: Any) -> None:
    """Register the built-in components of this plugin."""
    registry.sampler(
        "adaptive-ode",
        "fokker_ode.adaptive_ode:AdaptiveODE",
        summary="The probability-flow ODE, each sample with its own steps.",
    )
    registry.sampler("ode", "fokker_ode.ode:ODE", summary="torchdiffeq's solvers on the probability-flow ODE.")
