"""Langevin dynamics at one noise level, and annealed over many: SMLD (Song & Ermon, 2019)."""

from typing import Any

from fokker import hookimpl

__all__ = ["fokker_register"]


@hookimpl
def fokker_register(registry: Any) -> None:
    """Register the built-in components of this plugin."""
    registry.sampler(
        "gradient-ascent",
        "fokker_smld.langevin:GradientAscent",
        summary="Up the log-density of one noise level, to its modes.",
    )
    registry.sampler(
        "langevin", "fokker_smld.langevin:Langevin", summary="Langevin dynamics at the last noise level of the grid."
    )
    registry.sampler("smld", "fokker_smld.smld:SMLD", summary="Langevin steps at every noise level, largest first.")
    registry.corrector(
        "annealed-langevin",
        "fokker_smld.annealed_langevin:AnnealedLangevin",
        summary="Langevin steps in proportion to the level's variance.",
    )
    registry.recipe(
        "two-gaussians-smld",
        "fokker_smld:recipes/two-gaussians-smld.toml",
        summary="SMLD on two Gaussians, by a network that is not told the noise level.",
    )
