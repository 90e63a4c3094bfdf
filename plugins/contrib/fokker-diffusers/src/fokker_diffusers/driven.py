"""A scheduler of diffusers driven down a grid of fokker's.

A scheduler works in coordinates of its own, x_s = x / c, and wants one combination of the prediction:

    table   c = sqrt(alpha^2 + sigma^2)    alpha / c, sigma / c are its sqrt(alpha_bar), sqrt(1 - alpha_bar)
    ratio   c = alpha                      its sigma is sigma / alpha
    line    c = alpha + sigma              its sigma is sigma / (alpha + sigma), in [0, 1]

Each is a change of scale alone, so that a scheduler runs on any perturbation and any grid; on a table of betas and
diffusers' own timesteps it does what diffusers' loop does. That loop ends with a step to no noise, which is the
expected data: in fokker the end belongs to `final`. The scheduler is told of that step, since some lower their order
before it, and `final=tweedie` makes it. Where the scheduler clamps the expected data it is the scheduler's after all:
the last state comes with it.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

import torch
from fokker import ConfigError, Grid, Sampler, State
from fokker.model import ScoreModel
from fokker.noise import Noise, Zero
from fokker.perturbation import Perturbation
from torch import Tensor
from torch.overrides import TorchFunctionMode

from fokker_diffusers.configs import scheduler_class

__all__ = ["BySigmas", "Call", "Driven", "Ladder"]

_LEAST = 1e-5
"""Data to noise in a state that can be scaled by it in single precision."""

Coordinates = Literal["table", "ratio", "line"]


@dataclass(frozen=True)
class Ladder:
    """The levels of a grid in a scheduler's coordinates, all float64 on the host.

    Args:
        scale: c, by which a state is larger than the scheduler's, (N + 1,).
        alpha: alpha / c, likewise.
        sigma: sigma / c, likewise.
        ends: Whether a step from the last level to no noise follows, which is not the scheduler's.
    """

    scale: Tensor
    alpha: Tensor
    sigma: Tensor
    ends: bool

    @property
    def sigmas(self) -> Tensor:
        """sigma / c of every level that the scheduler is told of: with a 0 where a step to no noise follows."""
        return torch.cat([self.sigma, self.sigma.new_zeros(1)]) if self.ends else self.sigma

    @property
    def closed(self) -> bool:
        """Whether the levels that the scheduler is told of end without noise."""
        return bool(self.sigmas[-1] == 0)


@dataclass(frozen=True)
class Call:
    """One call of a scheduler's `step`.

    Args:
        level: The grid's level that the model is asked at.
        timestep: What the scheduler is told of it.
    """

    level: int
    timestep: int | Tensor


class _Supplied(TorchFunctionMode):
    """While a scheduler steps, its random numbers are the sampler's, and a state of double precision stays so."""

    _OTHERS = (torch.randn_like, torch.rand, torch.rand_like, torch.randint, torch.normal, torch.bernoulli)

    def __init__(self, noise: Noise, x: Tensor, t: float, s: float) -> None:
        super().__init__()
        self._noise = noise
        self._x = x
        self._step = t, s

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.randn:
            return self._noise(self._x, *self._step).reshape(len(self._x), 1, -1)
        if func in self._OTHERS:
            raise RuntimeError(f"The scheduler draws by {func.__name__}, which is not the sampler's noise.")
        if func is torch.Tensor.to and args[0].dtype == self._x.dtype == torch.float64:
            # schedulers round their state to single precision, which is the least that diffusers' users have
            args = (args[0], *(torch.float64 if a is torch.float32 else a for a in args[1:]))
            kwargs = {k: torch.float64 if a is torch.float32 else a for k, a in kwargs.items()}
        return func(*args, **kwargs)


class Driven(Sampler):
    """What the wrapped schedulers share; a subclass names the scheduler, and its fields are the scheduler's options."""

    scheduler: ClassVar[str]
    """The class in diffusers."""
    coordinates: ClassVar[Coordinates]
    wants: ClassVar[Literal["eps", "v"]]
    """The combination of the prediction that is handed over: the noise, or v = alpha eps - sigma x0 in the scheduler's
    own alpha and sigma over sqrt(alpha^2 + sigma^2); on the line, its velocity eps - x0 instead."""
    timesteps: ClassVar[str] = ""
    """Its name in the grid `timesteps`."""
    of_steps: ClassVar[frozenset[str]] = frozenset()
    """Fields that are arguments of `step`, not of the scheduler."""

    @property
    def own_grid(self) -> Grid:
        """The timesteps that diffusers' scheduler would set."""
        from fokker_diffusers.grids import Timesteps

        ending: Any = "zero" if self.to_zero else "sigma_min"
        named: Any = self.timesteps
        return Timesteps(scheduler=named, final_sigmas_type=ending)

    @abstractmethod
    def start(self, ladder: Ladder) -> tuple[Any, list[list[Call]]]:
        """A scheduler that is ready to go down, and its calls for each step of the grid."""

    def made(self, **more: Any) -> Any:
        """The scheduler with this sampler's fields as its options.

        Args:
            more: Further options.
        """
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in self.of_steps}  # type: ignore[arg-type]
        return scheduler_class(self.scheduler)(**{**own, **more})

    def step_options(self) -> dict[str, Any]:
        """The fields that are arguments of `step`."""
        return {name: getattr(self, name) for name in self.of_steps}

    @property
    def finishing(self) -> bool:
        """Whether the expected data at the end is the scheduler's, which clamps it, and not the model's."""
        return self.to_zero and (getattr(self, "clip_sample", False) or getattr(self, "thresholding", False))

    def last_call(self, scheduler: Any) -> int | Tensor:
        """What the scheduler is told at the step to no noise."""
        name: Tensor = scheduler.timesteps[-1]
        return name

    @property
    def to_zero(self) -> bool:
        """Whether a step to no noise follows a grid that ends with some."""
        return getattr(self, "final_sigmas_type", "zero") == "zero"

    def trajectory(
        self, model: ScoreModel, x: Tensor, grid: Tensor, noise: Noise, cond: Mapping[str, Tensor] | None = None
    ) -> Iterator[State]:
        """See `Sampler.trajectory`."""
        times: list[float] = grid.tolist()
        yield State(times[0], x)
        if len(times) == 1:
            return
        ladder = self._ladder(model.perturbation, grid)
        scheduler, calls = self.start(ladder)
        scale: list[float] = ladder.scale.tolist()
        of_eps, of_x0 = (factor.tolist() for factor in self.wanted(ladder))
        extra = self.step_options()
        y = (x / scale[0]).reshape(len(x), 1, -1)  # schedulers take images: one channel of all values is one
        for k, following in enumerate(calls):
            source = noise.final if k == len(calls) - 1 else noise
            for call in following:
                j = call.level
                here = (y * scale[j]).reshape(x.shape)
                output = model(here, times[j], cond).linear(eps=of_eps[j], x0=of_x0[j]).reshape(y.shape)
                with _Supplied(source, here, times[k], times[k + 1]):
                    y = scheduler.step(output, call.timestep, y, **extra, return_dict=False)[0]
            here = (y * scale[k + 1]).reshape(x.shape)
            if k < len(calls) - 1 or not (self.finishing and ladder.ends):
                yield State(times[k + 1], here)
        if self.finishing and ladder.ends:
            output = model(here, times[-1], cond).linear(eps=of_eps[-1], x0=of_x0[-1]).reshape(y.shape)
            with _Supplied(Zero(), here, times[-1], 0.0):
                clean = scheduler.step(output, self.last_call(scheduler), y, **extra, return_dict=False)[0]
            yield State(times[-1], here, clean.reshape(x.shape))

    def _ladder(self, p: Perturbation, grid: Tensor) -> Ladder:
        alpha, sigma = p.alpha(grid), p.sigma(grid)
        scale = {
            "table": (alpha**2 + sigma**2).sqrt(),
            "ratio": alpha,
            "line": alpha + sigma,
        }[self.coordinates]
        if not bool((scale > _LEAST * sigma).all()):
            raise ConfigError(
                f"{type(self).__name__} goes by sigma / alpha, and alpha is {float(alpha[0]):.2g} where it begins; "
                "take 'ddim' or 'dpm-solver-multistep', or begin later."
            )
        clean = bool(sigma[-1] == 0)
        return Ladder(scale, alpha / scale, sigma / scale, ends=self.to_zero and not clean)

    def wanted(self, ladder: Ladder) -> tuple[Tensor, Tensor]:
        """Factors of eps and of x0 at every level."""
        one = torch.ones_like(ladder.scale)
        if self.wants == "eps":
            return one, 0 * one
        if self.coordinates == "line":
            return one, -one
        length = (ladder.alpha**2 + ladder.sigma**2).sqrt()
        return ladder.alpha / length, -ladder.sigma / length


class BySigmas(Driven):
    """A scheduler that goes by an array of sigmas, which is the grid's."""

    def laid(self, ladder: Ladder, **more: Any) -> Any:
        """The scheduler with the grid as its sigmas, at its first step.

        Args:
            ladder: The levels.
            more: Options besides this sampler's fields.
        """
        scheduler = self.made(**more)
        scheduler.sigmas = ladder.sigmas
        scheduler.timesteps = torch.arange(len(ladder.sigmas) - 1, 0, -1, dtype=torch.float32)  # any names will do
        scheduler.num_inference_steps = len(scheduler.timesteps)
        scheduler.is_scale_input_called = True  # the network's input is the parameterization's
        scheduler.set_begin_index(0)
        return scheduler

    def once_each(self, scheduler: Any, ladder: Ladder) -> tuple[Any, list[list[Call]]]:
        """The scheduler, and its calls: one a step."""
        return scheduler, [[Call(k, scheduler.timesteps[k])] for k in range(len(ladder.scale) - 1)]

    def twice_each(self, scheduler: Any, ladder: Ladder) -> tuple[Any, list[list[Call]]]:
        """The scheduler of a method that looks at both ends of a step, but not where there is no noise left."""
        sigmas, name = ladder.sigmas, scheduler.timesteps[0]
        scheduler.dt = scheduler.prev_derivative = None
        scheduler.sigmas = torch.cat([sigmas[:1], sigmas[1:-1].repeat_interleave(2), sigmas[-1:]])
        calls = [[Call(k, name), Call(k + 1, name)] for k in range(len(ladder.scale) - 1)]
        if not ladder.ends:
            calls[-1].pop()
        return scheduler, calls
