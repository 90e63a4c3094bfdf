"""Samplers: trajectories down a grid of times, from noise to data.

    for k in 0 .. N-1:  x at t_k  ->  x at t_{k+1},    t_0 > t_1 > ... > t_N

A one-step method writes `coefficients`, evaluated for the whole grid at once in float64 on the host, and `step`,
which is told where it starts and where it lands. Samplers keep no state between calls and draw only from `noise`.
The end of a trajectory belongs to `trajectory()` below, not to any sampler.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

import torch
from torch import Tensor

from fokker.errors import ConfigError
from fokker.model import ScoreModel
from fokker.noise import Noise, SilentEnd
from fokker.perturbation import Perturbation, Scale
from fokker.width import AskWidth

if TYPE_CHECKING:
    from fokker.grid import Grid

__all__ = [
    "Claims",
    "Coefficients",
    "Corrector",
    "Final",
    "OneStep",
    "Sampler",
    "State",
    "add",
    "add_noise",
    "by_step",
    "check_grid",
    "check_noise",
    "sample",
    "trajectory",
]

Cond = Mapping[str, Tensor] | None
Coefficients: TypeAlias = Mapping[str, Scale]
"""A step's coefficients: Python floats, or (B, 1, ..., 1) where each example has its own times."""

Final = Literal["tweedie", "mean", "none"]
"""How a trajectory ends: with the expected data (one more evaluation), without the last noise, or as it is."""


@dataclass(frozen=True, eq=False, slots=True)
class State:
    """A point of a trajectory.

    Args:
        t: The time, a float, or one per example, (B,).
        x: The state, (B, *D).
        x0: Expected data given the state, (B, *D), where a sampler that `finishes` has it at its last level.
    """

    t: float | Tensor
    x: Tensor
    x0: Tensor | None = None


@dataclass(frozen=True)
class Claims:
    """What a sampler claims of itself and the tests measure.

    Args:
        order: Order of convergence on the probability-flow ODE, with zero noise; None where that is not its limit.
        weak_order: Order in which moments converge to the reverse SDE's, for stochastic samplers.
        strong_order: Order in which states converge along one Brownian path, where a step draws its increment.
        accuracy: Largest error on the probability-flow ODE of smooth data, relative to the largest state on the way,
            for samplers that choose their own steps.
        evaluations: Evaluations of the model per step; None where it varies.
        at_end: Evaluations besides those of the steps, whatever their number: a corrector's at the last level, those of
            intervals that are gone through again; the final Tweedie step is not the sampler's and does not count.
        finishes: Whether its last state comes with the expected data, so that the end by Tweedie's formula costs no
            evaluation besides `at_end`.
        stochastic: Whether it draws from `noise`.
        schedule_invariant: Whether its states, scaled by 1 / alpha, depend on the log-SNRs of the grid alone.
        exact_on_point_mass: Whether it carries a single data point's law along without error.
        shared_steps: Whether examples of one batch share adaptive steps, so that they agree with themselves alone
            only within the tolerance.
        stationary: For correctors, and samplers that stay at one time: whether an update leaves the law at its time in
            place, up to the square of its step.
        without_noise: Whether it works where the noise vanishes (`Perturbation.vanishing`): it neither leads from the
            noise of one time to that of another nor takes its steps from it.
        quiet_end: Whether a step without noise follows every draw, as after churn, so that the end is a mean as it is
            and nothing is drawn from `noise.final`.
        own_steps: Whether every example has steps of its own, and draws for some rows of the batch (`noise.rows`).
    """

    order: int | None = None
    weak_order: int | None = None
    strong_order: float | None = None
    accuracy: float | None = None
    evaluations: int | None = 1
    at_end: int = 0
    finishes: bool = False
    stochastic: bool = False
    schedule_invariant: bool = False
    exact_on_point_mass: bool = False
    shared_steps: bool = False
    stationary: bool = False
    without_noise: bool = False
    quiet_end: bool = False
    own_steps: bool = False


class Sampler(ABC):
    """A way down; subclasses are components (`@component`)."""

    kind: ClassVar[str] = "sampler"

    @property
    @abstractmethod
    def claims(self) -> Claims:
        """What the sampler claims and the tests measure."""

    def levels(self, grid: Tensor) -> Tensor:
        """The times of its states, one for each time of the grid, (N + 1,).

        The grid itself, unless a subclass says otherwise: Langevin dynamics stays at the last time.
        """
        return grid

    @property
    def own_grid(self) -> "Grid | None":
        """The grid that it was made for, taken where a user names the sampler alone; None where any will do."""
        return None

    def on_data(self, width: AskWidth) -> "Sampler":
        """The sampler for data of a width, which a subclass that wants it fills in where nobody gave it."""
        return self

    @abstractmethod
    def trajectory(
        self, model: ScoreModel, x: Tensor, grid: Tensor, noise: Noise, cond: Cond = None
    ) -> Iterator[State]:
        """Go down the grid from a state at its first time.

        Args:
            model: The model, carrying its perturbation.
            x: State at the first of its `levels`, (B, *D); left untouched.
            grid: Strictly decreasing times, float64 on the host, (N + 1,).
            noise: Source of all randomness; the very last update draws from `noise.final`.
            cond: Conditions passed on to the model.

        Yields:
            The state at the first of its `levels` and after every step; each is a tensor of its own.
        """


class OneStep(Sampler):
    """A sampler whose step depends on nothing but where it starts and where it lands.

    Also what a predictor is: `pc` composes it with a corrector.
    """

    kind: ClassVar[str] = "predictor"

    @abstractmethod
    def coefficients(self, p: Perturbation, t: Tensor, s: Tensor) -> dict[str, Tensor]:
        """Coefficients of the steps from `t` to `s`.

        Args:
            p: The perturbation.
            t: Where the steps start, float64, any shape.
            s: Where they land, likewise.

        Returns:
            Named float64 tensors shaped like `t`.
        """

    @abstractmethod
    def step(
        self,
        model: ScoreModel,
        x: Tensor,
        t: float | Tensor,
        s: float | Tensor,
        c: Coefficients,
        noise: Noise,
        cond: Cond = None,
    ) -> Tensor:
        """One step from `t` to `s`, returned as a new tensor, (B, *D)."""

    def trajectory(
        self, model: ScoreModel, x: Tensor, grid: Tensor, noise: Noise, cond: Cond = None
    ) -> Iterator[State]:
        """One step after another; see `Sampler.trajectory`."""
        steps = by_step(self.coefficients(model.perturbation, grid[:-1], grid[1:]))
        times: list[float] = grid.tolist()
        yield State(times[0], x)
        for k, c in enumerate(steps):
            source = noise.final if k == len(steps) - 1 else noise
            x = self.step(model, x, times[k], times[k + 1], c, source, cond)
            yield State(times[k + 1], x)


class Corrector(ABC):
    """One update that leaves the law at its time in place; subclasses are components (`@component`).

    How many updates are made belongs to the sampler that composes it.
    """

    kind: ClassVar[str] = "corrector"

    @property
    @abstractmethod
    def claims(self) -> Claims:
        """What the corrector claims; `evaluations` is per update."""

    @abstractmethod
    def coefficients(self, p: Perturbation, t: Tensor) -> dict[str, Tensor]:
        """Coefficients of an update at times `t`, float64 of any shape."""

    @abstractmethod
    def correct(
        self, model: ScoreModel, x: Tensor, t: float | Tensor, c: Coefficients, noise: Noise, cond: Cond = None
    ) -> Tensor:
        """One update at time `t`, returned as a new tensor, (B, *D)."""


def by_step(coefficients: Mapping[str, Tensor]) -> list[dict[str, float]]:
    """Turn coefficients of a whole grid, tensors (N,), into one dictionary of Python floats per step.

    Raises:
        ConfigError: If one of them is not finite, as where a formula divides by a sigma or alpha that is 0.
    """
    columns = {name: values.tolist() for name, values in coefficients.items()}
    for name, column in columns.items():
        if not all(map(isfinite, column)):
            k = next(k for k, value in enumerate(column) if not isfinite(value))
            raise ConfigError(
                f"Step {k + 1} of {len(column)} has no finite coefficient '{name}': sigma is 0 at the last "
                "time, or alpha at the first. End the grid before t = 0, or choose another sampler or perturbation."
            )
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def add_noise(
    x: Tensor, factor: Scale, noise: Noise, t: float | Tensor | None = None, s: float | Tensor | None = None
) -> Tensor:
    """x + factor z for a draw z of the step from `t` to `s`; nothing is drawn for a factor of 0.0.

    Args:
        x: A tensor that the caller has made and nobody else holds, (B, *D): the sum is written over it.
        factor: Standard deviation of what is added: a float, or (B, 1, ..., 1).
        noise: Where it is drawn from.
        t: Where the step starts.
        s: Where it lands.

    Returns:
        The sum.
    """
    if isinstance(factor, float):
        return noise.add_to(x, factor, t, s) if factor else x
    return x + factor * noise(x, t, s)


def add(x: Tensor, factor: Scale, y: Tensor) -> Tensor:
    """x + factor y.

    Args:
        x: A tensor that the caller has made and nobody else holds, (B, *D): the sum is written over it.
        factor: A float, or (B, 1, ..., 1).
        y: (B, *D).

    Returns:
        The sum.
    """
    return x.add_(y, alpha=factor) if isinstance(factor, float) else x + factor * y


def check_grid(grid: Tensor) -> None:
    """Refuse a grid that does not decrease strictly within [0, 1].

    Raises:
        ConfigError: Naming the two times.
    """
    if grid.ndim != 1 or len(grid) < 1:
        raise ConfigError(f"A grid is a list of times; got a tensor of shape {tuple(grid.shape)}.")
    if not bool(((grid >= 0) & (grid <= 1)).all()):
        raise ConfigError(f"The times of a grid lie in [0, 1]; got {float(grid.min()):g} to {float(grid.max()):g}.")
    bad = (grid.diff() >= 0).nonzero()
    if len(bad):
        k = int(bad[0])
        raise ConfigError(
            f"A grid decreases strictly; grid[{k}] = {float(grid[k]):.6g} is followed by "
            f"grid[{k + 1}] = {float(grid[k + 1]):.6g}. Ask for fewer steps."
        )


def check_noise(perturbation: Perturbation, sampler: Sampler) -> None:
    """Refuse a sampler that lives on noise where there is none.

    Raises:
        ConfigError: If the perturbation's noise vanishes and the sampler does not claim to work without.
    """
    if perturbation.vanishing and not sampler.claims.without_noise:
        raise ConfigError(
            f"{type(sampler).__name__} lives on noise, and {type(perturbation).__name__} has none; sample by "
            "'langevin:relative=false', or train with noise, such as 've'."
        )


def trajectory(
    model: ScoreModel,
    sampler: Sampler,
    grid: Tensor,
    noise: Noise,
    x: Tensor,
    *,
    cond: Cond = None,
    final: Final = "tweedie",
) -> Iterator[State]:
    """The whole way down, its end included: the one loop that all sampling goes through.

    Progress bars, snapshots and early stopping are things that a caller does with the iterator. No gradients are kept
    of what happens inside; a caller that has switched them off itself saves a switch to and fro at every step.

    Args:
        model: The model, carrying its perturbation.
        sampler: The way down.
        grid: Strictly decreasing times, float64 on the host, (N + 1,).
        noise: Source of all randomness.
        x: State at `grid[0]`, (B, *D), such as `start(...)`; left untouched.
        cond: Conditions passed on to the model.
        final: `tweedie` appends the expected data given the last state (one more evaluation per sample; Efron,
            2011), `mean` makes the last update without noise, `none` keeps the last state.

    Yields:
        States; the last one is the sample.

    Raises:
        ConfigError: If the grid does not decrease strictly, or if the sampler needs noise where there is none.
    """
    check_grid(grid)
    check_noise(model.perturbation, sampler)
    if final == "mean":
        noise = SilentEnd(noise)
    model.perturbation.remember(grid)
    return _down(model, sampler, grid, noise, x, cond, final)


def _down(
    model: ScoreModel, sampler: Sampler, grid: Tensor, noise: Noise, x: Tensor, cond: Cond, final: Final
) -> Iterator[State]:
    """The sampler's states and what `final` adds, made while gradients are off; in between the caller has its own."""
    states = iter(sampler.trajectory(model, x, grid, noise, cond))
    state, following = State(float(grid[0]), x), None
    while True:
        if torch.is_grad_enabled():
            with torch.no_grad():
                following = next(states, None)
        else:
            following = next(states, None)
        if following is None:
            break
        state = following
        yield state
    if final == "tweedie":
        with torch.no_grad():
            x0 = model(state.x, state.t, cond).x0 if state.x0 is None else state.x0
        yield State(0.0, x0)


@torch.no_grad()
def sample(
    model: ScoreModel,
    sampler: Sampler,
    grid: Tensor,
    noise: Noise,
    shape: tuple[int, ...],
    *,
    cond: Cond = None,
    final: Final = "tweedie",
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Draw samples: start from the prior at the first time of the grid, go down, return the end.

    Args:
        model: The model, carrying its perturbation.
        sampler: The way down.
        grid: Strictly decreasing times, float64 on the host, (N + 1,).
        noise: Source of all randomness, the start included.
        shape: (B, *D).
        cond: Conditions passed on to the model.
        final: See `trajectory`.
        dtype: Of the states.
        device: Of the states.

    Returns:
        Samples in the model's units, (B, *D).
    """
    x = model.perturbation.prior_at(float(grid[0])) * noise(torch.empty(shape, dtype=dtype, device=device))
    for state in trajectory(model, sampler, grid, noise, x, cond=cond, final=final):
        x = state.x
    return x
