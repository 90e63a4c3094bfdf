"""The loss of EDM."""

from collections.abc import Mapping
from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor

from fokker.component import component
from fokker.model import ScoreModel
from fokker.noise import Noise
from fokker.objective import Objective, weighted_square
from fokker.perturbation import Perturbation
from fokker.weighting import EDMWeight, Weighting

__all__ = ["EDMLoss"]


@component
class EDMLoss(Objective):
    """Denoising at log-normal noise levels (Karras et al., 2022, eq. 108 and table 1).

        log(sigma / alpha) ~ N(mean, std^2),    loss = w(t) / 2 |x0_model(alpha x0 + sigma z, t) - x0|^2

    Levels beyond those of the perturbation count as its nearest. The source writes the loss without 1/2.

    Args:
        mean: Of the logarithm of the relative noise, P_mean in the source.
        std: Its standard deviation, P_std in the source.
        weighting: The factor w(t) of the squared error of x0.
    """

    mean: float = -1.2
    std: Annotated[float, Gt(0)] = 1.2
    weighting: Weighting = EDMWeight()

    def times(self, perturbation: Perturbation, u: Tensor) -> Tensor:
        """The quantiles of the log-normal law."""
        log_sigma = self.mean + self.std * torch.special.ndtri(u.double())  # -inf at u = 0: no noise, hence t_min
        return perturbation.time(-2 * log_sigma).clamp(perturbation.t_min, 1.0)

    def loss(
        self, model: ScoreModel, x0: Tensor, t: Tensor, noise: Noise, cond: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """See `Objective.loss`."""
        eps = noise(x0)
        prediction = model(model.perturbation.perturb(x0, t, eps), t, cond)
        return weighted_square(self.weighting, model.perturbation, prediction, x0, eps, t) / 2
