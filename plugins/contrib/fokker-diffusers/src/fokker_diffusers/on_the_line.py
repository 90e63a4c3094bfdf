"""Schedulers that step on a line from data to noise, or in the log-SNR, where any coordinates will do: here the line's.

On the line alpha + sigma = 1, so that alpha = 0 and sigma = 0 are both ordinary places.
"""

from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Interval
from fokker import Claims, ConfigError, Grid, component
from torch import Tensor

from fokker_diffusers.driven import BySigmas, Call, Coordinates, Ladder
from fokker_diffusers.grids import FlowSigmas

__all__ = ["DEIS", "DPMMultistep", "DPMSinglestep", "FlowEuler", "FlowHeun", "UniPC"]


class _OnLine(BySigmas):
    coordinates: ClassVar[Coordinates] = "line"
    wants: ClassVar[Literal["eps", "v"]] = "v"


_IN_LOG_SNR: dict[str, Any] = {"num_train_timesteps": 2, "use_flow_sigmas": True, "prediction_type": "flow_prediction"}


@component
class DPMMultistep(_OnLine):
    """diffusers' DPMSolverMultistepScheduler: DPM-Solver++ and its SDE (Lu et al., 2022, algorithm 2 and section 5).

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

    scheduler: ClassVar[str] = "DPMSolverMultistepScheduler"
    timesteps: ClassVar[str] = "dpm-solver-multistep"

    solver_order: Annotated[int, Interval(ge=1, le=3)] = 2
    algorithm_type: Literal["dpmsolver++", "sde-dpmsolver++"] = "dpmsolver++"
    solver_type: Literal["midpoint", "heun"] = "midpoint"
    lower_order_final: bool = True
    euler_at_final: bool = False
    thresholding: bool = False
    dynamic_thresholding_ratio: Annotated[float, Interval(ge=0, le=1)] = 0.995
    sample_max_value: Annotated[float, Ge(1)] = 1.0
    final_sigmas_type: Literal["zero", "sigma_min"] = "zero"

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

    def start(self, ladder: Ladder) -> tuple[Any, list[list[Call]]]:
        """See `Driven`."""
        ending = "zero" if ladder.closed else "sigma_min"
        return self.once_each(self.laid(ladder, **_IN_LOG_SNR, final_sigmas_type=ending), ladder)


@component
class DPMSinglestep(_OnLine):
    """diffusers' DPMSolverSinglestepScheduler: DPM-Solver++ that begins anew every few steps (Lu et al., 2022).

    Args:
        solver_order: Order of the solver, which is reached every so many steps.
        solver_type: How the second difference comes in, `midpoint` or `heun`.
        thresholding: Whether the expected data is clamped to a quantile of its own (Saharia et al., 2022, section 2.3).
        dynamic_thresholding_ratio: That quantile, of the absolute values of an example.
        sample_max_value: The most that it may be.
        final_sigmas_type: What follows the grid: a step to no noise (`zero`), or nothing (`sigma_min`).
    """

    scheduler: ClassVar[str] = "DPMSolverSinglestepScheduler"
    timesteps: ClassVar[str] = "dpm-solver-singlestep"

    solver_order: Annotated[int, Interval(ge=1, le=3)] = 2
    solver_type: Literal["midpoint", "heun"] = "midpoint"
    thresholding: bool = False
    dynamic_thresholding_ratio: Annotated[float, Interval(ge=0, le=1)] = 0.995
    sample_max_value: Annotated[float, Ge(1)] = 1.0
    final_sigmas_type: Literal["zero", "sigma_min"] = "zero"

    @property
    def claims(self) -> Claims:
        """Order 2 at most: the last step may be the first of a group."""
        free = not self.thresholding
        return Claims(
            order=min(self.solver_order, 2) if free else None,
            schedule_invariant=True,
            finishes=self.finishing,
            at_end=int(self.finishing),
            exact_on_point_mass=free,
        )

    def start(self, ladder: Ladder) -> tuple[Any, list[list[Call]]]:
        """See `Driven`."""
        ending = "zero" if ladder.closed else "sigma_min"
        scheduler = self.laid(ladder, **_IN_LOG_SNR, lower_order_final=True, final_sigmas_type=ending)
        scheduler.order_list = scheduler.get_order_list(len(scheduler.timesteps))
        return self.once_each(scheduler, ladder)


@component
class UniPC(_OnLine):
    """diffusers' UniPCMultistepScheduler: a predictor with a corrector that costs nothing (Zhao et al., 2023).

    Args:
        solver_order: Order of the predictor.
        predict_x0: Whether it integrates the expected data, or the noise.
        solver_type: The function B(h): `bh1`, h, or `bh2`, e^h - 1.
        lower_order_final: Whether the last steps have a lower order.
        disable_corrector: Steps after which nothing is corrected, counted from 0.
        thresholding: Whether the expected data is clamped to a quantile of its own (Saharia et al., 2022, section 2.3).
        dynamic_thresholding_ratio: That quantile, of the absolute values of an example.
        sample_max_value: The most that it may be.
        final_sigmas_type: What follows the grid: a step to no noise (`zero`), or nothing (`sigma_min`).
    """

    scheduler: ClassVar[str] = "UniPCMultistepScheduler"
    timesteps: ClassVar[str] = "unipc-multistep"

    solver_order: Annotated[int, Interval(ge=1, le=3)] = 2
    predict_x0: bool = True
    solver_type: Literal["bh1", "bh2"] = "bh2"
    lower_order_final: bool = True
    disable_corrector: tuple[Annotated[int, Ge(0)], ...] = ()
    thresholding: bool = False
    dynamic_thresholding_ratio: Annotated[float, Interval(ge=0, le=1)] = 0.995
    sample_max_value: Annotated[float, Ge(1)] = 1.0
    final_sigmas_type: Literal["zero", "sigma_min"] = "zero"

    @property
    def claims(self) -> Claims:
        """The predictor's order, 2 at most; the corrector adds nothing to the last state."""
        free = not self.thresholding
        return Claims(
            order=min(self.solver_order, 2) if free else None,
            schedule_invariant=True,
            finishes=self.finishing,
            at_end=int(self.finishing),
            exact_on_point_mass=free and self.predict_x0,
        )

    def start(self, ladder: Ladder) -> tuple[Any, list[list[Call]]]:
        """See `Driven`."""
        if not self.predict_x0 and bool(ladder.alpha[0] == 0):
            raise ConfigError(
                "UniPC.predict_x0 = false has no first step where alpha = 0; leave it true, or begin the grid later."
            )
        ending = "zero" if ladder.closed else "sigma_min"
        told = _IN_LOG_SNR if self.predict_x0 else {**_IN_LOG_SNR, "prediction_type": "epsilon"}
        return self.once_each(self.laid(ladder, **told, final_sigmas_type=ending), ladder)

    def wanted(self, ladder: Ladder) -> tuple[Tensor, Tensor]:
        """The noise, where that is integrated."""
        of_eps, of_x0 = super().wanted(ladder)
        return of_eps, of_x0 if self.predict_x0 else 0 * of_x0


@component
class DEIS(_OnLine):
    """diffusers' DEISMultistepScheduler: an exponential integrator in log rho (Zhang & Chen, 2023, section 3).

    Its loop ends at the last timestep's noise, so that nothing follows the grid: take `final=none` to do as it does.

    Args:
        solver_order: Order of the solver.
        lower_order_final: Whether the last steps of fewer than 15 have a lower order.
        thresholding: Whether the expected data is clamped to a quantile of its own (Saharia et al., 2022, section 2.3).
        dynamic_thresholding_ratio: That quantile, of the absolute values of an example.
        sample_max_value: The most that it may be.
    """

    scheduler: ClassVar[str] = "DEISMultistepScheduler"
    timesteps: ClassVar[str] = "deis-multistep"

    solver_order: Annotated[int, Interval(ge=1, le=3)] = 2
    lower_order_final: bool = True
    thresholding: bool = False
    dynamic_thresholding_ratio: Annotated[float, Interval(ge=0, le=1)] = 0.995
    sample_max_value: Annotated[float, Ge(1)] = 1.0

    @property
    def claims(self) -> Claims:
        """Order 2 at most: the first step has order 1."""
        free = not self.thresholding
        return Claims(
            order=min(self.solver_order, 2) if free else None,
            schedule_invariant=True,
            finishes=self.finishing,
            at_end=int(self.finishing),
            exact_on_point_mass=free,
        )

    @property
    def to_zero(self) -> bool:
        """No: it has no step to no noise."""
        return False

    def start(self, ladder: Ladder) -> tuple[Any, list[list[Call]]]:
        """See `Driven`."""
        if ladder.closed:
            raise ConfigError(
                "DEIS has no step to no noise; end the grid before t = 0, or take 'dpm-solver-multistep'."
            )
        return self.once_each(self.laid(ladder, **_IN_LOG_SNR), ladder)


@component
class FlowEuler(_OnLine):
    """diffusers' FlowMatchEulerDiscreteScheduler: Euler's method along the line (Esser et al., 2024, section 2).

        x_s = x_t + (s - t) (eps - x0),    or x_s = (1 - s) x0 + s z with stochastic sampling

    Args:
        stochastic_sampling: Whether every step is from the expected data and fresh noise.
    """

    scheduler: ClassVar[str] = "FlowMatchEulerDiscreteScheduler"

    stochastic_sampling: bool = False

    @property
    def claims(self) -> Claims:
        """Order 1; fresh noise at every step is no discretisation of an equation."""
        return Claims(
            order=None if self.stochastic_sampling else 1,
            stochastic=self.stochastic_sampling,
            schedule_invariant=True,
            exact_on_point_mass=True,
        )

    @property
    def own_grid(self) -> Grid:
        """The sigmas of that scheduler."""
        return FlowSigmas()

    def start(self, ladder: Ladder) -> tuple[Any, list[list[Call]]]:
        """See `Driven`."""
        return self.once_each(self.laid(ladder), ladder)


@component
class FlowHeun(_OnLine):
    """diffusers' FlowMatchHeunDiscreteScheduler: Heun's method along the line (Karras et al., 2022).

    x_s = x_t + (s - t) (v_t + v_s) / 2,    v = eps - x0, v_s at the end of an Euler step
    """

    scheduler: ClassVar[str] = "FlowMatchHeunDiscreteScheduler"

    @property
    def claims(self) -> Claims:
        """Order 2, of two evaluations a step."""
        return Claims(order=2, evaluations=2, schedule_invariant=True, exact_on_point_mass=True)

    @property
    def own_grid(self) -> Grid:
        """The sigmas of that scheduler."""
        return FlowSigmas()

    def start(self, ladder: Ladder) -> tuple[Any, list[list[Call]]]:
        """See `Driven`."""
        return self.twice_each(self.laid(ladder), ladder)
