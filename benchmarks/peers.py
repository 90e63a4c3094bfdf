"""The samplers of other packages, where they are installed, with a network that costs nothing.

Each contender makes some steps and returns the seconds that they took. Set-up that a package separates from its steps
is not counted. Packages that are not there are left out and named.
"""

import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor

__all__ = ["Contender", "Free", "contenders", "stub_k_diffusion"]

Free = Callable[[Tensor], Tensor]
"""A network that costs nothing."""


class Contender(NamedTuple):
    """A sampler of some package.

    Args:
        run: Makes the steps and returns their seconds.
        calls: Evaluations of the network in a step.
        family: What it is compared with: `one-step`, `two-step` or `stochastic`.
    """

    run: Callable[[], float]
    calls: int
    family: str


def contenders(x: Tensor, steps: int, free: Free) -> tuple[dict[str, Contender], list[str]]:
    """The samplers of the packages that are installed, and why others are not among them."""
    found: dict[str, Contender] = {}
    missing: list[str] = []
    for maker in (_diffusers, _azula, _k_diffusion, _smalldiffusion):
        try:
            found.update(maker(x, steps, free))
        except (ImportError, RuntimeError) as error:  # torchvision built for another torch raises the latter
            missing.append(f"{maker.__name__.strip('_')}: {error}")
    return found, missing


def _diffusers(x: Tensor, steps: int, free: Free) -> Iterator[tuple[str, Contender]]:
    diffusers = import_module("diffusers")
    for label, name, family, options in (
        ("EulerDiscrete", "EulerDiscreteScheduler", "one-step", {}),
        ("DDIM", "DDIMScheduler", "one-step", {"clip_sample": False}),
        ("DPM++2M", "DPMSolverMultistepScheduler", "two-step", {}),
        ("UniPC-2", "UniPCMultistepScheduler", "two-step", {}),
        ("DDPM", "DDPMScheduler", "stochastic", {"clip_sample": False}),
    ):
        scheduler = getattr(diffusers, name)(**options)

        def run(scheduler: Any = scheduler) -> float:
            scheduler.set_timesteps(steps)
            scheduler.is_scale_input_called = True  # a pass that this network does without
            state = x
            began = time.perf_counter()
            with torch.no_grad():
                for t in scheduler.timesteps:
                    state = scheduler.step(free(state), t, state).prev_sample
            return time.perf_counter() - began

        yield f"diffusers {label}", Contender(run, 1, family)


def _azula(x: Tensor, steps: int, free: Free) -> Iterator[tuple[str, Contender]]:
    sample, noise, denoise = (import_module(f"azula.{name}") for name in ("sample", "noise", "denoise"))
    schedule = noise.VPSchedule()

    class FreeDenoiser(denoise.Denoiser):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.schedule = schedule

        def forward(self, x_t: Tensor, t: Tensor, **kwargs: Any) -> Any:
            return denoise.DiracPosterior(mean=free(x_t))

    for label, name, family, options in (
        ("DDIM", "DDIMSampler", "one-step", {}),
        ("zAB2", "zABSampler", "two-step", {"order": 2}),
        ("xEAB2", "xEABSampler", "two-step", {"order": 2}),
        ("DDPM", "DDPMSampler", "stochastic", {}),
    ):
        sampler = getattr(sample, name)(FreeDenoiser(), steps=steps, silent=True, **options)

        def run(sampler: Any = sampler) -> float:
            began = time.perf_counter()
            sampler(x)
            return time.perf_counter() - began

        yield f"azula {label}", Contender(run, 1, family)


def _k_diffusion(x: Tensor, steps: int, free: Free) -> Iterator[tuple[str, Contender]]:
    stub_k_diffusion()
    sampling = import_module("k_diffusion.sampling")
    sigmas = sampling.get_sigmas_karras(steps, 0.01, 50.0)

    def model(state: Tensor, sigma: Tensor) -> Tensor:
        return free(state)

    for label, name, family in (
        ("euler", "sample_euler", "one-step"),
        ("dpmpp_2m", "sample_dpmpp_2m", "two-step"),
        ("lms", "sample_lms", "two-step"),
        ("euler_ancestral", "sample_euler_ancestral", "stochastic"),
    ):
        function = getattr(sampling, name)

        def run(function: Any = function) -> float:
            began = time.perf_counter()
            with torch.no_grad():
                function(model, x, sigmas, disable=True)
            return time.perf_counter() - began

        yield f"k-diffusion {label}", Contender(run, 1, family)


def stub_k_diffusion() -> None:
    """Let `k_diffusion.sampling` be imported: the package's own __init__ imports networks and metrics besides."""
    _let_torchvision_load()
    if "k_diffusion" not in sys.modules:
        for folder in sys.path:
            spec = import_module("importlib.machinery").PathFinder.find_spec("k_diffusion", [folder])
            if spec is not None and spec.submodule_search_locations:
                bare = ModuleType("k_diffusion")
                bare.__path__ = list(spec.submodule_search_locations)
                sys.modules["k_diffusion"] = bare
                break


def _smalldiffusion(x: Tensor, steps: int, free: Free) -> Iterator[tuple[str, Contender]]:
    _let_torchvision_load()
    diffusion = import_module("smalldiffusion.diffusion")
    accelerator = import_module("accelerate").Accelerator(cpu=True)
    sigmas = diffusion.ScheduleLogLinear(1000, 0.01, 50.0).sample_sigmas(steps)

    class FreeModel(torch.nn.Module):
        def predict_eps_cfg(self, state: Tensor, sigma: Tensor, cond: Any, scale: float) -> Tensor:
            return free(state)

        def rand_input(self, count: int) -> Tensor:
            return torch.randn((count, *x.shape[1:]))

    for label, options, family in (
        ("DDIM", {"gam": 1.0, "mu": 0.0}, "one-step"),
        ("accelerated", {"gam": 2.0, "mu": 0.0}, "two-step"),
        ("DDPM", {"gam": 1.0, "mu": 0.5}, "stochastic"),
    ):

        def run(options: Any = options) -> float:
            began = time.perf_counter()
            with torch.no_grad():
                for _ in diffusion.samples(FreeModel(), sigmas, xt=x, accelerator=accelerator, **options):
                    pass
            return time.perf_counter() - began

        yield f"smalldiffusion {label}", Contender(run, 1, family)


def _let_torchvision_load() -> None:
    """Declare the operators without which torchvision refuses to be imported beside a torch it was not built for.

    Only its functions in Python are imported here, and none of them is called.
    """
    try:
        import_module("torchvision")
    except RuntimeError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _KEPT.append(library)


_KEPT: list[Any] = []
"""Declarations of operators, which go with the object that made them."""
