"""Score matching: explicit (Hyvarinen, 2005), sliced (Song et al., 2019), denoising (Vincent, 2011), NCSN (2019)."""

from typing import TYPE_CHECKING

from fokker import hookimpl

if TYPE_CHECKING:
    from fokker.plugins.registry import Registry

__all__ = ["fokker_register"]


@hookimpl
def fokker_register(registry: "Registry") -> None:
    """Register the objectives and recipes of this plugin."""
    registry.objective("explicit", "fokker_matching.explicit:Explicit", summary="Score matching with the exact trace.")
    registry.objective("sliced", "fokker_matching.sliced:Sliced", summary="Score matching along random directions.")
    registry.objective(
        "sliced-vr", "fokker_matching.sliced:SlicedVR", summary="Sliced score matching with reduced variance."
    )
    registry.objective(
        "dsm", "fokker_matching.dsm:DSM", summary="Denoising score matching at one noise level, as first proposed."
    )
    for name, summary in (
        ("swiss-roll-explicit", "Score matching with the exact trace on a swiss roll without noise."),
        ("swiss-roll-sliced", "Sliced score matching on a swiss roll without noise."),
        ("swiss-roll-denoising", "Denoising score matching at one noise level of a swiss roll."),
        ("swiss-roll-langevin", "Langevin dynamics from one point on the learned score of a swiss roll."),
        ("swiss-roll-ncsn", "A noise-conditional score network on a swiss roll, as published."),
        ("swiss-roll-ncsn-balanced", "A noise-conditional score network on a swiss roll, with better settings."),
    ):
        registry.recipe(name, f"fokker_matching:recipes/{name}.toml", summary=summary)
    registry.objective("ncsn", "fokker_matching.ncsn:NCSN", summary="NCSN's loss on the levels of a table.")
