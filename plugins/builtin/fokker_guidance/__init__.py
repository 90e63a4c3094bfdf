"""Guidance: samples of a class, of a measurement, or of a user's own likelihood, from a model that knows of none."""

from typing import Any

from fokker import hookimpl

__all__ = ["fokker_register"]


@hookimpl
def fokker_register(registry: Any) -> None:
    """Register the built-in components of this plugin."""
