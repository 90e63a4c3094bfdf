"""The grid that was tuned for a model and a number of steps."""

from itertools import pairwise
from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor

from fokker.component import component
from fokker.errors import ConfigError
from fokker.grid import Grid
from fokker.perturbation import Perturbation

__all__ = ["OptimizedGrid"]


@component
class OptimizedGrid(Grid):
    """Noise levels chosen for a model, a sampler and a budget: those that end nearest to the probability flow's ends.

    `fokker tune RUN --grid --nfe 10` searches them and stores them in the run, where they are found by the sampler and
    its number of steps. They are of no use to another sampler, whose steps err elsewhere, and are refused to it.

    Args:
        noise: sigma / alpha after each step, decreasing; those stored in the run unless given. The first step starts
            at t = 1.
    """

    noise: tuple[Annotated[float, Gt(0)], ...] = ()

    def __post_init__(self) -> None:
        """Check the order of the levels."""
        for before, after in pairwise(self.noise):
            if after >= before:
                raise ConfigError(f"OptimizedGrid.noise must decrease; {before:g} is followed by {after:g}.")

    @property
    def own_sampler(self) -> str:
        """What `fokker tune` tunes for unless told otherwise."""
        return "auto"

    def in_run(self, folder: Path, sampler: str, steps: int) -> "OptimizedGrid":
        """With the levels that are stored in a run."""
        from fokker.run.grids import find_grid

        return self if self.noise else OptimizedGrid(find_grid(folder, sampler, steps).noise)

    def times(self, perturbation: Perturbation, steps: int) -> Tensor:
        """1, and the times of the levels."""
        if not self.noise:
            raise ConfigError(
                "The grid 'optimized' is stored in a run and used with it: 'fokker tune RUN --grid --nfe 10' makes it, "
                "'fokker sample RUN --grid optimized --nfe 10' goes by it."
            )
        if steps != len(self.noise):
            raise ConfigError(f"This grid 'optimized' has {len(self.noise)} steps and no others, got {steps}.")
        times = perturbation.time(-2 * torch.tensor(self.noise, dtype=torch.float64).log())
        last, least = float(times[-1]), perturbation.t_min
        low = float((-perturbation.log_snr(torch.tensor(least, dtype=torch.float64)) / 2).exp())
        if not float(times[0]) < 1 or last < least * (1 - 1e-6) or self.noise[-1] < low * (1 - 1e-6):
            raise ConfigError(
                f"This grid 'optimized' goes from sigma / alpha = {self.noise[0]:.4g} to {self.noise[-1]:.4g}, which "
                f"{perturbation!r} does not have between t = 1 and t_min."
            )
        times[-1] = max(last, least)
        return torch.cat([torch.ones(1, dtype=torch.float64), times])

    def ends(self, perturbation: Perturbation, steps: int) -> tuple[float, float]:
        """1, and the time of the last level."""
        times = self.times(perturbation, steps)
        return 1.0, float(times[-1])
