"""Noise-conditional score networks: the RefineNets of NCSN and NCSNv2 (Song & Ermon, 2019, 2020)."""

from typing import Any

from fokker import hookimpl

__all__ = ["fokker_register"]


@hookimpl
def fokker_register(registry: Any) -> None:
    """Register the built-in components of this plugin."""
    registry.network("ncsn", "fokker_ncsn.ncsn:NCSN", summary="NCSN's RefineNet with normalisations of every level.")
    registry.network("ncsnv2", "fokker_ncsn.ncsnv2:NCSNv2", summary="NCSNv2's RefineNet, told nothing of the level.")
    for name, summary in (
        ("fashion-mnist-ncsnv2", "NCSNv2 on Fashion-MNIST, for a GPU."),
        ("fashion-mnist-ncsnv2-small", "NCSNv2 on Fashion-MNIST, under half an hour on one CPU core."),
    ):
        registry.recipe(name, f"fokker_ncsn:recipes/{name}.toml", summary=summary)
