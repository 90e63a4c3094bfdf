"""Denoising score matching at one noise level."""

from collections.abc import Mapping
from math import log
from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor

from fokker.component import component
from fokker.errors import ConfigError
from fokker.model import ScoreModel
from fokker.noise import Noise
from fokker.objective import Objective, weighted_square
from fokker.perturbation import Perturbation
from fokker.weighting import ScoreError

__all__ = ["DSM"]


@component
class DSM(Objective):
    """Denoising score matching at one noise level (Vincent, 2011, eq. 9).

        loss = 1/2 |s + z / sigma|^2,    s the score at x = alpha x0 + sigma z

    It is least at the score of the noisy data, where most of it is left, numel / (2 sigma^2) less E|s|^2 / 2: what a
    model has learned shows in the difference. `denoising` trains a range of levels, with a weighting that evens them
    out.

    Args:
        sigma: The noise level, relative to the scale of the data: sigma / alpha.
    """

    sigma: Annotated[float, Gt(0)] = 0.1

    def times(self, perturbation: Perturbation, u: Tensor) -> Tensor:
        """The one time that has this noise level."""
        log_snr = torch.tensor(-2 * log(self.sigma), dtype=torch.float64)
        t = perturbation.time(log_snr)
        if float(t) < perturbation.t_min or abs(float(perturbation.log_snr(t) - log_snr)) > 1e-6:
            ends = torch.tensor([perturbation.t_min, 1.0], dtype=torch.float64)
            low, high = (-perturbation.log_snr(ends) / 2).exp().tolist()
            raise ConfigError(
                f"The objective 'dsm' has sigma = {self.sigma:g}, but {type(perturbation).__name__} goes from "
                f"{low:.4g} to {high:.4g} times the scale of the data; choose a sigma between them."
            )
        return t.expand(u.shape).clone()

    def loss(
        self, model: ScoreModel, x0: Tensor, t: Tensor, noise: Noise, cond: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """See `Objective.loss`."""
        eps = noise(x0)
        prediction = model(model.perturbation.perturb(x0, t, eps), t, cond)
        return weighted_square(ScoreError(), model.perturbation, prediction, x0, eps, t) / 2
