"""Grids of noise levels as EDM and k-diffusion publish them."""

from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from fokker.component import component
from fokker.errors import ConfigError
from fokker.grid import Exponential, Grid, Karras
from fokker.perturbation import Perturbation

__all__ = ["EDMGrid", "Polyexponential"]

_PUBLISHED = (0.002, 80.0)
"""Of data with a standard deviation of 0.5 (Karras et al., 2022, table 1)."""


@component
class EDMGrid(Grid):
    """The levels of EDM, 0.002 to 80 where the data's standard deviation is 0.5 (Karras et al., 2022, table 1).

    It is `karras` with the published ends in units of the data. An end that lies outside the perturbation is moved to
    the perturbation's own: no model knows levels that it was not trained on.

    Args:
        sigma_data: Standard deviation of the model's data, by which both levels are scaled.
        rho: As for `karras`.
    """

    sigma_data: Annotated[float, Gt(0)] = 0.5
    rho: Annotated[float, Ge(1), Le(1000)] = 7.0

    def _karras(self, p: Perturbation) -> Karras:
        smallest, largest = (-p.log_snr(torch.tensor([p.t_min, 1.0], dtype=torch.float64)) / 2).exp().tolist()
        low, high = (sigma * self.sigma_data / 0.5 for sigma in _PUBLISHED)
        low, high = max(low, smallest), min(high, largest)
        if high <= low * (1 + 1e-6):  # what is left by rounding is no range
            raise ConfigError(
                f"The grid 'edm' at sigma_data = {self.sigma_data:g} lies outside this perturbation, whose "
                f"sigma / alpha goes from {smallest:.4g} to {largest:.4g}; give the data's own sigma_data."
            )
        return Karras(rho=self.rho, sigma_max=high, sigma_min=low)

    def ends(self, perturbation: Perturbation, steps: int) -> tuple[float, float]:
        """The times of both levels."""
        return self._karras(perturbation).ends(perturbation, steps)

    def times(self, perturbation: Perturbation, steps: int) -> Tensor:
        """Those of `karras`."""
        return self._karras(perturbation).times(perturbation, steps)


@component
class Polyexponential(Grid):
    """A power of the way in log(sigma / alpha), as in k-diffusion; `exponential` at rho = 1.

        log(sigma_k / alpha_k) = log low + (log high - log low) (1 - k / N)^rho

    Args:
        rho: Above 1 spends more steps at small noise.
        sigma_max: First sigma / alpha; that of t = 1 unless given.
        sigma_min: Last sigma / alpha; that of t_min unless given.
    """

    rho: Annotated[float, Ge(0.1), Le(10)] = 1.5
    sigma_max: Annotated[float, Gt(0)] | None = None
    sigma_min: Annotated[float, Gt(0)] | None = None

    def ends(self, perturbation: Perturbation, steps: int) -> tuple[float, float]:
        """Those of `exponential`."""
        return Exponential(self.sigma_max, self.sigma_min).ends(perturbation, steps)

    def times(self, perturbation: Perturbation, steps: int) -> Tensor:
        """Inverts the log-SNR."""
        first, last = self.ends(perturbation, steps)
        high, low = (-perturbation.log_snr(torch.tensor([first, last], dtype=torch.float64)) / 2).tolist()
        way = 1 - torch.arange(steps + 1, dtype=torch.float64) / steps
        grid = perturbation.time(-2 * (low + (high - low) * way**self.rho))
        grid[0], grid[-1] = first, last
        return grid
