"""The way down of samples that have their steps in common, by torchsde's control of steps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite

import torch
from fokker.errors import ConfigError
from fokker.model import ScoreModel
from fokker.noise import Path
from torch import Tensor
from torchsde import sdeint

from fokker_torchsde.brownian import Asked, Remainder, Silent, Walked
from fokker_torchsde.equation import Equation
from fokker_torchsde.methods import Method

__all__ = ["Descent", "Tolerance"]


@dataclass(frozen=True)
class Tolerance:
    """How steps are chosen.

    Args:
        rtol: Relative tolerance of a step.
        atol: Absolute tolerance of a step.
        h: Length in time of the first step.
    """

    rtol: float
    atol: float
    h: float


class Descent:
    """Samples on their way; what one of them has that is not finite stays with it.

    Args:
        method: The solver.
        model: The model.
        x: Where they begin, (A, *D).
        path: What drives them, or None where nothing does.
        tolerance: How their steps are chosen.
        cond: Conditions of the model.
    """

    def __init__(
        self,
        method: Method,
        model: ScoreModel,
        x: Tensor,
        path: Path | None,
        tolerance: Tolerance,
        cond: Mapping[str, Tensor] | None,
    ) -> None:
        self._method, self._model, self._x, self._path, self._cond = method, model, x, path, cond
        self._tolerance, self._h = tolerance, tolerance.h
        self._lost = ~x.flatten(1).isfinite().all(1)

    def down(self, start: float, end: float, *, quiet: bool) -> Tensor:
        """The states at `end`, (A, *D).

        Args:
            start: The time at which they are.
            end: Where they go.
            quiet: Whether the last half-step has no noise.

        Raises:
            ConfigError: If the tolerance takes steps that are too short.
        """
        x = self._without_lost(self._x)
        equation = Equation(self._method, self._drift(start, end), self._diffusion(start, end), tuple(x.shape))
        y, length, h = x.reshape(-1, 1), start - end, min(self._h, start - end)
        while True:
            path = Silent(x) if self._path is None else Walked(x, self._path, start, end)
            try:
                found = self._solved(equation, y, path, (0.0, length), h)
                break
            except Remainder:
                h *= 0.9
        if quiet and isinstance(path, Walked):
            found = self._solved(equation, equation.begun(path.asked[0]), Silent(x), path.asked, None)
        self._h = path.next_step(self._h)
        self._x = found.reshape(x.shape)
        self._x[self._lost] = torch.nan
        return self._x

    def _solved(self, equation: Equation, y: Tensor, path: Asked, way: tuple[float, float], h: float | None) -> Tensor:
        """The states at the end of a way in torchsde's time; in one step where no first one is given."""
        found: Tensor = sdeint(
            equation,
            y,
            torch.tensor(way, dtype=torch.float64),  # without it torchsde has times in the states' precision
            bm=path,
            method=self._method.name,
            adaptive=h is not None,
            dt=2 * (way[1] - way[0]) if h is None else h,
            rtol=self._tolerance.rtol,
            atol=self._tolerance.atol,
            dt_min=0.0,  # at its own least step torchsde stops looking at the error; see Walked
        )[-1]
        return found

    def _drift(self, start: float, end: float) -> Callable[[float, Tensor], Tensor]:
        p = self._model.perturbation

        def drift(u: float, y: Tensor) -> Tensor:
            t = min(max(start - u, end), start)
            f, g = _finite(p.drift, t), _finite(p.diffusion, t)
            value = self._model(y, t, self._cond).linear(x=-f, score=g**2)
            self._lost |= ~value.flatten(1).isfinite().all(1)
            return self._without_lost(value)

        return drift

    def _diffusion(self, start: float, end: float) -> Callable[[float, Tensor], Tensor]:
        p = self._model.perturbation

        def diffusion(u: float, y: Tensor) -> Tensor:
            t = min(max(start - u, end), start)
            return torch.as_tensor(_finite(p.diffusion, t), dtype=y.dtype, device=y.device)

        return diffusion

    def _without_lost(self, x: Tensor) -> Tensor:
        """Zeros in the place of samples that are not finite: an error that is no number would end all of them."""
        return x.masked_fill(self._lost.reshape(-1, *(1,) * (x.ndim - 1)), 0.0)


def _finite(coefficient: Callable[[Tensor], Tensor], t: float) -> float:
    """A coefficient of the SDE at a time.

    Raises:
        ConfigError: If there is none.
    """
    value = float(coefficient(torch.tensor(t, dtype=torch.float64)))
    if not isfinite(value):
        raise ConfigError(
            f"The reverse SDE has no finite {coefficient.__name__} at t = {t:g}: sigma is 0 there, or alpha. End the "
            "grid before t = 0, or begin it before t = 1, or choose another sampler or perturbation."
        )
    return value
