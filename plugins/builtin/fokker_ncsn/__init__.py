"""Noise-conditional score networks: the RefineNets of NCSN and NCSNv2 (Song & Ermon, 2019, 2020)."""

from typing import Any

from fokker import hookimpl

__all__ = ["fokker_register"]


@hookimpl
def fokker_register(registry: Any) -> None:
    """Register the built-in components of this plugin."""
