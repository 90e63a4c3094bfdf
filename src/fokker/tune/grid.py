"""The best grid for a sampler and a number of steps: the one whose ends are nearest to those of the probability flow.

    minimise  E |x_h(z) - x*(z)|    over h_k = log s_{k-1} - log s_k > 0,    s = sigma / alpha,  s_0 that of t = 1

with x_h the sampler's end and x* the tight solution from the same latents z. The search is Gauss and Newton's, with
Levenberg and Marquardt's damping (Nocedal & Wright, 2006, section 10.3), in u = log h. Weights 1 / |x_h - x*| make the
sum of squares one of distances (Weiszfeld, 1937), so that a few latents that go astray do not decide alone. Derivatives
are differences: one way down for each step. What is found is measured on latents that it was not chosen by.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fokker.compare.measure import follows_the_flow
from fokker.compare.solution import EXACT, LEARNED, distance, solve
from fokker.errors import ConfigError
from fokker.guidance import Subject
from fokker.model import ScoreModel
from fokker.perturbation import Perturbation
from fokker.sampler import Final, Sampler, check_grid, check_noise, trajectory
from fokker.sampling import Begun, begin
from fokker.start import Start, prior

__all__ = ["Found", "Latents", "draw_latents", "noise_of", "search_grid", "times_of"]

FloatArray: TypeAlias = npt.NDArray[np.float64]
Tell: TypeAlias = Callable[[float, float], None]

_FIRST = 1 << 30
"""Index of the first latent, far from those of samples, on which the grid may be measured again."""

_ROUNDS, _TRIES = 30, 8
"""Of linearisations, and of dampings of each."""

_ENOUGH = 1e-3
"""Relative gain of a round that is the last."""

_LONGEST = 0.5
"""What one round may change of log h: the differences say nothing of what lies farther off."""

_FARTHEST = 1e6
"""Largest s_0, where alpha = 0 at t = 1."""


@dataclass(frozen=True, eq=False)
class Latents:
    """Latents and where they belong.

    Args:
        begun: Their states at t = 1.
        ends: The ends of their probability flow, (B, *D), float64, on the CPU.
        evaluations: What the solution took, of all of them.
    """

    begun: Begun
    ends: Tensor
    evaluations: int

    def distances(self, way: Sampler, times: Tensor, final: Final) -> Tensor:
        """Differences of a sampler's ends from those of the flow, (B, d), float64."""
        begun = self.begun
        x = begun.x
        for state in trajectory(begun.model, way, times, begun.noise, begun.x, cond=begun.cond, final=final):
            x = state.x
        return (x.double().cpu() - self.ends).flatten(1)


@dataclass(frozen=True)
class Found:
    """What a search came to.

    Args:
        noise: sigma / alpha after each step.
        distance: Mean distance of the latents that it was measured on.
        start: That of the grid that the search began with.
        improved: Whether it is the smaller one; if not, the levels are those of the start.
        evaluations: Of the model, in all rows.
    """

    noise: tuple[float, ...]
    distance: float
    start: float
    improved: bool
    evaluations: int


def draw_latents(
    model: ScoreModel,
    subject: Subject,
    way: Sampler,
    n: int,
    *,
    first: int = 0,
    seed: int = 0,
    exact: bool = False,
    init: Start = prior,
    device: torch.device | str = "cpu",
) -> Latents:
    """Draw latents, and follow them to the end of their probability flow.

    They are none of those that `fokker sample` or `fokker compare` begins with, whatever the seed.

    Args:
        model: The model.
        subject: What is sampled.
        way: The sampler.
        n: Their number.
        first: Index of the first of them.
        seed: Decides them, with their index.
        exact: Whether the model answers in float64, and is followed to a tolerance that goes with it.
        init: Where trajectories begin.
        device: Where the model is.

    Raises:
        ConfigError: If the sampler does not follow the flow, or the model cannot be asked between its levels.
    """
    reason = follows_the_flow(way.claims)
    if reason is not None:
        raise ConfigError(f"{type(way).__name__} has no best grid: {reason}.")
    check_noise(model.perturbation, way)
    dtype = torch.float64 if exact else torch.float32
    start = torch.tensor([1.0, model.perturbation.t_min], dtype=torch.float64)
    index = range(_FIRST + first, _FIRST + first + n)
    begun = begin(model, subject, way, start, index, seed=seed, init=init, device=device, dtype=dtype)
    ends = solve(begun, tolerance=EXACT if exact else LEARNED)
    return Latents(begun, ends.x, begun.counted.rows)


def noise_of(perturbation: Perturbation, times: Tensor) -> FloatArray:
    """sigma / alpha at times, float64, at most 1e6."""
    noise: FloatArray = (-perturbation.log_snr(times) / 2).exp().clamp(max=_FARTHEST).numpy()
    return noise


def times_of(perturbation: Perturbation, noise: FloatArray) -> Tensor:
    """1, and the times of levels, none below t_min."""
    times = perturbation.time(-2 * torch.from_numpy(noise).log()).clamp(min=perturbation.t_min)
    return torch.cat([torch.ones(1, dtype=torch.float64), times])


def search_grid(
    way: Sampler,
    times: Tensor,
    chosen_by: Latents,
    measured_on: Latents,
    *,
    final: Final = "tweedie",
    tell: Tell = lambda share, distance: None,
) -> Found:
    """Search the best grid near one.

    Args:
        way: The sampler.
        times: The grid that the search begins with, from t = 1.
        chosen_by: Latents whose distance is made small.
        measured_on: Other latents, that decide whether the result is better.
        final: How trajectories end.
        tell: Told the share of the rounds that is done, at most, and the mean distance so far.

    Raises:
        ConfigError: If the grid does not begin at t = 1, or if latents do not stay finite on it.
    """
    check_grid(times)
    if float(times[0]) != 1:
        raise ConfigError(f"The search begins with a grid from t = 1; this one begins at {float(times[0]):g}.")
    p = chosen_by.begun.model.perturbation
    before = chosen_by.begun.counted.rows + measured_on.begun.counted.rows
    search = _Search(way, chosen_by, final, noise_of(p, times), float(noise_of(p, torch.tensor([p.t_min]).double())[0]))
    noise = search.run(tell)
    own = distance_of(measured_on, way, times, final)
    new = distance_of(measured_on, way, times_of(p, noise), final)
    improved = new < own
    spent = chosen_by.begun.counted.rows + measured_on.begun.counted.rows - before
    kept = noise if improved else search.start[1:]
    return Found(tuple(kept.tolist()), new if improved else own, own, improved, spent)


def distance_of(latents: Latents, way: Sampler, times: Tensor, final: Final = "tweedie") -> float:
    """Mean distance of a sampler's ends from those of the flow."""
    away = latents.distances(way, times, final)
    return distance(away, torch.zeros_like(away))


class _Search:
    """Gauss and Newton's method over the lengths of steps."""

    def __init__(self, way: Sampler, latents: Latents, final: Final, noise: FloatArray, least: float) -> None:
        self._way, self._latents, self._final = way, latents, final
        self.start = noise
        self._high = float(np.log(noise[0]))
        # without a least noise of its own, a thousandth of what the budget's own grid ends at is as good as none
        self._room = self._high - float(np.log(max(least, 1e-3 * noise[-1])))
        # rounding of float32 would drown smaller differences
        self._h = 1e-3 if latents.begun.x.dtype is torch.float64 else 1e-2

    def noise(self, u: FloatArray) -> FloatArray:
        """The levels after each step; longer ways than there is room for are shrunk as a whole."""
        lengths = np.exp(u)
        lengths *= min(1.0, self._room / lengths.sum())
        levels: FloatArray = np.exp(self._high - np.cumsum(lengths))
        return levels

    def run(self, tell: Tell) -> FloatArray:
        """The levels with the least distance found."""
        u: FloatArray = np.log(-np.diff(np.log(self.start)))
        away = self._away(u)
        if away is None:
            raise ConfigError("The grid that the search begins with does not lead to finite samples; take more steps.")
        best, damping = _mean(away), 1e-2
        for round_ in range(_ROUNDS):
            tell(round_ / _ROUNDS, best)
            a, b = self._linearised(u, away)
            gain = 0.0
            for _ in range(_TRIES):
                change = -np.linalg.solve(a + damping * np.diag(np.diag(a) + 1e-12 * np.trace(a) + 1e-300), b)
                change *= min(1.0, _LONGEST / max(np.abs(change).max(), 1e-300))
                tried = self._away(u + change)
                if tried is not None and (found := _mean(tried)) < best:
                    gain = 1 - found / best
                    u, away, best = u + change, tried, found
                    damping = max(damping / 4, 1e-6)
                    break
                damping *= 4
            if gain < _ENOUGH:
                break
        tell(1.0, best)
        return self.noise(u)

    def _linearised(self, u: FloatArray, away: FloatArray) -> tuple[FloatArray, FloatArray]:
        """J^T W J and J^T W r, with W = 1 / |r| of each latent."""
        columns = []
        for k in range(len(u)):
            moved = self._away(u + self._h * np.eye(len(u))[k])
            columns.append(np.zeros_like(away) if moved is None else (moved - away) / self._h)
        jacobian = np.stack(columns, -1)
        size = np.linalg.norm(away, axis=1)
        weight = 1 / np.maximum(size, 1e-3 * size.mean() + 1e-300)
        a: FloatArray = np.einsum("bdi,bdj,b->ij", jacobian, jacobian, weight, optimize=True)
        b: FloatArray = np.einsum("bdi,bd,b->i", jacobian, away, weight, optimize=True)
        return a, b

    def _away(self, u: FloatArray) -> FloatArray | None:
        """Differences of the ends from those of the flow; None where there is no such grid, or no finite end."""
        times = times_of(self._latents.begun.model.perturbation, self.noise(u))
        try:
            check_grid(times)
        except ConfigError:
            return None
        away: FloatArray = self._latents.distances(self._way, times, self._final).numpy()
        return away if bool(np.isfinite(away).all()) else None


def _mean(away: FloatArray) -> float:
    return float(np.linalg.norm(away, axis=1).mean())
