"""Small runs of samplers, watched: what they asked the model, what they drew, and what they left behind."""

from collections.abc import Callable, Mapping, Sequence
from math import sqrt

import torch
from torch import Tensor

from fokker.errors import ConfigError
from fokker.model import ScoreModel
from fokker.noise import Noise, PerSample
from fokker.perturbation import Perturbation
from fokker.prediction import Prediction
from fokker.sampler import Sampler, State, trajectory
from fokker.testing.check import NotApplicable
from fokker.testing.worlds import normal

__all__ = ["Tape", "Watched", "descent", "end", "per_sample", "start", "states"]

Cond = Mapping[str, Tensor] | None


def descent(steps: int = 6, first: float = 0.9, last: float = 0.1) -> Tensor:
    """Times equally far apart, float64, (steps + 1,)."""
    return torch.linspace(first, last, steps + 1, dtype=torch.float64)


def start(perturbation: Perturbation, grid: Tensor, *shape: int, seed: int = 3) -> Tensor:
    """States about as far out as noisy data of unit size at the first time of a grid, float64."""
    alpha, sigma = perturbation.alpha(grid[0]), perturbation.sigma(grid[0])
    return normal(*shape, seed=seed) * (alpha**2 + sigma**2).sqrt()


def per_sample(x: Tensor, index: Sequence[int] | None = None, seed: int = 11) -> Noise:
    """The noise of samples 0, 1, ... or of others, one generator each, so that rows can be advanced separately."""
    return PerSample(seed, range(len(x)) if index is None else index, x.shape[1:], block=1)


def states(
    sampler: Sampler, model: ScoreModel, x: Tensor, grid: Tensor, noise: Noise, cond: Cond = None
) -> list[State]:
    """All states of a run that ends as it is, without a last denoising.

    Raises:
        NotApplicable: If the sampler refuses this perturbation or grid.
    """
    try:
        return list(trajectory(model, sampler, grid, noise, x, cond=cond, final="none"))
    except ConfigError as error:
        raise NotApplicable(f"refused: {error}") from error


def end(sampler: Sampler, model: ScoreModel, x: Tensor, grid: Tensor, noise: Noise, cond: Cond = None) -> Tensor:
    """The last state of a run, (B, *D)."""
    return states(sampler, model, x, grid, noise, cond)[-1].x


class Watched(ScoreModel):
    """A model that remembers what it was asked.

    Args:
        model: The model.
        answer: Applied to the answer's x0 if given, to plant what a network might do wrong.
    """

    def __init__(self, model: ScoreModel, answer: Callable[[Tensor], Tensor] | None = None) -> None:
        self._model = model
        self._answer = answer
        self.times: list[Tensor] = []
        self.conds: list[Cond] = []
        self.sizes: list[int] = []

    @property
    def perturbation(self) -> Perturbation:
        """That of the model."""
        return self._model.perturbation

    def __call__(self, x: Tensor, t: Tensor | float, cond: Cond = None) -> Prediction:
        """Remember, then answer."""
        self.times.append(torch.as_tensor(t, dtype=torch.float64).detach().flatten())
        self.conds.append(cond)
        self.sizes.append(len(x))
        found = self._model(x, t, cond)
        if self._answer is None:
            return found
        return Prediction(x, found.alpha, found.sigma, x0=self._answer(found.x0), rates=found.rates)


class Tape(Noise):
    """Recorded draws that can be wiped one by one, and a count of how many were asked for.

    Draws that do not belong to the whole batch come in the order in which they are asked for.

    Args:
        seed: Of the recording.
        wiped: Numbers of draws, counted from 0, that are zero instead.
    """

    def __init__(self, seed: int = 5, wiped: Sequence[int] = ()) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._wiped = frozenset(wiped)
        self.count = 0

    def _next(self, draw: Tensor) -> Tensor:
        self.count += 1
        return torch.zeros_like(draw) if self.count - 1 in self._wiped else draw

    def __call__(self, x: Tensor, t: Tensor | float | None = None, s: Tensor | float | None = None) -> Tensor:
        """The next normal numbers."""
        return self._next(self._normal(x))

    def integral(
        self, x: Tensor, t: Tensor | float | None = None, s: Tensor | float | None = None
    ) -> tuple[Tensor, Tensor]:
        """The next pair, which is one draw."""
        z, u = self._next(torch.stack([self._normal(x), self._normal(x)]))
        return z, z / 2 + u / sqrt(12)

    def _normal(self, x: Tensor) -> Tensor:
        return torch.randn(x.shape, dtype=torch.float64, generator=self._generator).to(x.dtype)

    def uniform(self, x: Tensor) -> Tensor:
        """The next uniform numbers."""
        return self._next(torch.rand(x.shape, dtype=torch.float64, generator=self._generator).to(x.dtype))

    def rows(self, index: Tensor) -> Noise:
        """The same tape."""
        return self
