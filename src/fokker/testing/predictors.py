"""What every one-step method should do, besides what every sampler should.

A step depends on nothing but where it starts and where it lands, so steps can be cut, chained, and taken at different
times by different rows.
"""

import torch
from torch import Tensor

from fokker.errors import ConfigError
from fokker.noise import Zero
from fokker.perturbation import Perturbation, expand
from fokker.sampler import OneStep, by_step
from fokker.testing.check import NotApplicable, Suite, expect
from fokker.testing.compare import close
from fokker.testing.runs import Tape, descent, end, start
from fokker.testing.worlds import CONTINUOUS, PERTURBATIONS, mixture

__all__ = ["suite"]

_BATCH = 5

suite = Suite(OneStep)


def _coefficients(predictor: OneStep, p: Perturbation, t: Tensor, s: Tensor) -> dict[str, Tensor]:
    try:
        return predictor.coefficients(p, t, s)
    except ConfigError as error:
        raise NotApplicable(f"refused: {error}") from error


@suite.check(over=PERTURBATIONS)
def coefficients_of_a_grid(predictor: OneStep, p: Perturbation) -> None:
    """Computes the coefficients of a whole grid at once, float64 and finite, the same as step by step."""
    grid = descent(first=1.0, last=max(p.t_min, 1e-3))
    whole = _coefficients(predictor, p, grid[:-1], grid[1:])
    for name, c in whole.items():
        expect(c.dtype == torch.float64, f"coefficient {name} is {c.dtype}, not float64")
        expect(c.shape == grid[:-1].shape, f"coefficient {name} has the shape {tuple(c.shape)} for times of {(6,)}")
        expect(bool(c.isfinite().all()), f"coefficient {name} is not finite: {[f'{v:g}' for v in c.tolist()]}")
    for k in range(len(grid) - 1):
        for name, c in predictor.coefficients(p, grid[k], grid[k + 1]).items():
            close(c, whole[name][k], f"coefficient {name} of step {k} alone", rtol=1e-12, atol=1e-15)


@suite.check(over=PERTURBATIONS)
def identity_without_time(predictor: OneStep, p: Perturbation) -> None:
    """Stays where it is in a step from t to t without noise."""
    for t in (0.9, 0.3):
        time = torch.tensor([t], dtype=torch.float64)
        (c,) = by_step(_coefficients(predictor, p, time, time))
        x = start(p, time, _BATCH, 2)
        with torch.no_grad():
            found = predictor.step(mixture(p), x, t, t, c, Zero())
        close(found, x, f"a step from t = {t:g} to itself", rtol=1e-9, atol=1e-9)


@suite.check(over=CONTINUOUS)
def steps_chain(predictor: OneStep, p: Perturbation) -> None:
    """Ends where it would if the grid were walked in two parts."""
    grid = descent()
    x = start(p, grid, _BATCH, 2)
    tape = Tape()
    middle = end(predictor, mixture(p), x, grid[:4], tape)
    parts = end(predictor, mixture(p), middle, grid[3:], tape)
    whole = end(predictor, mixture(p), x, grid, Tape())
    close(parts, whole, "the end of a grid walked in two parts", rtol=1e-12, atol=1e-12)


@suite.check
def rows_at_their_own_times(predictor: OneStep) -> None:
    """Takes a step whose rows start and land at times of their own, as adaptive samplers need it."""
    p = CONTINUOUS["vp"]
    t = torch.tensor([0.9, 0.5, 0.7], dtype=torch.float64)
    s = torch.tensor([0.6, 0.4, 0.1], dtype=torch.float64)
    x = start(p, t, 3, 2, 2)
    model = mixture(p, (2, 2))
    c = _coefficients(predictor, p, t, s)
    with torch.no_grad():
        together = predictor.step(model, x, t, s, {k: expand(v, x) for k, v in c.items()}, Tape())
        for i, one in enumerate(by_step(c)):
            alone = predictor.step(model, x[i : i + 1], float(t[i]), float(s[i]), one, _Row(i, x))
            close(together[i : i + 1], alone, f"row {i} of a step at times of its own", rtol=1e-9, atol=1e-9)


class _Row(Tape):
    """What a tape says to one row of a batch.

    Args:
        row: Position in the batch.
        batch: A tensor like the whole batch.
    """

    def __init__(self, row: int, batch: Tensor) -> None:
        super().__init__()
        self._row, self._batch = row, batch

    def _normal(self, x: Tensor) -> Tensor:
        return super()._normal(self._batch)[self._row : self._row + 1]
