"""Schedulers of the scaled state y = x / alpha, whose sigma is sigma / alpha: Euler, Heun, LMS and EDM's.

They step along dy / d sigma = eps (Karras et al., 2022, eq. 3 with s = 1).
"""

from math import inf
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Interval
from fokker import Claims, ConfigError, Grid, component
from fokker.edm_grid import EDMGrid

from fokker_diffusers.driven import BySigmas, Call, Coordinates, Ladder

__all__ = ["LMS", "EDMEuler", "EDMMultistep", "Euler", "EulerAncestral", "Heun"]


class _OnRatio(BySigmas):
    coordinates: ClassVar[Coordinates] = "ratio"
    wants: ClassVar[Literal["eps", "v"]] = "eps"


_TABLE: dict[str, Any] = {"num_train_timesteps": 2, "prediction_type": "epsilon"}


class _Churned(_OnRatio):
    """What the two Euler schedulers share: noise before a step.

    The model's answer is that before the noise, as diffusers has it: this is not the churn of Karras et al. (2022),
    which asks the model after it, and claims no law.
    """

    of_steps: ClassVar[frozenset[str]] = frozenset({"s_churn", "s_tmin", "s_tmax", "s_noise"})

    s_churn: float
    s_tmax: float | None

    @property
    def claims(self) -> Claims:
        """Order 1 without churn."""
        churned = self.s_churn > 0
        return Claims(
            order=None if churned else 1,
            stochastic=churned,
            schedule_invariant=True,
            exact_on_point_mass=not churned,
        )

    def step_options(self) -> dict[str, Any]:
        """The churn, without an upper bound where there is none."""
        return {**super().step_options(), "s_tmax": inf if self.s_tmax is None else self.s_tmax}


@component
class Euler(_Churned):
    """diffusers' EulerDiscreteScheduler: Euler's method (Karras et al., 2022, algorithm 2 without its second half).

        y_s = y_t + (sigma_s - sigma_t) eps

    Args:
        s_churn: Noise put in before each step, over the number of steps; diffusers asks the model before that.
        s_tmin: Least sigma at which it is.
        s_tmax: Largest sigma at which it is; none unless given.
        s_noise: Its standard deviation, in units of what the new level has.
    """

    scheduler: ClassVar[str] = "EulerDiscreteScheduler"
    timesteps: ClassVar[str] = "euler-discrete"

    s_churn: Annotated[float, Ge(0)] = 0.0
    s_tmin: Annotated[float, Ge(0)] = 0.0
    s_tmax: Annotated[float, Gt(0)] | None = None
    s_noise: Annotated[float, Gt(0)] = 1.0

    def start(self, ladder: Ladder) -> tuple[Any, list[list[Call]]]:
        """See `Driven`."""
        return self.once_each(self.laid(ladder, **_TABLE), ladder)


@component
class EulerAncestral(_OnRatio):
    """diffusers' EulerAncestralDiscreteScheduler: a step too far down, then noise (k-diffusion, 2022).

    y_s = y_t + (sigma_down - sigma_t) eps + sigma_up z,
    sigma_up^2 = sigma_s^2 (sigma_t^2 - sigma_s^2) / sigma_t^2,    sigma_down^2 = sigma_s^2 - sigma_up^2
    """

    scheduler: ClassVar[str] = "EulerAncestralDiscreteScheduler"
    timesteps: ClassVar[str] = "euler-ancestral-discrete"

    @property
    def claims(self) -> Claims:
        """The law of the reverse SDE to order 1."""
        return Claims(weak_order=1, stochastic=True, schedule_invariant=True, exact_on_point_mass=True)

    def start(self, ladder: Ladder) -> tuple[Any, list[list[Call]]]:
        """See `Driven`."""
        return self.once_each(self.laid(ladder, **_TABLE), ladder)


@component
class Heun(_OnRatio):
    """diffusers' HeunDiscreteScheduler: Heun's method (Karras et al., 2022, algorithm 1).

        y_s = y_t + (sigma_s - sigma_t) (eps_t + eps_s) / 2,    eps_s at the end of an Euler step

    Args:
        clip_sample: Whether the expected data is clamped at every evaluation.
        clip_sample_range: Clamped to this from zero.
    """

    scheduler: ClassVar[str] = "HeunDiscreteScheduler"
    timesteps: ClassVar[str] = "heun-discrete"

    clip_sample: bool = False
    clip_sample_range: Annotated[float, Gt(0)] = 1.0

    @property
    def claims(self) -> Claims:
        """Order 2, of two evaluations a step."""
        free = not self.clip_sample
        return Claims(
            order=2 if free else None,
            evaluations=2,
            schedule_invariant=True,
            finishes=self.finishing,
            at_end=int(self.finishing),
            exact_on_point_mass=free,
        )

    def start(self, ladder: Ladder) -> tuple[Any, list[list[Call]]]:
        """See `Driven`."""
        return self.twice_each(self.laid(ladder, **_TABLE), ladder)


@component
class LMS(_OnRatio):
    """diffusers' LMSDiscreteScheduler: Adams-Bashforth steps of any lengths in sigma (k-diffusion, 2022).

        y_s = y_t + sum_j eps_j int_t^s l_j(sigma) d sigma,    l_j Lagrange's polynomials through the last levels

    Args:
        order: Number of levels that are remembered.
    """

    scheduler: ClassVar[str] = "LMSDiscreteScheduler"
    timesteps: ClassVar[str] = "lms-discrete"
    of_steps: ClassVar[frozenset[str]] = frozenset({"order"})

    order: Annotated[int, Interval(ge=1, le=4)] = 4

    @property
    def claims(self) -> Claims:
        """Order 2 at most: the first step has order 1."""
        return Claims(
            order=min(self.order, 2), at_end=1, finishes=True, schedule_invariant=True, exact_on_point_mass=True
        )

    @property
    def finishing(self) -> bool:
        """Yes: its step to no noise remembers the levels before, and is not the expected data at the last of them."""
        return True

    def start(self, ladder: Ladder) -> tuple[Any, list[list[Call]]]:
        """See `Driven`."""
        return self.once_each(self.laid(ladder, **_TABLE), ladder)


_EDM: dict[str, Any] = {"prediction_type": "v_prediction", "sigma_data": 1.0, "num_train_timesteps": 2}
"""At sigma_data = 1 the preconditioned output is v, so that any model's prediction can be handed over as one."""


@component
class EDMEuler(_Churned):
    """diffusers' EDMEulerScheduler: Euler's method on EDM's levels (Karras et al., 2022, eq. 3).

    Args:
        s_churn: Noise put in before each step, over the number of steps; diffusers asks the model before that.
        s_tmin: Least sigma at which it is.
        s_tmax: Largest sigma at which it is; none unless given.
        s_noise: Its standard deviation, in units of what the new level has.
    """

    scheduler: ClassVar[str] = "EDMEulerScheduler"
    wants: ClassVar[Literal["eps", "v"]] = "v"

    s_churn: Annotated[float, Ge(0)] = 0.0
    s_tmin: Annotated[float, Ge(0)] = 0.0
    s_tmax: Annotated[float, Gt(0)] | None = None
    s_noise: Annotated[float, Gt(0)] = 1.0

    @property
    def own_grid(self) -> Grid:
        """The sigmas of that scheduler."""
        return EDMGrid()

    def start(self, ladder: Ladder) -> tuple[Any, list[list[Call]]]:
        """See `Driven`."""
        return self.once_each(self.laid(ladder, **_EDM), ladder)


@component
class EDMMultistep(_OnRatio):
    """diffusers' EDMDPMSolverMultistepScheduler: DPM-Solver++ on EDM's levels (Lu et al., 2022, algorithm 2).

    Args:
        solver_order: Order of the solver.
        algorithm_type: `dpmsolver++`, or `sde-dpmsolver++`, which draws.
        solver_type: How the second difference comes in, `midpoint` or `heun`.
        lower_order_final: Whether the last steps of fewer than 15 have a lower order.
        euler_at_final: Whether the very last one has order 1 in any case.
        thresholding: Whether the expected data is clamped to a quantile of its own (Saharia et al., 2022, section 2.3).
        dynamic_thresholding_ratio: That quantile, of the absolute values of an example.
        sample_max_value: The most that it may be.
        final_sigmas_type: What follows the grid: a step to no noise (`zero`), or nothing (`sigma_min`).
    """

    scheduler: ClassVar[str] = "EDMDPMSolverMultistepScheduler"
    wants: ClassVar[Literal["eps", "v"]] = "v"

    solver_order: Annotated[int, Interval(ge=1, le=3)] = 2
    algorithm_type: Literal["dpmsolver++", "sde-dpmsolver++"] = "dpmsolver++"
    solver_type: Literal["midpoint", "heun"] = "midpoint"
    lower_order_final: bool = True
    euler_at_final: bool = False
    thresholding: bool = False
    dynamic_thresholding_ratio: Annotated[float, Interval(ge=0, le=1)] = 0.995
    sample_max_value: Annotated[float, Ge(1)] = 1.0
    final_sigmas_type: Literal["zero", "sigma_min"] = "zero"

    def __post_init__(self) -> None:
        if self.solver_order == 3 and self.algorithm_type == "sde-dpmsolver++":
            raise ConfigError("EDMMultistep.solver_order = 3 has no SDE in diffusers; take 2, or 'dpmsolver++'.")

    @property
    def claims(self) -> Claims:
        """Order 2 at most: the first step has order 1. The SDE's law is of order 1."""
        stochastic = self.algorithm_type == "sde-dpmsolver++"
        return Claims(
            order=min(self.solver_order, 2) if not (stochastic or self.thresholding) else None,
            weak_order=1 if stochastic and not self.thresholding else None,
            stochastic=stochastic,
            schedule_invariant=True,
            finishes=self.finishing,
            at_end=int(self.finishing),
            exact_on_point_mass=not self.thresholding,
        )

    @property
    def own_grid(self) -> Grid:
        """The sigmas of that scheduler."""
        return EDMGrid()

    def start(self, ladder: Ladder) -> tuple[Any, list[list[Call]]]:
        """See `Driven`."""
        ending = "zero" if ladder.closed else "sigma_min"
        return self.once_each(self.laid(ladder, **_EDM, final_sigmas_type=ending), ladder)
