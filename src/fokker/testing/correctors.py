"""What every corrector should do.

A corrector that is applied at every level of a grid, without a predictor, is a sampler, and most of what every sampler
should do holds for it. What is its own is that it leaves the law at its time in place.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from fokker.errors import ConfigError
from fokker.model import ScoreModel
from fokker.noise import Noise
from fokker.perturbation import Perturbation
from fokker.sampler import Claims, Corrector, Sampler, State, by_step
from fokker.testing import samplers
from fokker.testing.check import Body, NotApplicable, Suite, expect
from fokker.testing.compare import close
from fokker.testing.runs import descent, end, per_sample, start
from fokker.testing.stationary import stays_in_place
from fokker.testing.worlds import PERTURBATIONS, mixture

__all__ = ["suite"]

_BATCH = 5


@dataclass(frozen=True)
class _Levels(Sampler):
    """One update at every level of the grid, and the state carried on to the next one."""

    corrector: Corrector

    @property
    def claims(self) -> Claims:
        claims = self.corrector.claims
        each = claims.evaluations
        return Claims(evaluations=each, at_end=each or 0, stochastic=claims.stochastic)

    def trajectory(
        self, model: ScoreModel, x: Tensor, grid: Tensor, noise: Noise, cond: Mapping[str, Tensor] | None = None
    ) -> Iterator[State]:
        steps = by_step(self.corrector.coefficients(model.perturbation, grid))
        times = grid.tolist()
        yield State(times[0], x)
        for k, (t, c) in enumerate(zip(times, steps, strict=True)):
            last = k == len(times) - 1
            x = self.corrector.correct(model, x, t, c, noise.final if last else noise, cond)
            if k > 0 or last:
                yield State(t, x)


def _observe(corrector: Corrector) -> list[Any]:
    found: list[Any] = [corrector.claims]
    for p in (PERTURBATIONS["vp"], PERTURBATIONS["ve"]):
        x, grid = start(p, descent(), _BATCH, 2), descent()
        found.append(end(_Levels(corrector), mixture(p), x, grid, per_sample(x)))
    return found


suite = Suite(Corrector, observe=_observe)


def _at_every_level(body: Body) -> Body:
    @wraps(body)
    def of_corrector(corrector: Corrector, *case: Any) -> str | None:
        return body(_Levels(corrector), *case)

    return of_corrector


for _body in (
    samplers.replayable,
    samplers.global_generators_untouched,
    samplers.inputs_untouched,
    samplers.stateless,
    samplers.batch_independent,
    samplers.any_event_shape,
    samplers.evaluations,
    samplers.passes_conditions_on,
    samplers.draws_as_claimed,
):
    suite.check(_at_every_level(_body))
suite.check(over=PERTURBATIONS)(_at_every_level(samplers.finite_in_float32))


@suite.check(over=PERTURBATIONS)
def coefficients_of_a_grid(corrector: Corrector, p: Perturbation) -> None:
    """Computes the coefficients of a whole grid at once, float64 and finite, the same as level by level."""
    grid = descent(first=1.0, last=max(p.t_min, 1e-3))
    try:
        whole = corrector.coefficients(p, grid)
    except ConfigError as error:
        raise NotApplicable(f"refused: {error}") from error
    for name, c in whole.items():
        expect(c.dtype == torch.float64, f"coefficient {name} is {c.dtype}, not float64")
        expect(c.shape == grid.shape, f"coefficient {name} has the shape {tuple(c.shape)} for {len(grid)} levels")
        expect(bool(c.isfinite().all()), f"coefficient {name} is not finite: {[f'{v:g}' for v in c.tolist()]}")
    for k, t in enumerate(grid):
        for name, c in corrector.coefficients(p, t).items():
            close(c, whole[name][k], f"coefficient {name} of level {k} alone", rtol=1e-12, atol=1e-15)


@suite.check(over=PERTURBATIONS)
def stationary(corrector: Corrector, p: Perturbation) -> str:
    """Leaves the law at its time in place, up to the square of its step, if it claims so."""
    if not corrector.claims.stationary:
        raise NotApplicable("it does not claim to leave a law in place")
    return stays_in_place(_Levels(corrector), p, lambda t: torch.tensor([t], dtype=torch.float64))
