"""The probability-flow ODE by torchdiffeq's solvers."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import torch
from annotated_types import Gt, Lt
from torch import Tensor
from torchdiffeq import odeint

from fokker.component import component
from fokker.errors import ConfigError
from fokker.model import ScoreModel
from fokker.noise import Noise
from fokker.sampler import Claims, Sampler, State

__all__ = ["ODE"]

_FIXED = {"euler": (1, 1), "midpoint": (2, 2), "heun2": (2, 2), "heun3": (3, 3), "rk4": (4, 4)}
_ADAPTIVE = {"adaptive_heun": 2, "bosh3": 3, "fehlberg2": 2, "dopri5": 5, "dopri8": 8}


@component
class ODE(Sampler):
    """The probability-flow ODE (Song et al., 2021, eq. 13) by a solver of torchdiffeq (Chen et al., 2018).

        dx/dt = f(t) x - g(t)^2 score / 2 = alpha' x0 + sigma' eps

    Adaptive solvers choose their own steps between the ends of the grid, one for the whole batch: a sample agrees
    with itself in another batch within the tolerance, not to rounding. Fixed-step solvers step from time to time of
    the grid.

    Args:
        method: Solver; `adaptive_heun bosh3 fehlberg2 dopri5 dopri8` choose their steps.
        rtol: Relative tolerance of the adaptive solvers; 1e-5 unless given.
        atol: Absolute tolerance of the adaptive solvers; 1e-5 unless given.
    """

    method: Literal[
        "dopri5", "dopri8", "bosh3", "fehlberg2", "adaptive_heun", "euler", "midpoint", "heun2", "heun3", "rk4"
    ] = "dopri5"
    rtol: Annotated[float, Gt(0), Lt(1)] | None = None
    atol: Annotated[float, Gt(0)] | None = None

    def __post_init__(self) -> None:
        for name in ("rtol", "atol"):
            if self.method in _ADAPTIVE and getattr(self, name) is None:
                object.__setattr__(self, name, 1e-5)
            if self.method in _FIXED and getattr(self, name) is not None:
                raise ConfigError(f"ODE.{name} has no effect on the fixed steps of '{self.method}'; leave it out.")

    @property
    def claims(self) -> Claims:
        """The solver's order and evaluations, or its accuracy: errors of many steps within the tolerance add up."""
        if self.method in _FIXED:
            order, evaluations = _FIXED[self.method]
            return Claims(order=order, evaluations=evaluations)
        assert self.rtol is not None and self.atol is not None
        return Claims(accuracy=100 * max(self.rtol, self.atol), evaluations=None, shared_steps=True)

    def trajectory(
        self, model: ScoreModel, x: Tensor, grid: Tensor, noise: Noise, cond: Mapping[str, Tensor] | None = None
    ) -> Iterator[State]:
        """See `Sampler.trajectory`."""

        def velocity(t: Tensor, y: Tensor) -> Tensor:
            # a stage may overshoot the ends by rounding, where the model does not exist
            return model(y, t.detach().clamp(float(grid[-1]), float(grid[0])), cond).velocity

        # times stay in float64: in float32 the last steps would be a few units in the last place long
        times = grid.to(x.device) if x.device.type != "mps" else grid.to(x.device, torch.float32)
        yield State(float(grid[0]), x)
        if self.method in _FIXED:
            for k in range(len(grid) - 1):
                x = odeint(velocity, x, times[k : k + 2], method=self.method)[-1].to(x.dtype)
                yield State(float(grid[k + 1]), x)
            return
        # without step_t the solver steps past the end, where the model does not exist, and interpolates back
        options = {"step_t": times[-1:]}
        states = odeint(velocity, x, times, method=self.method, rtol=self.rtol, atol=self.atol, options=options)
        for t, state in zip(grid[1:].tolist(), states[1:], strict=True):
            yield State(t, state.to(x.dtype))
