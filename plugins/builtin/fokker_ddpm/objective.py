"""The loss of DDPM."""

from collections.abc import Mapping

from torch import Tensor

from fokker.component import component
from fokker.model import ScoreModel
from fokker.noise import Noise
from fokker.objective import Objective, spread_times, weighted_square
from fokker.perturbation import Perturbation
from fokker.weighting import Simple, Weighting

__all__ = ["DDPM"]


@component
class DDPM(Objective):
    """The loss of DDPM on the levels of a table (Ho et al., 2020, eq. 14).

        i ~ U{1, ..., T},    loss = |eps - eps_model(alpha_i x0 + sigma_i eps, i)|^2

    Summed over dimensions and, as in the source, without the factor 1/2.

    Args:
        weighting: The factor of the squared error of x0; `simple` is the source's.
    """

    weighting: Weighting = Simple()

    def times(self, perturbation: Perturbation, u: Tensor) -> Tensor:
        """A level chosen uniformly."""
        return spread_times(perturbation, u, "levels", "ddpm")

    def loss(
        self, model: ScoreModel, x0: Tensor, t: Tensor, noise: Noise, cond: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """See `Objective.loss`."""
        eps = noise(x0)
        prediction = model(model.perturbation.perturb(x0, t, eps), t, cond)
        return weighted_square(self.weighting, model.perturbation, prediction, x0, eps, t)
