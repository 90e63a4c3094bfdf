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
    for name, summary in (
        ("fashion-mnist-ddpm", "DDPM on Fashion-MNIST, for a GPU."),
        ("fashion-mnist-ddpm-small", "DDPM on Fashion-MNIST, half an hour on two CPU cores."),
        ("fashion-mnist-ddpm-note", "DDPM on Fashion-MNIST with batch normalisation and betas from 0.001 to 0.01."),
    ):
        registry.recipe(name, f"fokker_ddpm:recipes/{name}.toml", summary=summary)
    registry.objective("ddpm", "fokker_ddpm.objective:DDPM", summary="DDPM's loss on the levels of a table.")
