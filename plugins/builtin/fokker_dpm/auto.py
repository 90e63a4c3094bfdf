"""The default way down: Adams's methods in the angle between data and noise."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor

from fokker.auto_grid import AutoGrid
from fokker.component import component
from fokker.model import ScoreModel
from fokker.noise import Noise
from fokker.prediction import Prediction, weighted
from fokker.sampler import Claims, Sampler, State
from fokker_dpm.integrals import Levels, decay, weights
from fokker_dpm.multistep import combine, orders

__all__ = ["Auto"]

_TABLE = ((5, (3, 0)), (13, (2, 4)), (39, (4, 5)), (10**9, (5, 6)))
"""Up to how many steps, which orders."""

_DEPTH = 5
"""Predictions before the latest that are kept."""


@component
class Auto(Sampler):
    """The default: a predictor and corrector of Adams for the probability flow, its order by the number of steps.

        dx~/dphi = F,    x~ = x / rho,    rho^2 = (c alpha)^2 + sigma^2,    phi = atan(sigma / (c alpha))
        F = (c alpha eps - sigma x0 / c) / rho

    F is what EDM's networks say of data with standard deviation c (Karras et al., 2022, eq. 7), and v for c = 1. On
    Gaussian data of that width F is 0 and a step of any length exact, so that the way from the prior costs a step or
    two however much noise it begins with; there is no kernel, and where the noise is small it is eps. What a step
    predicts from the last F is corrected with the one that the next step needs anyway (Zhao et al., 2023), at the last
    level too, whose evaluation gives the end as well: N steps take N + 1 evaluations, the end included.

        steps      predictor   corrector
        1 to 5     order 3     none
        6 to 13    order 2     order 4
        14 to 39   order 4     order 5
        40 on      order 5     order 6

    The table and c = 2 data_std were chosen by measuring: the least distance to the exact solution over nine mixtures
    in 2 to 64 dimensions, from noise 15 and 80 times the data's width (docs/performance.md). Used with the grid
    `auto`, which has been chosen with it.

    Args:
        data_std: Standard deviation of the data in the model's units: 1 after `standardise`.
    """

    data_std: Annotated[float, Gt(0)] = 1.0

    @property
    def claims(self) -> Claims:
        """Order 3, which the first step allows, and 2 in so few steps that nothing is corrected."""
        return Claims(order=3, at_end=1, finishes=True, schedule_invariant=True)

    @property
    def own_grid(self) -> AutoGrid:
        """The grid `auto` in the same units."""
        return AutoGrid(self.data_std)

    @property
    def unit(self) -> float:
        """c."""
        return 2 * self.data_std

    def trajectory(
        self, model: ScoreModel, x: Tensor, grid: Tensor, noise: Noise, cond: Mapping[str, Tensor] | None = None
    ) -> Iterator[State]:
        """See `Sampler.trajectory`."""
        levels = Levels.at(model.perturbation, grid, self.unit)
        steps, last = _coefficients(levels, *_orders(len(grid) - 1))
        times: list[float] = grid.tolist()
        history: list[Tensor] = []
        before = x
        for k, step in enumerate(steps):
            history = [self._read(model(x, times[k], cond)), *history[:_DEPTH]]
            if step.again:
                x = combine(before, steps[k - 1].x, step.again, history)
            yield State(times[k], x)
            before = x
            x = combine(x, step.x, step.m, history)
        alpha, sigma = model.perturbation.scales(times[-1], x)
        assert isinstance(alpha, float) and isinstance(sigma, float)
        if not sigma:
            yield State(times[-1], x, x / alpha)
            return
        said = self._read(model(x, times[-1], cond))
        x = combine(before, steps[-1].x, last, [said, *history]) if last else x.clone()
        # c_skip x + c_out F of the corrected state (Karras et al., 2022, eq. 7), which no evaluation was made at
        power = (self.unit * alpha) ** 2 + sigma**2
        yield State(times[-1], x, weighted(x, said, self.unit**2 * alpha / power, -self.unit * sigma / power))

    def _read(self, q: Prediction) -> Tensor:
        """rho F."""
        if self.unit == 1:
            return q.v
        return q.linear(eps=self.unit * q.alpha, x0=-q.sigma / self.unit)


@dataclass(frozen=True)
class _Step:
    """Factors of the state and of the predictions in a step, and those that make the one before again, if any."""

    x: float
    m: tuple[float, ...]
    again: tuple[float, ...]


def _orders(steps: int) -> tuple[int, int]:
    """Nodes of the predictor and of the corrector, 0 for none."""
    return next(orders for most, orders in _TABLE if steps <= most)


def _coefficients(levels: Levels, order: int, corrector: int) -> tuple[list[_Step], tuple[float, ...]]:
    """The steps, each with the weights that make the one before again, and those that make the last one again."""
    n = len(levels.t) - 1
    if not n:
        return [], ()
    angle = levels.coordinate("angle")
    factors = decay(levels, "v", torch.arange(n), torch.arange(1, n + 1)).tolist()
    first = _rows(levels, orders(angle, order), 0)
    again = _rows(levels, orders(angle, corrector - 1), 1) if corrector else [()] * n
    steps = [_Step(x, m, redo) for x, m, redo in zip(factors, first, [(), *again[:-1]], strict=True)]
    return steps, again[-1]


def _rows(levels: Levels, used: list[int], ahead: int) -> list[tuple[float, ...]]:
    """Weights of each step from as many levels up to its start as `used` says, and its end if `ahead` is 1."""
    found: list[tuple[float, ...]] = [()] * len(used)
    for q in set(used):
        start = torch.tensor([k for k, each in enumerate(used) if each == q])
        nodes = start.unsqueeze(1) + ahead - torch.arange(q + ahead)
        for k, row in zip(start.tolist(), weights(levels, "v", "angle", start, start + 1, nodes).tolist(), strict=True):
            found[k] = tuple(row)
    return found
