"""The loss of noise-conditional score networks."""

from collections.abc import Mapping
from typing import Annotated

from annotated_types import Ge
from torch import Tensor

from fokker.component import component
from fokker.model import ScoreModel
from fokker.noise import Noise
from fokker.objective import Objective, spread_times
from fokker.perturbation import Perturbation

__all__ = ["NCSN"]


@component
class NCSN(Objective):
    """The loss of noise-conditional score networks on the levels of a table (Song & Ermon, 2019, eq. 5 and 6).

        i ~ U{1, ..., L},    loss = sigma_i^p / 2 |s + z / sigma_i|^2,    s the score at x = alpha_i x0 + sigma_i z

    With the factor 1/2 and summed over dimensions, as published; its mean over the examples is eq. 6, a mean over the
    levels. p = 2 is the source's lambda(sigma) = sigma^2, with which every level of an untrained score 0 contributes
    numel / 2. Descriptions that leave out the 1/2, or average over dimensions, report 2 or 2 / numel times the number.

    Args:
        anneal_power: The power p of sigma, as the published code calls it.
    """

    anneal_power: Annotated[float, Ge(0)] = 2.0

    def times(self, perturbation: Perturbation, u: Tensor) -> Tensor:
        """A level chosen uniformly."""
        return spread_times(perturbation, u, "levels", "ncsn")

    def loss(
        self, model: ScoreModel, x0: Tensor, t: Tensor, noise: Noise, cond: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """See `Objective.loss`."""
        p, eps = model.perturbation, noise(x0)
        residual, gain = model(p.perturb(x0, t, eps), t, cond).residual(x0, eps)
        alpha, sigma = p.scales(t, x0)
        # the residual times the gain is the error of x0, and alpha / sigma^2 times that the error of the score
        error = gain * alpha * sigma ** (self.anneal_power / 2 - 2) * residual
        return error.flatten(1).square().sum(1) / 2
