"""The default way down: Adams's methods in the angle between data and noise."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from fokker.auto_grid import AutoGrid, filled
from fokker.component import component
from fokker.model import ScoreModel
from fokker.noise import Noise
from fokker.prediction import Prediction, weighted
from fokker.sampler import Claims, Sampler, State
from fokker.width import AskWidth
from fokker_dpm.integrals import Levels, decay, noise_left, weights
from fokker_dpm.multistep import combine, orders
from fokker_dpm.unipc import UniPC

__all__ = ["Auto"]

_TABLE = ((5, (3, 0)), (13, (2, 4)), (39, (4, 5)), (10**9, (5, 6)))
"""Up to how many steps, which orders."""

_MUCH = 0.5
"""The share of the noise beyond which high orders extrapolate the noise of earlier steps out of proportion."""

_WIDE, _FEW = 2.0, 8
"""The spread beyond which polynomials of a high degree lead astray, and the steps up to which all in the angle do."""

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

    The table and c = 2 data_std were chosen by measuring: the least distance to the exact solution over nine
    mixtures in 2 to 64 dimensions, from noise 15 and 80 times the data's width (docs/performance.md). Used with the
    grid `auto`, which has been chosen with it. Data that is much wider along a few directions than a value of it, as
    pictures are, has modes narrower than c: c = 2 data_std / spread^(1/4). Beyond a spread of 2 the orders are 2 and 4
    from 9 steps on; up to 8 it is `unipc` of order 2, whose polynomials in log-SNR take wider steps down such data, and
    with noise the orders are 1 and 2.

    With eta > 0 it follows the reverse SDE with the share eta of its noise (`fokker_dpm.integrals`); what a step drew
    is kept when it is corrected. eta = 1 is Anderson's equation. Above eta = 0.5 the predictor has order 1 and the
    corrector order 2, since higher ones carry the noise of earlier steps on. 0.5, a quarter of the noise's variance,
    came out best.

    Args:
        data_std: Standard deviation of a value of the data in the model's units; that of the run's data unless given, 1
            where there is none.
        spread: How much wider the data is as a whole than a value of it (`fokker.width`), likewise.
        eta: 0 is the probability flow, 1 the reverse SDE.
    """

    data_std: Annotated[float, Gt(0)] | None = None
    spread: Annotated[float, Ge(1)] | None = None
    eta: Annotated[float, Ge(0)] = 0.0

    @property
    def claims(self) -> Claims:
        """Order 3, which the first step allows, and 2 in so few steps that nothing is corrected.

        With noise the weak order is 1: a polynomial through F of disturbed states does not gain the others.
        """
        return Claims(
            order=None if self.eta else 3,
            weak_order=1 if self.eta else None,
            at_end=1,
            finishes=True,
            stochastic=self.eta > 0,
            schedule_invariant=True,
        )

    @property
    def own_grid(self) -> AutoGrid:
        """The grid `auto` in the same units."""
        return AutoGrid(self.data_std, self.spread)

    def on_data(self, width: AskWidth) -> "Auto":
        """With what was not given."""
        return Auto(*filled(self.data_std, self.spread, width), self.eta)

    @property
    def unit(self) -> float:
        """c."""
        narrowing: float = (self.spread or 1.0) ** 0.25
        return 2 * (self.data_std or 1.0) / narrowing

    def trajectory(
        self, model: ScoreModel, x: Tensor, grid: Tensor, noise: Noise, cond: Mapping[str, Tensor] | None = None
    ) -> Iterator[State]:
        """See `Sampler.trajectory`."""
        if not self.eta and (self.spread or 1.0) > _WIDE and len(grid) - 1 <= _FEW:
            yield from _finished(UniPC(order=2), model, x, grid, noise, cond)
            return
        levels = Levels.at(model.perturbation, grid, self.unit)
        steps, last = _coefficients(levels, *_orders(len(grid) - 1, self.eta, self.spread or 1.0), self.eta**2)
        times: list[float] = grid.tolist()
        history: list[Tensor] = []
        before, drawn = x, None
        for k, step in enumerate(steps):
            history = [self._read(model(x, times[k], cond)), *history[:_DEPTH]]
            if step.again:
                x = _disturbed(combine(before, steps[k - 1].x, step.again, history), steps[k - 1].z, drawn)
            yield State(times[k], x)
            before = x
            if step.z:
                source = noise.final if k == len(steps) - 1 else noise
                drawn = source(x, times[k], times[k + 1])
            x = _disturbed(combine(x, step.x, step.m, history), step.z, drawn)
        alpha, sigma = model.perturbation.scales(times[-1], x)
        assert isinstance(alpha, float) and isinstance(sigma, float)
        if not sigma:
            yield State(times[-1], x, x / alpha)
            return
        said = self._read(model(x, times[-1], cond))
        if last:
            x = _disturbed(combine(before, steps[-1].x, last, [said, *history]), steps[-1].z, drawn)
        else:
            x = x.clone()
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
    """Factors of the state, the predictions and the noise in a step, and those that make the one before again."""

    x: float
    m: tuple[float, ...]
    z: float
    again: tuple[float, ...]


def _disturbed(x: Tensor, factor: float, drawn: Tensor | None) -> Tensor:
    """x + factor drawn, written over `x`; without a draw, x."""
    return x if drawn is None else x.add_(drawn, alpha=factor)


def _finished(
    sampler: Sampler, model: ScoreModel, x: Tensor, grid: Tensor, noise: Noise, cond: Mapping[str, Tensor] | None
) -> Iterator[State]:
    """The trajectory of a sampler, its last state with the expected data."""
    t = float(grid[-1])
    for state in sampler.trajectory(model, x, grid, noise, cond):
        x = state.x
        if state.t != t:
            yield state
    alpha, sigma = model.perturbation.scales(t, x)
    yield State(t, x, model(x, t, cond).x0 if sigma else x / alpha)


def _orders(steps: int, eta: float, spread: float) -> tuple[int, int]:
    """Nodes of the predictor and of the corrector, 0 for none."""
    if eta > _MUCH:
        return 1, 2
    if spread > _WIDE:
        return (1, 2) if steps <= _FEW else (2, 4)
    return next(orders for most, orders in _TABLE if steps <= most)


def _coefficients(levels: Levels, order: int, corrector: int, churn: float) -> tuple[list[_Step], tuple[float, ...]]:
    """The steps, each with the weights that make the one before again, and those that make the last one again."""
    n = len(levels.t) - 1
    if not n:
        return [], ()
    angle = levels.coordinate("angle")
    start, end = torch.arange(n), torch.arange(1, n + 1)
    factors = decay(levels, "v", start, end, churn).tolist()
    spread = noise_left(levels, start, end, churn).tolist() if churn else [0.0] * n
    first = _rows(levels, orders(angle, order), 0, churn)
    again = _rows(levels, orders(angle, corrector - 1), 1, churn) if corrector else [()] * n
    steps = [_Step(*each) for each in zip(factors, first, spread, [(), *again[:-1]], strict=True)]
    return steps, again[-1]


def _rows(levels: Levels, used: list[int], ahead: int, churn: float) -> list[tuple[float, ...]]:
    """Weights of each step from as many levels up to its start as `used` says, and its end if `ahead` is 1."""
    found: list[tuple[float, ...]] = [()] * len(used)
    for q in set(used):
        start = torch.tensor([k for k, each in enumerate(used) if each == q])
        nodes = start.unsqueeze(1) + ahead - torch.arange(q + ahead)
        table = weights(levels, "v", "angle", start, start + 1, nodes, 1 + churn)
        for k, row in zip(start.tolist(), table.tolist(), strict=True):
            found[k] = tuple(row)
    return found
