"""Networks, schedulers and pipeline folders of diffusers (von Platen et al., 2022) as components of fokker."""

from typing import TYPE_CHECKING

from fokker import hookimpl

if TYPE_CHECKING:
    from fokker.plugins.registry import Registry

__all__ = ["fokker_register"]


@hookimpl
def fokker_register(registry: "Registry") -> None:
    """Register what this package provides; nothing is imported until it is used."""
    registry.network("model", "fokker_diffusers.network:Model", summary="A U-Net or transformer of diffusers.")
