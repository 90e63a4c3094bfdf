"""Brownian paths for torchsde.

torchsde asks a path for its increment over [a, b] and for the integral of what it gained since a,

    W = B(b) - B(a),    U = int_a^b (B(r) - B(a)) dr
"""

from abc import abstractmethod

import torch
from fokker.errors import ConfigError
from fokker.noise import Noise, Path, Time
from torch import Tensor
from torchsde import BaseBrownian

__all__ = ["Asked", "Remainder", "Silent", "Step", "Walked"]

_LEAST = 1e-7
"""The shortest step, in time, below which the tolerance is taken for one that cannot be met."""


class Remainder(Exception):
    """What is left of the way is so short that torchsde's two halves of it are none."""


class Asked(BaseBrownian):  # type: ignore[misc]  # torchsde ships no types
    """A path of as many independent numbers as a state has, (B numel, 1), each a Brownian motion of one dimension.

    The Levy area of one dimension is 0, so that no solver needs an approximation of it.

    Args:
        like: A tensor like the states, (B, *D).
    """

    def __init__(self, like: Tensor) -> None:
        self._like = like

    @abstractmethod
    def increment(self, a: float, b: float) -> Tensor:
        """W over [a, b], (B, *D)."""

    @abstractmethod
    def increment_and_integral(self, a: float, b: float) -> tuple[Tensor, Tensor]:
        """W and U over [a, b], (B, *D) each."""

    def next_step(self, h: float) -> float:
        """The step to try first on the next stretch, where `h` was what was to be tried on this one."""
        return h

    def __call__(
        self, ta: Tensor | float, tb: Tensor | float | None = None, return_U: bool = False, return_A: bool = False
    ) -> Tensor | tuple[Tensor, ...]:
        """W, with U and the area A if they are asked for, as torchsde has them."""
        if tb is None:
            raise TypeError("A path is asked about intervals, from a time to a later one.")
        a, b = float(ta), float(tb)
        found = self.increment_and_integral(a, b) if return_U else (self.increment(a, b),)
        rows = tuple(value.reshape(-1, 1) for value in found)
        if return_A:
            rows = (*rows, torch.zeros_like(rows[0]).unsqueeze(-1))
        return rows if len(rows) > 1 else rows[0]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={self.shape})"

    @property
    def dtype(self) -> torch.dtype:
        """That of the states."""
        return self._like.dtype

    @property
    def device(self) -> torch.device:
        """That of the states."""
        return self._like.device

    @property
    def shape(self) -> tuple[int, int]:
        """(B numel, 1)."""
        return self._like.numel(), 1

    @property
    def levy_area_approximation(self) -> str:
        """The finest of torchsde's, which every solver accepts; see the class for why it is none here."""
        return "foster"


class Step(Asked):
    """The noise of a single step, in a time that goes from 0 to 1 while it is taken.

    Args:
        noise: What it is drawn from.
        x: The state, (B, *D).
        t: Where the step starts.
        s: Where it lands.
    """

    def __init__(self, noise: Noise, x: Tensor, t: Time, s: Time) -> None:
        super().__init__(x)
        self._noise, self._t, self._s = noise, t, s

    def increment(self, a: float, b: float) -> Tensor:
        """A draw for the step."""
        self._whole(a, b)
        return self._noise(self._like, self._t, self._s)

    def increment_and_integral(self, a: float, b: float) -> tuple[Tensor, Tensor]:
        """A pair for the step, which in this time is W and U as it is."""
        self._whole(a, b)
        return self._noise.integral(self._like, self._t, self._s)

    def _whole(self, a: float, b: float) -> None:
        if (a, b) != (0.0, 1.0):
            raise ValueError(f"A step is taken at once, from 0 to 1; torchsde asks for {a:g} to {b:g}.")


class Silent(Asked):
    """No noise at all."""

    def increment(self, a: float, b: float) -> Tensor:
        """0."""
        return torch.zeros_like(self._like)

    def increment_and_integral(self, a: float, b: float) -> tuple[Tensor, Tensor]:
        """0 and 0."""
        return torch.zeros_like(self._like), torch.zeros_like(self._like)


class Walked(Asked):
    """A path from `start` down to `end`, in a time that goes up from 0, for steps that are tried before they are taken.

    torchsde asks about each step as a whole, and then about its two halves.

    Args:
        like: A tensor like the states, (B, *D).
        path: The path.
        start: Where it is walked from.
        end: Where it is walked to.
    """

    def __init__(self, like: Tensor, path: Path, start: float, end: float) -> None:
        super().__init__(like)
        self._path, self._start, self._end, self._count = path, start, end, 0
        self._tried: list[float] = []
        self.asked = (0.0, 0.0)

    def increment(self, a: float, b: float) -> Tensor:
        """What the path gains; raises as `increment_and_integral` does."""
        return self.increment_and_integral(a, b)[0]

    def increment_and_integral(self, a: float, b: float) -> tuple[Tensor, Tensor]:
        """What the path gains, and the integral of that.

        Raises:
            Remainder: If torchsde's time stands still.
            ConfigError: If the step is too short for anything but a tolerance that cannot be met.
        """
        length = self._start - self._end
        if not a < b:
            raise Remainder
        if self._count % 3 == 0:
            self._tried = [*self._tried, b - a][-2:]
            if b - a < _LEAST and b < length:
                raise ConfigError(
                    "AdaptiveTorchSDE finds no step short enough for its tolerance near t = "
                    f"{self._start - a:.3g}: raise rtol and atol."
                )
        self._count += 1
        self.asked = a, b
        return self._path(self._start - a, self._end if b == length else self._start - b)

    def next_step(self, h: float) -> float:
        """The last step that the end did not cut short, as nearly as can be told from outside."""
        return h if self._count <= 3 else max(self._tried)
