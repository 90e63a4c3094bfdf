"""Networks, schedulers and pipeline folders of diffusers (von Platen et al., 2022) as components of fokker."""

from typing import TYPE_CHECKING

from fokker import hookimpl

if TYPE_CHECKING:
    from fokker.plugins.registry import Registry

__all__ = ["SAMPLERS", "fokker_register"]


SAMPLERS = {
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

_DISTILLED = "it asks for a network that was distilled to jump to the data, and not for a score; take 'ddim'."
_BETWEEN = "it asks the model between two levels of the grid, where none are given; take 'heun-discrete'."
ABSENT = {
    "lcm": _DISTILLED,
    "tcd": _DISTILLED,
    "cm-stochastic-iterative": _DISTILLED,
    "flow-match-lcm": _DISTILLED,
    "k-dpm-2-discrete": _BETWEEN,
    "k-dpm-2-ancestral-discrete": _BETWEEN,
    "dpm-solver-sde": (
        "it draws from a tree of its own that is seeded once for a batch, so that samples know their neighbours; take "
        "'dpm-solver-multistep:algorithm_type=sde-dpmsolver++'."
    ),
    "cosine-dpm-solver-multistep": "its draws are those of such a tree too; take 'edm-dpm-solver-multistep'.",
    "sa-solver": "its share of noise is a function of Python, and it draws where that is 0; take 'ddim:eta=0.5'.",
    "sde-ve": "it takes one step size from all of a batch; take 'pc:corrector=langevin'.",
    "ipndm": "its levels are a table of its own, whatever the grid; take 'pndm'.",
    "ddim-inverse": "it goes up, from data to noise; use 'fokker encode'.",
    "dpm-solver-multistep-inverse": "it goes up, from data to noise; use 'fokker encode'.",
    "repaint": "it is told of a mask and a picture; use '--guidance inpaint'.",
    "unclip": "its variances are those that a network learned, which is not asked for them here; take 'ddpm'.",
    "ddim-parallel": "it goes through all levels at once, and gives what 'ddim' does.",
    "ddpm-parallel": "it goes through all levels at once, and gives what 'ddpm' does.",
    "vq-diffusion": "its states are tokens, not numbers.",
}
"""Schedulers that are not wrapped, and why."""


@hookimpl
def fokker_register(registry: "Registry") -> None:
    """Register what this package provides; nothing is imported until it is used."""
    registry.network("model", "fokker_diffusers.network:Model", summary="A U-Net or transformer of diffusers.")
    registry.label("timestep", "fokker_diffusers.label:Timestep", summary="The level of a table, counted from 0.")
    registry.grid("timesteps", "fokker_diffusers.grids:Timesteps", summary="The timesteps of a scheduler of diffusers.")
    registry.grid("flow-sigmas", "fokker_diffusers.grids:FlowSigmas", summary="The sigmas of flow matching, shifted.")
    registry.parameterization(
        "edm-v", "fokker_diffusers.negated:EDMv", summary="EDM's preconditioning with the output turned."
    )
    registry.format("diffusers", "fokker_diffusers.folder:Folder", summary="Folders of pipelines and models.")
    for name, reason in ABSENT.items():
        registry.absent("sampler", name, reason)
    for name, target in SAMPLERS.items():
        registry.sampler(name, f"fokker_diffusers.{target}", summary=f"diffusers' scheduler {name}.")
