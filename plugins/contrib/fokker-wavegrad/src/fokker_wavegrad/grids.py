"""Noise schedules: the few levels that a WaveGrad is sampled at."""

from itertools import accumulate
from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Gt, Lt
from fokker import ConfigError, Grid, Perturbation, component
from torch import Tensor

__all__ = ["LinearBetas", "NoiseSchedule", "level_times"]

Beta = Annotated[float, Gt(0), Lt(1)]


def level_times(perturbation: Perturbation, betas: "tuple[float, ...]") -> Tensor:
    """The times at which a perturbation has the levels of a table of betas, the last level first.

        alpha_n^2 = (1 - beta_1) ... (1 - beta_n)

    Args:
        perturbation: The perturbation that a model was trained with.
        betas: beta_1 to beta_N.

    Returns:
        t_N > ... > t_1, float64, (N,).

    Raises:
        ConfigError: If it does not have one of these levels between t = 1 and t_min.
    """
    products = list(accumulate((1 - beta for beta in betas), lambda a, b: a * b))
    squares = torch.tensor(products[::-1], dtype=torch.float64)
    log_snr = squares.log() - torch.log1p(-squares)
    ends = perturbation.log_snr(torch.tensor([1.0, perturbation.t_min], dtype=torch.float64))
    low, high = float(ends[0]), float(ends[1])
    slack = 1e-9 * (1 + abs(high))
    if float(log_snr[0]) < low - slack or float(log_snr[-1]) > high + slack:
        least, most = ((1 / (1 + torch.exp(-ends))).sqrt()).tolist()
        raise ConfigError(
            f"This noise schedule goes from alpha = {squares[-1] ** 0.5:.6g} to {squares[0] ** 0.5:.4g}; "
            f"{type(perturbation).__name__} has {most:.6g} to {least:.4g}. Change the first or the last betas."
        )
    times = perturbation.time(log_snr.clamp(low, high)).clamp(perturbation.t_min, 1.0)
    return times


@component
class NoiseSchedule(Grid):
    """The levels of a table of betas of its own, smaller than the one of the training (Chen et al., 2020, section 2.3).

        alpha_n^2 = (1 - beta_1) ... (1 - beta_n)

    N betas are N - 1 steps and the end, N evaluations of the network in all. `fokker noise-schedule RUN` searches them
    and stores them in the run, where they are found by their number. Sampling starts at the last level, below t = 1.

    Args:
        betas: beta_1 to beta_N; those stored in the run unless given.
    """

    betas: tuple[Beta, ...] = ()

    def __post_init__(self) -> None:
        if len(self.betas) == 1:
            raise ConfigError("NoiseSchedule.betas must be two at least: one step, and the end.")

    @property
    def own_sampler(self) -> str:
        """DDPM's step, which the schedule is searched for."""
        return "ddpm"

    def in_run(self, folder: Path, sampler: str, steps: int) -> "NoiseSchedule":
        """With the betas that are stored in a run."""
        from fokker_wavegrad.stored import find_schedule

        return self if self.betas else NoiseSchedule(find_schedule(folder, sampler, steps).betas)

    def times(self, perturbation: Perturbation, steps: int) -> Tensor:
        """Those of the levels."""
        if not self.betas:
            raise ConfigError(
                "The grid 'noise-schedule' is stored in a run and used with it: 'fokker noise-schedule RUN' makes it, "
                "'fokker sample RUN --grid noise-schedule --nfe 6' goes by it; or give its betas."
            )
        if steps != len(self.betas) - 1:
            raise ConfigError(
                f"This noise schedule has {len(self.betas)} levels, the last of which is the end's: "
                f"{len(self.betas) - 1} steps, got {steps}."
            )
        return level_times(perturbation, self.betas)

    def ends(self, perturbation: Perturbation, steps: int) -> tuple[float, float]:
        """The times of the last and the first level."""
        times = self.times(perturbation, steps)
        return float(times[0]), float(times[-1])


@component
class LinearBetas(Grid):
    """Levels whose betas rise linearly, from a first one to where the perturbation ends: what a search is held against.

        beta_n = beta_1 + (n - 1) / (N - 1) (beta_N - beta_1),    (1 - beta_1) ... (1 - beta_N) = alpha(1)^2

    N - 1 steps and the end, N evaluations of the network, as for `noise-schedule`.

    Args:
        start: beta_1; that of the perturbation's own smallest level unless given.
    """

    start: Beta | None = None

    def betas(self, perturbation: Perturbation, levels: int) -> tuple[float, ...]:
        """beta_1 to beta_N.

        Args:
            perturbation: The perturbation.
            levels: Their number N.

        Raises:
            ConfigError: If no such betas rise.
        """
        ends = perturbation.alpha(torch.tensor([1.0, perturbation.t_min], dtype=torch.float64)) ** 2
        sigma = perturbation.sigma(torch.tensor([1.0], dtype=torch.float64)) ** 2
        if abs(float(ends[0] + sigma[0]) - 1) > 1e-6 or float(ends[0]) == 0:
            name = type(perturbation).__name__
            raise ConfigError(
                f"Betas need alpha^2 + sigma^2 = 1 and something left of the data at t = 1; {name} differs."
            )
        # the least noise that the perturbation has is not to be undercut by rounding
        start = float(1 - ends[1]) * (1 + 1e-9) if self.start is None else self.start
        target = float(ends[0].log())
        share = torch.arange(levels, dtype=torch.float64) / (levels - 1)

        def total(end: float) -> float:
            return float(torch.log1p(-(start + share * (end - start))).sum())

        low, high = start, 1 - 1e-12
        if total(low) < target:
            raise ConfigError(f"{levels} betas from {start:g} on end below alpha(1); take a smaller start.")
        for _ in range(200):
            middle = (low + high) / 2
            low, high = (middle, high) if total(middle) > target else (low, middle)
        return tuple((start + share * (low - start)).tolist())

    def times(self, perturbation: Perturbation, steps: int) -> Tensor:
        """Those of the levels."""
        return level_times(perturbation, self.betas(perturbation, steps + 1))

    def ends(self, perturbation: Perturbation, steps: int) -> tuple[float, float]:
        """The times of the last and the first level."""
        times = self.times(perturbation, steps)
        return float(times[0]), float(times[-1])
