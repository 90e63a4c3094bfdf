"""The samplers of other packages on an exact score: those that came out best when all were measured.

A contender gets a function for the expected data given y = x0 + s z and s, which counts its calls, the standard normal
latents and a number of evaluations. It starts at `top` times the latents, whatever its own scaling is.
"""

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, NamedTuple

import torch
from peers import stub_k_diffusion
from torch import Tensor

__all__ = ["Contender", "Denoise", "contenders"]

Denoise = Callable[[Tensor, float], Tensor]
"""Expected data given y = x0 + s z, (B, d), and s."""


class Contender(NamedTuple):
    """A sampler of some package with its grid.

    Args:
        run: Makes samples of latents by a number of evaluations.
        top: The s that it starts from.
        stochastic: Whether it draws, from torch's global generator.
    """

    run: Callable[[Denoise, Tensor, int], Tensor]
    top: float
    stochastic: bool = False


def contenders() -> tuple[dict[str, Contender], list[str]]:
    """The samplers of the packages that are installed, and why others are not among them."""
    found: dict[str, Contender] = {}
    missing: list[str] = []
    for maker in (_azula, _diffusers, _k_diffusion):
        try:
            found.update(maker())
        except (ImportError, RuntimeError) as error:
            missing.append(f"{maker.__name__.strip('_')}: {error}")
    return found, missing


def _azula() -> Iterator[tuple[str, Contender]]:
    sample, noise, denoise = (import_module(f"azula.{name}") for name in ("sample", "noise", "denoise"))

    class Karras(noise.Schedule):  # type: ignore[misc, name-defined]
        def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
            low, high = 0.002 ** (1 / 7), 80 ** (1 / 7)
            return torch.ones_like(t), (low + t * (high - low)) ** 7

    class Exact(denoise.Denoiser):  # type: ignore[misc, name-defined]
        def __init__(self, answer: Denoise) -> None:
            super().__init__()
            self.schedule, self.answer = Karras(), answer

        def forward(self, x_t: Tensor, t: Tensor, **kwargs: Any) -> Any:
            return denoise.DiracPosterior(mean=self.answer(x_t, float(self.schedule(t)[1])))

    def contender(name: str, stochastic: bool = False, **options: Any) -> Contender:
        def run(answer: Denoise, z: Tensor, n: int) -> Tensor:
            sampler = getattr(sample, name)(Exact(answer), steps=n, silent=True, dtype=torch.float64, **options)
            return sampler(80 * z).to(z.dtype)

        return Contender(run, 80.0, stochastic)

    yield "azula zEAB2 [ve]", contender("zEABSampler", order=2)
    yield "azula zEAB3 [ve]", contender("zEABSampler", order=3)
    yield "azula vAB3 [ve]", contender("vABSampler", order=3)
    yield "azula Ito [ve]", contender("ItoSampler", stochastic=True)


def _diffusers() -> Iterator[tuple[str, Contender]]:
    diffusers = import_module("diffusers")
    betas = torch.linspace(0.0001, 0.02, 1000, dtype=torch.float32)
    bars = (1 - betas).cumprod(0).double()

    def of_vp(**options: Any) -> Contender:
        top = float(((1 - bars[-1]) / bars[-1]).sqrt())

        def run(answer: Denoise, z: Tensor, n: int) -> Tensor:
            scheduler = diffusers.UniPCMultistepScheduler(**options)
            scheduler.set_timesteps(n)
            x = float(bars[-1].sqrt()) * top * z
            for t in scheduler.timesteps:
                bar = float(bars[int(t)])
                s = ((1 - bar) / bar) ** 0.5
                eps = (x / bar**0.5 - answer(x / bar**0.5, s)) / s
                x = scheduler.step(eps, t, x).prev_sample
            return x

        return Contender(run, top)

    def of_edm(stochastic: bool = False, **options: Any) -> Contender:
        def run(answer: Denoise, z: Tensor, n: int) -> Tensor:
            scheduler = diffusers.EDMDPMSolverMultistepScheduler(sigma_data=1.0, **options)
            scheduler.set_timesteps(n)
            x = 80 * z
            for k, t in enumerate(scheduler.timesteps):
                s = float(scheduler.sigmas[k])
                # its network's output F, of which it makes the expected data again
                f = (answer(x, s) - x / (s**2 + 1)) * (s**2 + 1) ** 0.5 / s
                x = scheduler.step(f, t, x).prev_sample
            return x

        return Contender(run, 80.0, stochastic)

    yield "diffusers UniPC-2 [exp]", of_vp(solver_order=2, use_exponential_sigmas=True)
    yield "diffusers UniPC-3 [vp trailing]", of_vp(solver_order=3, timestep_spacing="trailing")
    yield "diffusers EDM DPM++3M [exp]", of_edm(solver_order=3, sigma_schedule="exponential")
    sde = {"solver_order": 2, "algorithm_type": "sde-dpmsolver++"}
    yield "diffusers EDM DPM++2M SDE [exp]", of_edm(True, sigma_schedule="exponential", **sde)


def _k_diffusion() -> Iterator[tuple[str, Contender]]:
    stub_k_diffusion()
    sampling = import_module("k_diffusion.sampling")
    grids = {
        "ve": lambda n: sampling.get_sigmas_karras(n, 0.002, 80.0),
        "exp": lambda n: sampling.get_sigmas_exponential(n, 0.002, 80.0),
        "vp": lambda n: sampling.get_sigmas_vp(n),
    }

    def contender(name: str, grid: str, stochastic: bool = False) -> Contender:
        def run(answer: Denoise, z: Tensor, n: int) -> Tensor:
            # a step has two evaluations, but the last one, to 0, has one
            sigmas = grids[grid]((n + 1) // 2 if stochastic else n)

            def model(x: Tensor, sigma: Tensor) -> Tensor:
                return answer(x, float(sigma[0]))

            return getattr(sampling, name)(model, sigmas[0] * z, sigmas, disable=True)

        return Contender(run, float(grids[grid](2)[0]), stochastic)

    for grid in grids:
        yield f"k-diffusion lms [{grid}]", contender("sample_lms", grid)
    yield "k-diffusion dpmpp_2m [ve]", contender("sample_dpmpp_2m", "ve")
    yield "k-diffusion dpmpp_sde [exp]", contender("sample_dpmpp_sde", "exp", stochastic=True)
