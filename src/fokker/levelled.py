"""A grid moved onto the levels of a table."""

import torch
from torch import Tensor

from fokker.component import component
from fokker.errors import ConfigError
from fokker.grid import Grid, Karras
from fokker.perturbation import Perturbation

__all__ = ["OnLevels"]


@component
class OnLevels(Grid):
    """The times of another grid, each on the nearest level of a table.

    A network of levels is then asked at levels only, and the sampler goes by the noise that the network was told, where
    rounding the label alone leaves the two apart. Two times that share a level are moved to neighbouring ones, so that
    the number of steps is what was asked for.

    Args:
        grid: Whose times are moved.
    """

    grid: Grid = Karras()

    def ends(self, perturbation: Perturbation, steps: int) -> tuple[float, float]:
        """The levels that are nearest to the other grid's ends, or as near as the number of steps allows."""
        times = self.times(perturbation, steps)
        return float(times[0]), float(times[-1])

    def times(self, perturbation: Perturbation, steps: int) -> Tensor:
        """Strictly decreasing levels."""
        knots = perturbation.knots
        if knots is None:
            raise ConfigError(
                f"The grid 'on-levels' needs a table (sigmas or betas); {type(perturbation).__name__} is continuous. "
                "Use the grid inside it by itself."
            )
        if steps > len(knots) - 1:
            raise ConfigError(f"The grid 'on-levels' has at most {len(knots) - 1} steps on this table, got {steps}.")
        level = perturbation.nearest_level(self.grid.times(perturbation, steps)) - 1
        falling = torch.arange(steps + 1)
        # each is below the one before it; then none so low that no level is left for those after it
        level = (level + falling).cummin(0).values - falling
        return knots[level.maximum(steps - falling)]
