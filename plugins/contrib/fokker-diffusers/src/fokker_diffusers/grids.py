"""Where diffusers' loops stop: its own timesteps and sigmas, as times of fokker's.

A loop of n timesteps ends with a step to no noise, which here is the expected data at the last of them: n evaluations
are n - 1 steps of the grid and the end by `final=tweedie`.
"""

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from annotated_types import Ge, Gt
from fokker import ConfigError, Grid, component
from fokker.perturbation import Perturbation
from torch import Tensor

from fokker_diffusers.configs import scheduler_class

__all__ = ["FlowSigmas", "Timesteps"]

Name = Literal[
    "ddpm",
    "ddim",
    "pndm",
    "dpm-solver-multistep",
    "dpm-solver-singlestep",
    "unipc-multistep",
    "deis-multistep",
    "euler-discrete",
    "euler-ancestral-discrete",
    "heun-discrete",
    "lms-discrete",
]
_CLASSES: dict[str, str] = {
    "ddpm": "DDPMScheduler",
    "ddim": "DDIMScheduler",
    "pndm": "PNDMScheduler",
    "dpm-solver-multistep": "DPMSolverMultistepScheduler",
    "dpm-solver-singlestep": "DPMSolverSinglestepScheduler",
    "unipc-multistep": "UniPCMultistepScheduler",
    "deis-multistep": "DEISMultistepScheduler",
    "euler-discrete": "EulerDiscreteScheduler",
    "euler-ancestral-discrete": "EulerAncestralDiscreteScheduler",
    "heun-discrete": "HeunDiscreteScheduler",
    "lms-discrete": "LMSDiscreteScheduler",
}
_NO_SPACING = ("dpm-solver-singlestep",)
_NO_SIGMAS = ("ddpm", "ddim", "pndm", "euler-ancestral-discrete")
_LEVELS = 1000


@component
class Timesteps(Grid):
    """The timesteps or sigmas of a scheduler of diffusers (Lin et al., 2024, table 2; Karras et al., 2022, eq. 5).

    On a table they are its levels, or lie between two of them where diffusers' do. A perturbation without a table is
    taken for one of 1000 levels at t = i / 1000.

    Args:
        scheduler: Whose they are: each has a rule of its own.
        timestep_spacing: How they are spread over the levels; as that scheduler does it unless given.
        steps_offset: Added to each with the spacing `leading`.
        sigmas: Whether sigma / alpha is that of the timesteps (`table`), or spread anew between its ends: `karras`,
            `exponential` or `beta`.
        final_sigmas_type: What follows the grid: a step to no noise (`zero`), or nothing (`sigma_min`), in which case
            it ends on level 1.
    """

    scheduler: Name = "ddim"
    timestep_spacing: Literal["leading", "linspace", "trailing"] | None = None
    steps_offset: Annotated[int, Ge(0)] = 0
    sigmas: Literal["table", "karras", "exponential", "beta"] = "table"
    final_sigmas_type: Literal["zero", "sigma_min"] = "zero"

    def __post_init__(self) -> None:
        if self.scheduler in _NO_SPACING and (self.timestep_spacing is not None or self.steps_offset):
            raise ConfigError(f"Timesteps.timestep_spacing is no option of {self.scheduler}; leave it out.")
        if self.scheduler in _NO_SIGMAS and self.sigmas != "table":
            raise ConfigError(f"Timesteps.sigmas = {self.sigmas} is no option of {self.scheduler}; leave it out.")
        if self.scheduler == "deis-multistep":
            object.__setattr__(self, "final_sigmas_type", "sigma_min")  # it has no other end

    def ends(self, perturbation: Perturbation, steps: int) -> tuple[float, float]:
        """The first and the last of the times."""
        times = self.times(perturbation, steps)
        return float(times[0]), float(times[-1])

    def times(self, perturbation: Perturbation, steps: int) -> Tensor:
        """Asks diffusers."""
        knots = _levels(perturbation)
        alpha, sigma = perturbation.alpha(knots), perturbation.sigma(knots)
        closed = self.final_sigmas_type == "sigma_min"
        n = steps if closed else steps + 1
        scheduler = self._made(alpha**2 / (alpha**2 + sigma**2))
        try:
            scheduler.set_timesteps(n)
        except (ValueError, IndexError) as error:
            reason = " ".join(str(error).split()).partition(".")[0]
            raise ConfigError(f"diffusers has no {n} timesteps for {len(knots)} levels: {reason}.") from None
        if self.sigmas == "table":
            times = _at(scheduler.timesteps.double(), knots, sigma / alpha, perturbation)
        else:
            ratios = scheduler.sigmas[: len(scheduler.timesteps)].double()
            times = perturbation.time(-2 * ratios.log())
        times = _distinct(times)
        if closed:
            times = torch.cat([times, knots[:1]])
        if len(times) != steps + 1:
            raise ConfigError(
                f"{len(knots)} levels have no {steps + 1} timesteps of {self.scheduler}; take fewer steps."
            )
        return times

    def _made(self, alpha_bar: Tensor) -> Any:
        before = torch.cat([torch.ones_like(alpha_bar[:1]), alpha_bar[:-1]])
        # diffusers' table is of single precision, in which these are the least and the most that leave some of either
        betas = (1 - alpha_bar / before).clamp(min=2**-22, max=1 - 2**-24)
        more: dict[str, Any] = {}
        if self.timestep_spacing is not None:
            more["timestep_spacing"] = self.timestep_spacing
        if self.steps_offset:
            more["steps_offset"] = self.steps_offset
        if self.sigmas != "table":
            more[f"use_{self.sigmas}_sigmas"] = True
        if self.scheduler == "pndm":
            more["skip_prk_steps"] = True
        if self.scheduler == "dpm-solver-singlestep":
            more["lower_order_final"] = True
        return scheduler_class(_CLASSES[self.scheduler])(
            num_train_timesteps=len(betas), trained_betas=betas.tolist(), **more
        )


@component
class FlowSigmas(Grid):
    """The sigmas of diffusers' flow-matching schedulers (Esser et al., 2024, eq. 23).

        s = shift u / (1 + (shift - 1) u),    u from 1 to 1 / 1000 in equal steps,    s = sigma / (alpha + sigma)

    Args:
        shift: Above 1 spends more steps at large noise; diffusers applies it to the last level too.
    """

    shift: Annotated[float, Gt(0)] = 1.0

    levels: ClassVar[int] = _LEVELS

    def ends(self, perturbation: Perturbation, steps: int) -> tuple[float, float]:
        """The first and the last of the times."""
        times = self.times(perturbation, steps)
        return float(times[0]), float(times[-1])

    def times(self, perturbation: Perturbation, steps: int) -> Tensor:
        """Inverts the log-SNR."""

        def shifted(u: Tensor) -> Tensor:
            return self.shift * u / (1 + (self.shift - 1) * u)

        # the scheduler's own ends are shifted when it is made, and all of them again when its steps are set
        ends = shifted(torch.tensor([1.0, 1 / self.levels], dtype=torch.float64))
        s = shifted(torch.from_numpy(np.linspace(float(ends[0]), float(ends[1]), steps + 1)))
        times = perturbation.time(2 * ((1 - s).log() - s.log()))
        if bool((times.diff() >= 0).any()):
            raise ConfigError(
                f"{type(perturbation).__name__} ends with less noise than the line has there, so that {steps} steps of "
                "'flow-sigmas' fall together; take fewer, or the perturbation 'flow'."
            )
        return times


def _levels(p: Perturbation) -> Tensor:
    if p.knots is not None:
        return p.knots
    times = torch.arange(1, _LEVELS + 1, dtype=torch.float64) / _LEVELS
    kept = times[(times >= p.t_min) & (p.sigma(times) > 0)]
    return kept


def _at(timesteps: Tensor, knots: Tensor, ratios: Tensor, p: Perturbation) -> Tensor:
    """The times of timesteps: levels, and between two of them where sigma / alpha is linear, as diffusers has it."""
    low = timesteps.floor().long().clamp(0, len(knots) - 1)
    high = (low + 1).clamp(max=len(knots) - 1)
    share = timesteps - low
    if not bool((share != 0).any()):
        return knots[low]
    between = p.time(-2 * torch.lerp(ratios[low], ratios[high], share).log())
    return torch.where(share == 0, knots[low], between)


def _distinct(times: Tensor) -> Tensor:
    """Without the repetitions of schedulers that look at a level twice."""
    kept = torch.ones(len(times), dtype=torch.bool)
    kept[1:] = times.diff() != 0
    return times[kept]
