"""WaveGrad's objective: the L1 error of the noise, at noise levels between those of a table."""

from collections.abc import Mapping

import torch
from fokker import ConfigError, Noise, Objective, Perturbation, ScoreModel, component
from torch import Tensor

__all__ = ["ContinuousLevel"]


@component
class ContinuousLevel(Objective):
    """L1 error of eps at a continuous noise level (Chen et al., 2020, algorithm 1 and section 2.3).

        loss = |eps - eps_model(alpha x0 + sigma z, alpha)|_1
        i uniform in 1 to S,    alpha uniform between alpha_i and alpha_{i-1},    alpha_0 = 1,    sigma^2 = 1 - alpha^2

    Summed over dimensions, without the factor 1/2. Levels below that of the table's first one, at which nothing is
    sampled, are trained at the first one.
    """

    def times(self, perturbation: Perturbation, u: Tensor) -> Tensor:
        """Where the perturbation has alpha between two neighbouring levels; each interval equally often.

        Raises:
            ConfigError: If the perturbation has no levels, or does not preserve variance.
        """
        knots = perturbation.knots
        name = type(perturbation).__name__
        if knots is None:
            raise ConfigError(
                f"The objective 'wavegrad' trains between the levels of a table, and {name} has none; use the "
                "perturbation 'betas'."
            )
        alpha, sigma = perturbation.alpha(knots), perturbation.sigma(knots)
        if not torch.allclose(alpha**2 + sigma**2, torch.ones_like(alpha)):
            raise ConfigError(
                f"The objective 'wavegrad' draws alpha with alpha^2 + sigma^2 = 1, which {name} does not have; use the "
                "perturbation 'betas'."
            )
        place = u.double() * len(knots)
        i = place.long().clamp(max=len(knots) - 1)  # the largest float64 below 1, times S, may round to S
        bounds = torch.cat([torch.ones_like(alpha[:1]), alpha])
        share = place - i
        chosen = bounds[i + 1] + (1 - share) * (bounds[i] - bounds[i + 1])
        log_snr = 2 * chosen.log() - torch.log1p(-(chosen**2))
        return perturbation.time(log_snr).clamp(perturbation.t_min, 1.0)

    def loss(
        self, model: ScoreModel, x0: Tensor, t: Tensor, noise: Noise, cond: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """Sum of |eps error|."""
        eps = noise(x0)
        found = model(model.perturbation.perturb(x0, t, eps), t, cond).eps
        return (found - eps).abs().flatten(1).sum(1)
