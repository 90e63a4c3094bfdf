"""What diffusers' networks are told of the time: a timestep of the table, counted from 0."""

from typing import Literal

import torch
from fokker import ConfigError, Label, component
from fokker.label import Index
from fokker.perturbation import Perturbation
from torch import Tensor

__all__ = ["Timestep"]


@component
class Timestep(Label):
    """The timestep of diffusers: the level of a table less one, 0 for the smallest noise (Ho et al., 2020).

    Args:
        between: What is told between two levels: `refuse`; `round` to the nearest; `interpolate`, linear in the
            log-SNR, as diffusers does for the sigmas of Karras and their like; `floor`, the same cut down to a whole
            number, as its UniPC does; or `linear` in sigma / alpha, as its Euler and LMS do for the spacing `linspace`.
    """

    between: Literal["refuse", "round", "interpolate", "floor", "linear"] = "refuse"

    def __call__(self, perturbation: Perturbation, t: Tensor) -> Tensor:
        """The timestep, float64."""
        if self.between == "floor":
            # what the rounding of sigmas in single precision has left of a level is that level
            return (Index("interpolate")(perturbation, t).double() - 1 + 1e-3).floor()
        if self.between == "refuse" and perturbation.knots is not None:
            try:
                return perturbation.index(t).double() - 1
            except ConfigError:
                raise ConfigError(
                    "The label 'diffusers/timestep' exists on the levels of the table only, and a time lies between "
                    "two of them; use the grid 'knots', or 'on-levels' around another grid, or say what the network "
                    "is told there, by '--between round' or 'diffusers/timestep:between=round'."
                ) from None
        if self.between != "linear":
            return Index("round" if self.between == "round" else "interpolate")(perturbation, t).double() - 1
        knots = perturbation.knots
        if knots is None:
            return Index()(perturbation, t).double()  # which says why there is none
        ratios, here = (perturbation.sigma(at) / perturbation.alpha(at) for at in (knots.to(t.device), t.double()))
        i = torch.searchsorted(ratios, here.contiguous(), right=True).clamp(1, len(ratios) - 1) - 1
        share = (here - ratios[i]) / (ratios[i + 1] - ratios[i])
        # the ratio is infinite at the last level of a table that ends without data
        share = torch.where(ratios[i + 1].isfinite(), share, (here == ratios[i + 1]).to(share.dtype))
        return i + share.clamp(0, 1)
