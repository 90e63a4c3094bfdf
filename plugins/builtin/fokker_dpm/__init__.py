"""Exponential integrators: multistep and singlestep samplers with coefficients from one implementation."""

from typing import TYPE_CHECKING

from fokker import hookimpl

if TYPE_CHECKING:
    from fokker.plugins.registry import Registry

__all__ = ["fokker_register"]


@hookimpl
def fokker_register(registry: "Registry") -> None:
    """Register the built-in components of this plugin."""
    for name, target, summary in (
        ("auto", "auto:Auto", "The default: Adams's methods in the angle of the noise, order by the number of steps."),
        (
            "exponential-adams",
            "exponential_adams:ExponentialAdams",
            "Exponential Adams-Bashforth, in eps, x0 or v, order 1 to 4.",
        ),
        ("deis", "deis:DEIS", "DEIS: eps as a polynomial in the time."),
        ("lms", "lms:LMS", "Linear multistep: eps as a polynomial in sigma."),
        ("dpm-solver-1", "dpm_singlestep:DPMSolver1", "DPM-Solver of order 1, which is DDIM."),
        ("dpm-solver-2", "dpm_singlestep:DPMSolver2", "DPM-Solver of order 2, two evaluations a step."),
        ("dpm-solver-3", "dpm_singlestep:DPMSolver3", "DPM-Solver of order 3, three evaluations a step."),
        ("dpm-solver-2m", "dpm_multistep:DPMSolver2M", "DPM-Solver++(2M), one evaluation a step."),
        ("dpm-solver-3m", "dpm_multistep:DPMSolver3M", "DPM-Solver++(3M), one evaluation a step."),
        ("sde-dpm-solver", "sde_dpm_solver:SDEDPMSolver", "SDE-DPM-Solver++, multistep with noise."),
        ("unipc", "unipc:UniPC", "UniPC: predictor and corrector for one evaluation a step."),
    ):
        registry.sampler(name, f"fokker_dpm.{target}", summary=summary)
