"""Networks, schedulers and pipeline folders of diffusers (von Platen et al., 2022) as components of fokker."""

from typing import TYPE_CHECKING

from fokker import hookimpl

if TYPE_CHECKING:
    from fokker.plugins.registry import Registry

__all__ = ["fokker_register"]


_SAMPLERS = {
    "ddpm": "on_tables:DDPM",
    "ddim": "on_tables:DDIM",
    "pndm": "on_tables:PNDM",
    "dpm-solver-multistep": "on_the_line:DPMMultistep",
    "dpm-solver-singlestep": "on_the_line:DPMSinglestep",
    "unipc-multistep": "on_the_line:UniPC",
    "deis-multistep": "on_the_line:DEIS",
    "flow-match-euler-discrete": "on_the_line:FlowEuler",
    "flow-match-heun-discrete": "on_the_line:FlowHeun",
    "euler-discrete": "on_ratios:Euler",
    "euler-ancestral-discrete": "on_ratios:EulerAncestral",
    "heun-discrete": "on_ratios:Heun",
    "lms-discrete": "on_ratios:LMS",
    "edm-euler": "on_ratios:EDMEuler",
    "edm-dpm-solver-multistep": "on_ratios:EDMMultistep",
}
"""The schedulers, by diffusers' own names: those of its modules, in kebab-case."""


@hookimpl
def fokker_register(registry: "Registry") -> None:
    """Register what this package provides; nothing is imported until it is used."""
    registry.network("model", "fokker_diffusers.network:Model", summary="A U-Net or transformer of diffusers.")
    registry.label("timestep", "fokker_diffusers.label:Timestep", summary="The level of a table, counted from 0.")
    registry.grid("timesteps", "fokker_diffusers.grids:Timesteps", summary="The timesteps of a scheduler of diffusers.")
    registry.grid("flow-sigmas", "fokker_diffusers.grids:FlowSigmas", summary="The sigmas of flow matching, shifted.")
    for name, target in _SAMPLERS.items():
        registry.sampler(name, f"fokker_diffusers.{target}", summary=f"diffusers' scheduler {name}.")
