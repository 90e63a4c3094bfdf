"""Flow matching (Lipman et al., 2023) and rectified flow (Liu et al., 2023): the objective and a recipe."""

from typing import TYPE_CHECKING

from fokker import hookimpl

if TYPE_CHECKING:
    from fokker.plugins.registry import Registry

__all__ = ["fokker_register"]


@hookimpl
def fokker_register(registry: "Registry") -> None:
    """Register the built-in components of this plugin."""
    registry.objective(
        "flow-matching", "fokker_flow.objective:FlowMatching", summary="Regression of the probability flow's velocity."
    )
    registry.recipe(
        "digits-flow",
        "fokker_flow:recipes/digits-flow.toml",
        summary="Rectified flow on 8x8 digits, 5 minutes, one core.",
    )
