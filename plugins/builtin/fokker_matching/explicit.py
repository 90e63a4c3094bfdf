"""Explicit score matching: the trace of the score's Jacobian, exactly."""

from collections.abc import Mapping
from math import prod
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor

from fokker.component import component
from fokker.errors import ConfigError
from fokker.jacobian import trace, twice_differentiable
from fokker.model import ScoreModel
from fokker.noise import Noise
from fokker.objective import Objective, TimesIn, spread_times
from fokker.perturbation import Perturbation
from fokker.weighting import ScoreError, Weighting
from fokker_matching.implicit import score_at_noisy_data, score_weight

__all__ = ["Explicit"]


@component
class Explicit(Objective):
    """Score matching with the exact trace (Hyvarinen, 2005, eq. 4).

        loss = w(t) (1/2 |s|^2 + tr(ds/dx)),    s the score at x = alpha x0 + sigma z

    The expected loss is that of the error of the score, w(t) / 2 |s - grad log p_t|^2, minus a constant, so that it may
    be negative: its least value on data with the score s* is -w(t) / 2 E|s*|^2. On data as it is (perturbation `none`)
    it is the source's; on others it matches the score of the noisy data at every level.

    The trace costs a backward pass per dimension. Examples must not see each other: a network with batch normalisation
    has other derivatives while it is trained.

    Args:
        weighting: The factor of the squared error of x0; `score` is 1 on that of the score, as in the source, and
            `sigma2` evens out a range of noise levels.
        times_in: How often each noise level is trained, see `denoising`.
        max_dimensions: Data of more dimensions is refused; raise it to wait for as many backward passes.
    """

    weighting: Weighting = ScoreError()
    times_in: TimesIn = "log-snr"
    max_dimensions: Annotated[int, Ge(1)] = 128

    without_noise: ClassVar[bool] = True
    differentiates: ClassVar[bool] = True

    def check(self, event_shape: tuple[int, ...]) -> None:
        """Refuse data of too many dimensions."""
        numel = prod(event_shape)
        if numel > self.max_dimensions:
            raise ConfigError(
                f"The objective 'explicit' takes a backward pass for each of {numel} dimensions, and at most "
                f"{self.max_dimensions} unless asked; use 'sliced' or 'denoising', or set max_dimensions = {numel}."
            )

    def times(self, perturbation: Perturbation, u: Tensor) -> Tensor:
        """Uniform in log-SNR or in t, or a level chosen uniformly."""
        return spread_times(perturbation, u, self.times_in, "explicit")

    def loss(
        self, model: ScoreModel, x0: Tensor, t: Tensor, noise: Noise, cond: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """See `Objective.loss`."""
        self.check(tuple(x0.shape[1:]))
        training = torch.is_grad_enabled()
        with twice_differentiable():
            x, score = score_at_noisy_data(model, x0, t, noise, cond)
            loss = score.flatten(1).square().sum(1) / 2 + trace(score, x, create_graph=training)
            loss = score_weight(self.weighting, model.perturbation, t, loss) * loss
        return loss if training else loss.detach()
