"""Sliced score matching: the score's Jacobian along random directions, one backward pass for each."""

from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar, Literal, TypeAlias

import torch
from annotated_types import Ge
from torch import Tensor

from fokker.component import component
from fokker.jacobian import quadratic_form, twice_differentiable
from fokker.model import ScoreModel
from fokker.noise import Noise
from fokker.objective import Objective, TimesIn, spread_times
from fokker.perturbation import Perturbation, expand
from fokker.weighting import ScoreError, Weighting
from fokker_matching.implicit import score_at_noisy_data, score_weight

__all__ = ["Directions", "Sliced", "SlicedVR", "direction"]

Directions: TypeAlias = Literal["rademacher", "gaussian", "sphere"]
"""Laws of a direction v, each with E[v v^T] = I."""


def direction(law: Directions, x: Tensor, noise: Noise) -> Tensor:
    """Draw a direction for each example.

    Args:
        law: Entries that are -1 or 1, standard normal entries, or the sphere of radius sqrt(numel).
        x: What it is a direction of, (B, *D).
        noise: Where it is drawn from.

    Returns:
        v with E[v v^T] = I, (B, *D).
    """
    if law == "rademacher":
        return noise.rademacher(x)
    v = noise(x)
    if law == "gaussian":
        return v
    length = v.flatten(1).norm(dim=1).clamp(min=torch.finfo(v.dtype).tiny)  # one normal number may be 0 exactly
    return v * expand(v[0].numel() ** 0.5 / length, v)


@component
class Sliced(Objective):
    """Sliced score matching (Song et al., 2019, eq. 8): score matching along random directions v.

        loss = w(t) mean_v (1/2 (v^T s)^2 + v^T (ds/dx) v),    s the score at x = alpha x0 + sigma z

    Since E[v v^T] = I its expectation is that of `explicit`, summed over dimensions. Directions of unit length, which
    the published code has in some of its versions, give 1 / numel of it, an average over dimensions: the minimum is
    the same, and the numbers cannot be compared from one dimension to another. `sphere` has length sqrt(numel).

    Args:
        projections: Directions per example, a backward pass each.
        directions: Their law. `rademacher` has the least variance in the trace (Hutchinson, 1990).
        weighting: The factor of the squared error of x0; `score` is 1 on that of the score, as in the source, and
            `sigma2` evens out a range of noise levels.
        times_in: How often each noise level is trained, see `denoising`.
    """

    projections: Annotated[int, Ge(1)] = 1
    directions: Directions = "rademacher"
    weighting: Weighting = ScoreError()
    times_in: TimesIn = "log-snr"

    without_noise: ClassVar[bool] = True
    differentiates: ClassVar[bool] = True

    def times(self, perturbation: Perturbation, u: Tensor) -> Tensor:
        """Uniform in log-SNR or in t, or a level chosen uniformly."""
        return spread_times(perturbation, u, self.times_in, "sliced")

    def loss(
        self, model: ScoreModel, x0: Tensor, t: Tensor, noise: Noise, cond: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """See `Objective.loss`."""
        return _loss(_along, self, model, x0, t, noise, cond)


@component
class SlicedVR(Objective):
    """Sliced score matching with reduced variance (Song et al., 2019, eq. 9).

        loss = w(t) (1/2 |s|^2 + mean_v v^T (ds/dx) v),    s the score at x = alpha x0 + sigma z

    The first term of `sliced` is replaced by its expectation, |s|^2 / 2, which is right for E[v v^T] = I alone: with
    directions of unit length the two terms would disagree by a factor of numel, and the minimum would be another
    score.

    Args:
        projections: Directions per example, a backward pass each.
        directions: Their law. `rademacher` has the least variance (Hutchinson, 1990).
        weighting: The factor of the squared error of x0; `score` is 1 on that of the score, as in the source, and
            `sigma2` evens out a range of noise levels.
        times_in: How often each noise level is trained, see `denoising`.
    """

    projections: Annotated[int, Ge(1)] = 1
    directions: Directions = "rademacher"
    weighting: Weighting = ScoreError()
    times_in: TimesIn = "log-snr"

    without_noise: ClassVar[bool] = True
    differentiates: ClassVar[bool] = True

    def times(self, perturbation: Perturbation, u: Tensor) -> Tensor:
        """Uniform in log-SNR or in t, or a level chosen uniformly."""
        return spread_times(perturbation, u, self.times_in, "sliced-vr")

    def loss(
        self, model: ScoreModel, x0: Tensor, t: Tensor, noise: Noise, cond: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """See `Objective.loss`."""
        return _loss(_whole, self, model, x0, t, noise, cond)


def _along(score: Tensor, v: Tensor) -> Tensor:
    """(v^T s)^2, (B,)."""
    return (v * score).flatten(1).sum(1).square()


def _whole(score: Tensor, v: Tensor) -> Tensor:
    """|s|^2, the expectation of the former, (B,)."""
    return score.flatten(1).square().sum(1)


def _loss(
    square: Callable[[Tensor, Tensor], Tensor],
    objective: Sliced | SlicedVR,
    model: ScoreModel,
    x0: Tensor,
    t: Tensor,
    noise: Noise,
    cond: Mapping[str, Tensor] | None,
) -> Tensor:
    """w(t) mean_v (1/2 square(s, v) + v^T (ds/dx) v), (B,)."""
    training = torch.is_grad_enabled()
    with twice_differentiable():
        x, score = score_at_noisy_data(model, x0, t, noise, cond)
        loss = score.new_zeros(len(x0))
        for _ in range(objective.projections):
            v = direction(objective.directions, x0, noise)
            loss = loss + square(score, v) / 2 + quadratic_form(score, x, v, create_graph=training)
        weight = score_weight(objective.weighting, model.perturbation, t, loss)
        loss = weight * loss / objective.projections
    return loss if training else loss.detach()
