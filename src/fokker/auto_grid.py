"""The grid that the sampler `auto` was chosen with."""

from collections.abc import Callable
from typing import Annotated, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from annotated_types import Ge, Gt
from torch import Tensor

from fokker.component import component
from fokker.errors import ConfigError
from fokker.grid import Grid
from fokker.perturbation import Perturbation
from fokker.width import AskWidth

__all__ = ["AutoGrid", "filled", "levels_between"]

FloatArray: TypeAlias = npt.NDArray[np.float64]

_POINTS = 8193
_FARTHEST = 1e6
"""Noise, in units of the data's width, beyond which a step of `auto` is exact and needs no room of its own."""


@component
class AutoGrid(Grid):
    """Noise levels for a number of evaluations n = N + 1, those of N steps and the end.

        density of log s:    s^q / (1 + (s / b)^1.6),    q = max(0, 0.6 - 2.2 / n),    b = (2 + (6 / n)^4) spread
        last level:          s = min(0.04, 3.3 / (n^2 + 24)) spread^r,    r = 1/2 + min(1, (5 / n)^4) / 2
        s = sigma / (alpha data_std)

    Much above the data's width little happens to a sample, and levels thin out; below it, most of them lie where the
    modes of data part. The end follows from the budget: with few evaluations a larger last noise, which the end by
    Tweedie's formula takes away, costs less than wider steps. The constants were fitted to the best grids for nine
    mixtures at 5, 10, 20 and 50 evaluations (docs/performance.md), the powers of the spread by trial on three networks
    of pictures and three laws like pictures; they are right within a factor, not to a digit.

    Args:
        data_std: Standard deviation of a value of the data in the model's units; that of the run's data unless given, 1
            where there is none.
        spread: How much wider the data is as a whole than a value of it (`fokker.width`), likewise.
    """

    data_std: Annotated[float, Gt(0)] | None = None
    spread: Annotated[float, Ge(1)] | None = None

    def on_data(self, width: AskWidth) -> "AutoGrid":
        """With what was not given."""
        return AutoGrid(*filled(self.data_std, self.spread, width))

    def times(self, perturbation: Perturbation, steps: int) -> Tensor:
        """Inverts the log-SNR; from t = 1 to the last level, or to t_min where that has more noise."""
        end = self.ends(perturbation, steps)[1]
        high, low = (self._noise(perturbation, t) for t in (1.0, end))
        n = steps + 1
        q, b = max(0.0, 0.6 - 2.2 / n), (2 + (6 / n) ** 4) * (self.spread or 1.0)
        s = levels_between(high, low, steps, lambda s: s**q / (1 + (s / b) ** 1.6))
        times = perturbation.time(-2 * torch.from_numpy(s * self._std).log())
        times[0], times[-1] = 1.0, end
        return times

    def ends(self, perturbation: Perturbation, steps: int) -> tuple[float, float]:
        """1, and the time of the last level, at least t_min."""
        n = steps + 1
        widening = (self.spread or 1.0) ** (0.5 + min(1.0, (5 / n) ** 4) / 2)
        low = self._std * widening * min(0.04, 3.3 / (n**2 + 24))
        end = float(perturbation.time(torch.tensor(-2 * np.log(low), dtype=torch.float64)))
        end = max(end, perturbation.t_min)
        if end >= 1 or self._noise(perturbation, end) == 0:
            raise ConfigError(
                f"The grid 'auto' goes down to sigma / alpha = {low:.3g} in {steps} steps, which {perturbation!r} does "
                "not reach from above; use another grid, such as 'uniform'."
            )
        return 1.0, end

    @property
    def _std(self) -> float:
        return self.data_std or 1.0

    def _noise(self, p: Perturbation, t: float) -> float:
        """sigma / alpha in units of the data."""
        snr = float(p.log_snr(torch.tensor(t, dtype=torch.float64)))
        return float(np.exp(-snr / 2)) / self._std


def levels_between(high: float, low: float, steps: int, density: Callable[[FloatArray], FloatArray]) -> FloatArray:
    """Levels between two of them, descending, (steps + 1,): each step has the same share of a density of log s."""
    log = np.linspace(np.log(low), np.log(min(high, _FARTHEST)), _POINTS)
    each = density(np.exp(log))
    share = np.concatenate([[0.0], np.cumsum((each[1:] + each[:-1]) / 2)])
    places: FloatArray = np.interp(share[-1] * np.linspace(1, 0, steps + 1), share, log)
    levels: FloatArray = np.exp(places)
    return levels


def filled(data_std: float | None, spread: float | None, width: AskWidth) -> tuple[float | None, float | None]:
    """The two of them, those that were not given from the data's width where it is known.

    Units that are given are the whole of it: the spread of other units is not the data's.
    """
    if data_std is not None or spread is not None:
        return data_std, spread
    known = width()
    return (None, None) if known is None else (known.std, known.spread)
