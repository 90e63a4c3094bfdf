"""Denoising diffusion: DDPM (Ho et al., 2020), DDIM (Song et al., 2021) and their objective and recipes."""

from typing import Any

from fokker import hookimpl

__all__ = ["fokker_register"]


@hookimpl
def fokker_register(registry: Any) -> None:
    """Register the built-in components of this plugin."""
    registry.sampler("ddpm", "fokker_ddpm.ancestral:Ancestral", summary="Ancestral sampling of DDPM, on any grid.")
    registry.sampler("ddim", "fokker_ddpm.ddim:DDIM", summary="Denoising diffusion implicit models.")
    registry.predictor("ancestral", "fokker_ddpm.ancestral:Ancestral", summary="DDPM's posterior step.")
    registry.predictor("ddim", "fokker_ddpm.ddim:DDIM", summary="DDIM's step as a predictor.")
    registry.objective("ddpm", "fokker_ddpm.objective:DDPM", summary="DDPM's loss on the levels of a table.")
