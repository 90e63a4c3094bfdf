"""Grids: where on the way down a sampler stops.

A grid of N steps has N + 1 strictly decreasing times, from its start, 1 unless said otherwise, to its end, the
perturbation's `t_min` unless said otherwise.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt, Interval, Le
from torch import Tensor

from fokker.component import component
from fokker.errors import ConfigError
from fokker.perturbation import Perturbation
from fokker.width import AskWidth

__all__ = ["Exponential", "Grid", "Karras", "Knots", "LogSNR", "Quadratic", "Trailing", "Uniform", "karras_sigmas"]

End = Annotated[float, Interval(ge=0, lt=1)] | None


class Grid(ABC):
    """A rule that spreads times; subclasses are components (`@component`)."""

    kind: ClassVar[str] = "grid"

    @abstractmethod
    def times(self, perturbation: Perturbation, steps: int) -> Tensor:
        """The times of `steps` >= 1 steps, strictly decreasing, float64 on the host, (steps + 1,).

        Raises:
            ConfigError: If the perturbation cannot have this grid.
        """

    def ends(self, perturbation: Perturbation, steps: int) -> tuple[float, float]:
        """The first and the last of these times, 1 and t_min unless a subclass says otherwise.

        Raises:
            ConfigError: If the perturbation cannot have this grid.
        """
        return 1.0, perturbation.t_min

    def on_data(self, width: AskWidth) -> "Grid":
        """The grid for data of a width, which a subclass that wants it fills in where nobody gave it."""
        return self

    @property
    def own_sampler(self) -> str | None:
        """Spec of the sampler that it is made for, taken where a user names the grid alone; None where any will do."""
        return None

    def in_run(self, folder: Path, sampler: str, steps: int) -> "Grid":
        """The grid as it is stored in a run's folder for a sampler and a number of steps; itself unless it is one such.

        Raises:
            RunError: If it is not there.
        """
        return self


def _between(start: float, end: float, fraction: Tensor) -> Tensor:
    return start + (end - start) * fraction


def _fractions(steps: int) -> Tensor:
    return torch.arange(steps + 1, dtype=torch.float64) / steps


def _end(end: float | None, p: Perturbation) -> float:
    return p.t_min if end is None else end


@component
class Uniform(Grid):
    """Times equally far apart (Song et al., 2021).

    Args:
        end: Last time; the perturbation's t_min unless given.
    """

    end: End = None

    def ends(self, perturbation: Perturbation, steps: int) -> tuple[float, float]:
        """1 and `end`."""
        return 1.0, _end(self.end, perturbation)

    def times(self, perturbation: Perturbation, steps: int) -> Tensor:
        """1 + (end - 1) k / N."""
        return _between(1.0, _end(self.end, perturbation), _fractions(steps))


@component
class Quadratic(Grid):
    """Times whose square roots are equally far apart (DDIM's `quad`; Song et al., 2021, appendix D.2).

    Args:
        end: Last time; the perturbation's t_min unless given.
    """

    end: End = None

    def ends(self, perturbation: Perturbation, steps: int) -> tuple[float, float]:
        """1 and `end`."""
        return 1.0, _end(self.end, perturbation)

    def times(self, perturbation: Perturbation, steps: int) -> Tensor:
        """(1 + (sqrt(end) - 1) k / N)^2."""
        end = _end(self.end, perturbation)
        grid = _between(1.0, end**0.5, _fractions(steps)) ** 2
        grid[-1] = end
        return grid


@component
class LogSNR(Grid):
    """Equal steps of log-SNR (Lu et al., 2022, section 3.4).

    Args:
        end: Last time; the perturbation's t_min unless given.
    """

    end: End = None

    def ends(self, perturbation: Perturbation, steps: int) -> tuple[float, float]:
        """1 and `end`."""
        return 1.0, _end(self.end, perturbation)

    def times(self, perturbation: Perturbation, steps: int) -> Tensor:
        """Inverts the log-SNR."""
        end = _end(self.end, perturbation)
        first, last = perturbation.log_snr(torch.tensor([1.0, end], dtype=torch.float64)).tolist()
        if last == float("inf"):
            raise ConfigError(
                "The grid 'log-snr' cannot end where sigma = 0; give end, or a perturbation with t_min > 0."
            )
        if first == -float("inf"):
            raise ConfigError(
                "The grid 'log-snr' cannot begin where alpha = 0; use 'uniform', or 'karras' with sigma_max."
            )
        grid = perturbation.time(_between(first, last, _fractions(steps)))
        grid[0], grid[-1] = 1.0, end
        return grid


@component
class Exponential(Grid):
    """A geometric sequence of sigma / alpha between two noise levels, where `log-snr` goes between two times.

    Args:
        sigma_max: First sigma / alpha; that of t = 1 unless given.
        sigma_min: Last sigma / alpha; that of t_min unless given.
    """

    sigma_max: Annotated[float, Gt(0)] | None = None
    sigma_min: Annotated[float, Gt(0)] | None = None

    def ends(self, perturbation: Perturbation, steps: int) -> tuple[float, float]:
        """The times of both noise levels."""
        return _times_of(perturbation, *_noise_range(perturbation, self.sigma_max, self.sigma_min))

    def times(self, perturbation: Perturbation, steps: int) -> Tensor:
        """Inverts the log-SNR."""
        high, low = _noise_range(perturbation, self.sigma_max, self.sigma_min)
        return _from_sigmas(perturbation, high * (low / high) ** _fractions(steps))


@component
class Karras(Grid):
    """Equal steps of (sigma / alpha)^(1 / rho) (Karras et al., 2022, eq. 5).

    Args:
        rho: 7 spends most steps at small noise.
        sigma_max: First sigma / alpha; that of t = 1 unless given.
        sigma_min: Last sigma / alpha; that of t_min unless given.
    """

    rho: Annotated[float, Ge(1), Le(1000)] = 7.0
    sigma_max: Annotated[float, Gt(0)] | None = None
    sigma_min: Annotated[float, Gt(0)] | None = None

    def ends(self, perturbation: Perturbation, steps: int) -> tuple[float, float]:
        """The times of both noise levels."""
        return _times_of(perturbation, *_noise_range(perturbation, self.sigma_max, self.sigma_min))

    def times(self, perturbation: Perturbation, steps: int) -> Tensor:
        """Inverts the log-SNR."""
        high, low = _noise_range(perturbation, self.sigma_max, self.sigma_min)
        return _from_sigmas(perturbation, karras_sigmas(steps + 1, low, high, self.rho))


@component
class Trailing(Grid):
    """Every T / N-th level of a table counted from the last one, or the same times of an SDE (Lin et al., 2024).

    The first step starts at t = 1 whatever N is; the last one lands on 1 / (N + 1), where the end takes over.
    """

    def ends(self, perturbation: Perturbation, steps: int) -> tuple[float, float]:
        """1 and 1 / (N + 1), on the nearest level of a table."""
        last, knots = 1 / (steps + 1), perturbation.knots
        if knots is None:
            return 1.0, last
        self._refuse(knots, steps)
        return float(knots[-1]), float(knots[round(len(knots) * last) - 1])

    def times(self, perturbation: Perturbation, steps: int) -> Tensor:
        """1 - k / (N + 1), on the nearest level of a table."""
        grid = 1 - torch.arange(steps + 1, dtype=torch.float64) / (steps + 1)
        knots = perturbation.knots
        if knots is None:
            return grid
        self._refuse(knots, steps)
        levels = torch.arange(len(knots), 0, -len(knots) / (steps + 1), dtype=torch.float64)[: steps + 1]
        return knots[levels.round().long() - 1]

    def _refuse(self, knots: Tensor, steps: int) -> None:
        if steps + 1 > len(knots):
            raise ConfigError(f"The grid 'trailing' has at most {len(knots) - 1} steps on this table, got {steps}.")


@component
class Knots(Grid):
    """The levels of a table, all of them or evenly chosen ones (Ho et al., 2020; Song & Ermon, 2019).

    The first level is always the last of the table, the last one always level 1.
    """

    def ends(self, perturbation: Perturbation, steps: int) -> tuple[float, float]:
        """Levels L and 1."""
        knots = self._knots(perturbation, steps)
        return float(knots[-1]), float(knots[0])

    def times(self, perturbation: Perturbation, steps: int) -> Tensor:
        """Levels L down to 1."""
        knots = self._knots(perturbation, steps)
        return knots[torch.linspace(len(knots) - 1, 0, steps + 1, dtype=torch.float64).round().long()]

    def _knots(self, perturbation: Perturbation, steps: int) -> Tensor:
        knots = perturbation.knots
        if knots is None:
            raise ConfigError(
                f"The grid 'knots' needs a table (sigmas or betas); {type(perturbation).__name__} is continuous. "
                "Use 'uniform'."
            )
        if steps > len(knots) - 1:
            raise ConfigError(f"The grid 'knots' has at most {len(knots) - 1} steps on this table, got {steps}.")
        return knots


def karras_sigmas(n: int, sigma_min: float, sigma_max: float, rho: float = 7.0) -> Tensor:
    """Noise levels (Karras et al., 2022, eq. 5), descending, float64 (n,)."""
    ramp = torch.arange(n, dtype=torch.float64) / max(1, n - 1)
    sigmas: Tensor = (sigma_max ** (1 / rho) + ramp * (sigma_min ** (1 / rho) - sigma_max ** (1 / rho))) ** rho
    sigmas[-1], sigmas[0] = sigma_min, sigma_max
    return sigmas


def _noise_range(p: Perturbation, high: float | None, low: float | None) -> tuple[float, float]:
    ends = torch.tensor([1.0, p.t_min], dtype=torch.float64)
    largest, smallest = (-p.log_snr(ends) / 2).exp().tolist()
    for name, value in (("sigma_max", high), ("sigma_min", low)):
        if value is not None and not smallest * (1 - 1e-9) <= value <= largest * (1 + 1e-9):
            raise ConfigError(
                f"{name} = {value:g} lies outside this perturbation, whose sigma / alpha goes from "
                f"{smallest:.4g} to {largest:.4g}."
            )
    high, low = largest if high is None else high, smallest if low is None else low
    if high <= low:
        raise ConfigError(f"sigma_max = {high:g} must be greater than sigma_min = {low:g}.")
    if low == 0:
        raise ConfigError("This grid needs a smallest noise above 0: give sigma_min, or a perturbation with t_min > 0.")
    if high == float("inf"):
        raise ConfigError("This grid needs a largest noise, and alpha = 0 at t = 1: give sigma_max, or use 'uniform'.")
    return high, low


def _from_sigmas(p: Perturbation, sigmas: Tensor) -> Tensor:
    return p.time(-2 * sigmas.log())


def _times_of(p: Perturbation, *sigmas: float) -> tuple[float, float]:
    first, last = _from_sigmas(p, torch.tensor(sigmas, dtype=torch.float64)).tolist()
    return first, last
