"""Score matching with Langevin dynamics (Song & Ermon, 2019): annealed Langevin dynamics."""

from typing import Any

from fokker import hookimpl

__all__ = ["fokker_register"]


@hookimpl
def fokker_register(registry: Any) -> None:
    """Register the built-in components of this plugin."""
    registry.corrector(
        "annealed-langevin",
        "fokker_smld.annealed_langevin:AnnealedLangevin",
        summary="Langevin steps in proportion to the level's variance.",
    )
