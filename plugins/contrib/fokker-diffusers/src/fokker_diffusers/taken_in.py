"""What a scheduler's configuration says of a plan: every key has a place, or is refused by its name."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from fokker import ConfigError

from fokker_diffusers.configs import accepted, scheduler_class
from fokker_diffusers.driven import Driven
from fokker_diffusers.on_ratios import LMS, EDMEuler, EDMMultistep, Euler, EulerAncestral, Heun
from fokker_diffusers.on_tables import DDIM, DDPM, PNDM
from fokker_diffusers.on_the_line import DEIS, DPMMultistep, DPMSinglestep, FlowEuler, FlowHeun, UniPC

__all__ = ["WRAPPED", "Meaning", "meaning_of"]

OWN = "fokker-diffusers"
WRAPPED: dict[str, type[Driven]] = {
    cls.scheduler: cls
    for cls in (
        *(DDPM, DDIM, PNDM, DPMMultistep, DPMSinglestep, UniPC, DEIS),
        *(Euler, EulerAncestral, Heun, LMS, EDMEuler, EDMMultistep, FlowEuler, FlowHeun),
    )
}
"""The samplers by the schedulers that they wrap."""

_PREDICTIONS = {"epsilon": "eps", "sample": "x0", "v_prediction": "v"}
_SCHEDULES = {"linear": "linear", "scaled_linear": "scaled-linear", "squaredcos_cap_v2": "cosine"}
_IDLE: dict[str, tuple[Any, ...]] = {
    "interpolation_type": ("linear",),
    "timestep_type": ("discrete",),
    "use_lu_lambdas": (False,),
    "use_flow_sigmas": (False,),
    "lambda_min_clipped": (-math.inf,),
    "use_dynamic_shifting": (False,),
    "solver_p": (None,),
    "sigma_min": (None,),
    "sigma_max": (None,),
    "shift_terminal": (None, 0),
    "skip_prk_steps": (True,),
    "invert_sigmas": (False,),
    "use_karras_sigmas": (False,),
    "use_exponential_sigmas": (False,),
    "use_beta_sigmas": (False,),
    "algorithm_type": ("dpmsolver++", "deis"),
    "solver_type": ("logrho",),
    "variance_type": (None,),
    "final_sigmas_type": ("zero",),
}
"""Keys without a place, and the values at which they do nothing."""
_UNUSED = {
    "flow_shift": "use_flow_sigmas",
    "time_shift_type": "use_dynamic_shifting",
    "base_shift": "use_dynamic_shifting",
    "max_shift": "use_dynamic_shifting",
    "base_image_seq_len": "use_dynamic_shifting",
    "max_image_seq_len": "use_dynamic_shifting",
}
"""Keys that are read only where another one is set, which is refused itself."""


@dataclass
class Meaning:
    """What a scheduler says.

    Args:
        facts: Tables of the plan on which the network's output depends.
        defaults: Tables that a recipe may replace.
        variance: What the second half of doubled channels is, if it says so.
        recentred: Whether images are in [-1, 1], not in [0, 1].
    """

    facts: dict[str, Any]
    defaults: dict[str, Any]
    variance: str | None = None
    recentred: bool = True


@dataclass
class _Keys:
    """The keys of a configuration, taken out one by one; those that are left have no place."""

    name: str
    values: dict[str, Any]
    left: set[str] = field(init=False)

    def __post_init__(self) -> None:
        self.left = set(self.values)

    def take(self, key: str, default: Any = None) -> Any:
        self.left.discard(key)
        return self.values.get(key, default)

    def finish(self) -> None:
        """Refuse what is left and does something.

        Raises:
            ConfigError: Naming the key and its value.
        """
        for key in sorted(self.left):
            value = self.values[key]
            if key in _UNUSED or value in _IDLE.get(key, ()):
                continue
            possible = [v for v in _IDLE.get(key, ()) if v is not None]
            way_out = f"it can be {' or '.join(map(str, possible))}" if possible else "take it out"
            raise ConfigError(
                f"scheduler_config.json: {self.name}.{key} = {value!r} has no place in fokker; {way_out}, or choose "
                "another scheduler."
            )


def meaning_of(config: Mapping[str, Any]) -> Meaning:
    """What a scheduler's configuration says.

    Raises:
        ConfigError: If the scheduler is none that can be taken in, or sets a key without a place, naming it.
    """
    name = str(config.get("_class_name", ""))
    cls = scheduler_class(name)
    own = accepted(cls, config, "scheduler_config.json")
    keys = _Keys(name, {**_usual(cls), **own})
    if name == "ScoreSdeVeScheduler":
        found = _ve(keys)
    elif name not in WRAPPED:
        raise ConfigError(
            f"scheduler_config.json is of {name}; those that can be taken in are {', '.join(WRAPPED)} and "
            "ScoreSdeVeScheduler."
        )
    elif name.startswith("EDM"):
        found = _edm(keys)
    elif name.startswith("FlowMatch"):
        found = _flow(keys)
    else:
        found = _table(keys)
    keys.finish()
    return found


def _usual(cls: type) -> dict[str, Any]:
    import inspect

    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]  # type: ignore[misc]
    return {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}


def _sampler(keys: _Keys) -> dict[str, Any]:
    """The sampler that wraps the scheduler, with what the configuration says of its fields."""
    cls = WRAPPED[keys.name]
    table: dict[str, Any] = {"name": f"{OWN}/{_named(cls)}"}
    for f in fields(cls):  # type: ignore[arg-type]
        if f.name not in cls.of_steps:
            value = keys.take(f.name)
            table[f.name] = list(value) if isinstance(value, list | tuple) else value
    return table


def _named(cls: type[Driven]) -> str:
    from fokker_diffusers import SAMPLERS

    target = f"{cls.__module__.rpartition('.')[2]}:{cls.__name__}"
    return next(name for name, each in SAMPLERS.items() if each == target)


def _table(keys: _Keys) -> Meaning:
    steps = keys.take("num_train_timesteps")
    prediction = keys.take("prediction_type")
    if prediction not in _PREDICTIONS:
        raise ConfigError(
            f"scheduler_config.json: {keys.name}.prediction_type = {prediction!r} has no place in fokker on a table of "
            f"betas; it can be {', '.join(_PREDICTIONS)}."
        )
    learned = keys.values.get("variance_type")
    learned = learned if learned in ("learned", "learned_range") else None
    if learned is not None:
        keys.values["variance_type"] = "fixed_large" if keys.name == "DDPMScheduler" else None
    to_one = keys.take("set_alpha_to_one", True)
    offset, spacing = keys.take("steps_offset", 0), keys.take("timestep_spacing")
    if keys.name == "DPMSolverSinglestepScheduler":
        keys.take("lower_order_final")  # diffusers turns it on where it is off, for the last step
    if keys.name == "PNDMScheduler" and to_one:
        keys.left.add("set_alpha_to_one")
    sigmas = next((s for s in ("karras", "exponential", "beta") if keys.values.get(f"use_{s}_sigmas")), "table")
    for each in ("karras", "exponential", "beta"):
        keys.take(f"use_{each}_sigmas")
    sampler = _sampler(keys)
    ending = sampler.get("final_sigmas_type", keys.take("final_sigmas_type", "zero"))
    if keys.name == "DDIMScheduler" and not to_one and offset:
        ending = "sigma_min"  # the loop ends on the first level, below its last timestep
    grid: dict[str, Any] = {
        "name": f"{OWN}/timesteps",
        "scheduler": WRAPPED[keys.name].timesteps,
        "sigmas": sigmas,
        "final_sigmas_type": ending,
    }
    if spacing is not None:
        grid |= {"timestep_spacing": spacing, "steps_offset": offset}
    noisy = ending == "sigma_min" or not to_one or keys.name == "DEISMultistepScheduler"
    many = steps if keys.name == "DDPMScheduler" else 50
    of_epsilon = prediction == "epsilon"
    return Meaning(
        facts={
            "perturbation": _betas(keys, steps),
            "label": {"name": f"{OWN}/timestep", "between": _between(keys.name, spacing, sigmas)},
            "parameterization": _PREDICTIONS[prediction],
        },
        defaults={
            "objective": "ddpm" if of_epsilon else {"name": "denoising", "weighting": "edm"},
            "sample": {
                "sampler": sampler,
                "grid": grid,
                "steps": many if ending == "sigma_min" or keys.name == "DEISMultistepScheduler" else many - 1,
                "final": "none" if noisy else "tweedie",
            },
        },
        variance=learned,
    )


def _between(name: str, spacing: str | None, sigmas: str) -> str:
    """What diffusers tells the network between two levels."""
    if sigmas != "table":
        return {"DPMSolverMultistepScheduler": "round", "UniPCMultistepScheduler": "floor"}.get(name, "interpolate")
    return "linear" if spacing == "linspace" and name.startswith(("Euler", "LMS", "Heun")) else "interpolate"


def _betas(keys: _Keys, steps: int) -> dict[str, Any]:
    start, end, schedule = (keys.take(f"beta_{each}") for each in ("start", "end", "schedule"))
    values, rescaled = keys.take("trained_betas"), keys.take("rescale_betas_zero_snr", False)
    table: dict[str, Any] = {"name": "betas", "steps": steps}
    if rescaled:
        table["zero_terminal_snr"] = True
    if values is None and schedule in _SCHEDULES:
        table["schedule"] = _SCHEDULES[schedule]
        return table if table["schedule"] == "cosine" else {**table, "start": float(start), "end": float(end)}
    if values is None:  # a formula that only diffusers has
        plain = {"num_train_timesteps": steps, "beta_start": start, "beta_end": end, "beta_schedule": schedule}
        values = scheduler_class(keys.name)(**plain).betas.tolist()
    return {**table, "steps": len(values), "schedule": "values", "values": [float(v) for v in values]}


def _edm(keys: _Keys) -> Meaning:
    low, high, data, rho = (float(keys.take(key)) for key in ("sigma_min", "sigma_max", "sigma_data", "rho"))
    keys.take("num_train_timesteps")  # of the loop's own table, which nothing reads once the steps are set
    prediction, schedule = keys.take("prediction_type"), keys.take("sigma_schedule")
    if prediction not in ("epsilon", "v_prediction"):
        raise ConfigError(
            f"scheduler_config.json: {keys.name}.prediction_type = {prediction!r} has no place in fokker; it can be "
            "epsilon or v_prediction."
        )
    ends = {"sigma_max": high, "sigma_min": low}
    grid = {"name": "karras", "rho": rho, **ends} if schedule == "karras" else {"name": "exponential", **ends}
    sampler = _sampler(keys)
    return Meaning(
        facts={
            "perturbation": {"name": "edm", "sigma_min": low, "sigma_max": high},
            "label": "c-noise",
            "parameterization": {"name": "edm" if prediction == "epsilon" else f"{OWN}/edm-v", "sigma_data": data},
        },
        defaults={
            "objective": {"name": "denoising", "weighting": "edm"},
            "sample": {"sampler": sampler, "grid": grid, "steps": 17},
        },
    )


def _flow(keys: _Keys) -> Meaning:
    steps, shift = keys.take("num_train_timesteps"), float(keys.take("shift"))
    if steps != 1000:
        raise ConfigError(
            f"scheduler_config.json: {keys.name}.num_train_timesteps = {steps} has no place in fokker, where a network "
            "is told 1000 t; it can be 1000."
        )
    return Meaning(
        facts={
            "perturbation": {"name": "flow", "log_snr_min": -80.0},
            "label": "1000t",
            "parameterization": "velocity",
        },
        defaults={
            "objective": "flow-matching",
            "sample": {
                "sampler": _sampler(keys),
                "grid": {"name": f"{OWN}/flow-sigmas", "shift": shift},
                "steps": 49,
            },
        },
    )


def _ve(keys: _Keys) -> Meaning:
    low, high = float(keys.take("sigma_min")), float(keys.take("sigma_max"))
    steps, snr, corrections = (keys.take(key) for key in ("num_train_timesteps", "snr", "correct_steps"))
    keys.take("sampling_eps")  # where the loop stops: the grid ends at t = 0, whose noise is sigma_min
    corrector: dict[str, Any] = {"name": "langevin", "snr": float(snr)}
    sampler: dict[str, Any] = {"name": "pc", "predictor": "reverse-diffusion", "corrector": corrector}
    if corrections:
        sampler["corrections"] = corrections
    else:
        sampler["corrector"] = "unchanged"
    return Meaning(
        facts={
            "perturbation": {"name": "ve", "sigma_min": low, "sigma_max": high},
            "label": "sigma",
            "parameterization": "score",
        },
        defaults={"sample": {"sampler": sampler, "grid": "uniform", "steps": steps - 1}},
        recentred=False,
    )
