"""The scheduler of diffusers that goes with a plan: the reverse of what is taken in."""

from dataclasses import fields, is_dataclass
from typing import Any

from fokker import ConfigError
from fokker.grid import Exponential, Karras
from fokker.label import CNoise, Index, Sigma, ThousandTime
from fokker.linear import EDMNoise, Flow
from fokker.parameterization import EDM, X0, Eps, Score, V, Velocity
from fokker.perturbation import VE
from fokker.plan import Plan
from fokker.table import Betas

from fokker_diffusers.configs import scheduler_class
from fokker_diffusers.driven import Driven
from fokker_diffusers.grids import FlowSigmas, Timesteps
from fokker_diffusers.label import Timestep
from fokker_diffusers.negated import EDMv

__all__ = ["scheduler_of"]

_WHOLE_LINE = -60.0
"""Log-SNR below which what is left of the data is less than rounding."""


def scheduler_of(plan: Plan, *, variance: str = "none") -> Any:
    """A scheduler of diffusers, for the network of a plan.

    It is the one that the plan is sampled by, where that is a scheduler of diffusers; else a usual one for such
    networks, from whose configuration any other can be made.

    Args:
        plan: The plan.
        variance: What the second half of the network's channels is, if there is one.

    Raises:
        ConfigError: If diffusers tells its networks something else, or reads them in another way, naming the part.
    """
    p = plan.perturbation
    if isinstance(p, Betas):
        return _table(plan, p, variance)
    if isinstance(p, EDMNoise):
        _demand(plan, CNoise, "c-noise")
        read = plan.parameterization
        if not isinstance(read, EDM | EDMv):
            raise _misread(plan, "edm or diffusers/edm-v")
        kind = "epsilon" if isinstance(read, EDM) else "v_prediction"
        options: dict[str, Any] = {"sigma_min": p.sigma_min, "sigma_max": p.sigma_max, "sigma_data": read.sigma_data}
        grid = plan.sample.grid
        if isinstance(grid, Karras):
            options["rho"] = grid.rho
        elif isinstance(grid, Exponential):
            options["sigma_schedule"] = "exponential"
        return _made(plan, "EDM", "EDMEulerScheduler", {**options, "prediction_type": kind})
    if isinstance(p, Flow):
        if p.log_snr_min > _WHOLE_LINE:
            raise ConfigError(
                f"perturbation flow:log_snr_min={p.log_snr_min:g} stops before diffusers' flow does; train with "
                "flow:log_snr_min=-80 to write it out."
            )
        _demand(plan, ThousandTime, "1000t")
        if not isinstance(plan.parameterization, Velocity):
            raise _misread(plan, "velocity")
        grid = plan.sample.grid
        shift = grid.shift if isinstance(grid, FlowSigmas) else 1.0
        return _made(plan, "FlowMatch", "FlowMatchEulerDiscreteScheduler", {"shift": shift})
    if isinstance(p, VE):
        _demand(plan, Sigma, "sigma")
        if not isinstance(plan.parameterization, Score):
            raise _misread(plan, "score")
        options = {"sigma_min": p.sigma_min, "sigma_max": p.sigma_max, "num_train_timesteps": plan.sample.steps + 1}
        sampler = plan.sample.sampler
        options["snr"] = getattr(getattr(sampler, "corrector", None), "snr", 0.15)
        options["correct_steps"] = getattr(sampler, "corrections", 1)
        return scheduler_class("ScoreSdeVeScheduler")(**options)
    raise ConfigError(
        f"diffusers has no perturbation {type(p).__name__}; those that can be written out are betas, edm, flow and ve."
    )


def _table(plan: Plan, p: Betas, variance: str) -> Any:
    if not isinstance(plan.label, Timestep | Index):
        raise ConfigError(
            f"diffusers tells its networks the level of the table, and this one was told {type(plan.label).__name__}; "
            "train with the label diffusers/timestep or index to write it out."
        )
    kinds = {Eps: "epsilon", X0: "sample", V: "v_prediction"}
    kind = kinds.get(type(plan.parameterization))
    if kind is None:
        raise _misread(plan, "eps, x0 or v")
    options: dict[str, Any] = {"num_train_timesteps": p.steps, "prediction_type": kind}
    names = {"linear": "linear", "scaled-linear": "scaled_linear", "cosine": "squaredcos_cap_v2"}
    if p.schedule == "values":
        assert p.values is not None
        options["trained_betas"] = list(p.values)
    else:
        options["beta_schedule"] = names[p.schedule]
        if p.start is not None:
            options |= {"beta_start": p.start, "beta_end": p.end}
    if p.zero_terminal_snr:
        options["rescale_betas_zero_snr"] = True
    grid = plan.sample.grid
    if isinstance(grid, Timesteps):
        if grid.timestep_spacing is not None:
            options |= {"timestep_spacing": grid.timestep_spacing, "steps_offset": grid.steps_offset}
        if grid.sigmas != "table":
            options[f"use_{grid.sigmas}_sigmas"] = True
    usual = "DDPMScheduler" if type(plan.sample.sampler).__name__ == "Ancestral" else "DDIMScheduler"
    made = _made(plan, "", usual, options, {"clip_sample": False})
    if variance != "none" and "variance_type" in made.config:
        made.register_to_config(variance_type=variance)
    return made


def _made(plan: Plan, family: str, usual: str, options: dict[str, Any], of_usual: dict[str, Any] | None = None) -> Any:
    """The plan's own scheduler if it is of this family, with its options, else the usual one."""
    sampler = plan.sample.sampler
    own = isinstance(sampler, Driven) and (
        sampler.scheduler.startswith(family) if family else not sampler.scheduler.startswith(("EDM", "FlowMatch"))
    )
    if not own:
        return scheduler_class(usual)(**{**(of_usual or {}), **options})
    assert isinstance(sampler, Driven) and is_dataclass(sampler)
    given = {f.name: getattr(sampler, f.name) for f in fields(sampler) if f.name not in sampler.of_steps}
    given = {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}
    if sampler.scheduler == "PNDMScheduler":
        given["skip_prk_steps"] = True
    if sampler.scheduler == "DPMSolverSinglestepScheduler":
        given["lower_order_final"] = True
    grid = plan.sample.grid
    if sampler.scheduler == "DDIMScheduler" and plan.sample.final == "none" and isinstance(grid, Timesteps):
        given["set_alpha_to_one"] = False
    return scheduler_class(sampler.scheduler)(**{**given, **options})


def _demand(plan: Plan, label: type, name: str) -> None:
    if not isinstance(plan.label, label):
        raise ConfigError(
            f"diffusers tells such networks {name}, and this one was told {type(plan.label).__name__}; train with the "
            f"label {name} to write it out."
        )


def _misread(plan: Plan, names: str) -> ConfigError:
    read, perturbation = type(plan.parameterization).__name__, type(plan.perturbation).__name__
    return ConfigError(
        f"diffusers does not read networks as {read} on {perturbation}; "
        f"train with the parameterization {names} to write it out."
    )
