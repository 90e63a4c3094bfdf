"""What explicit and sliced score matching share: the error of a score, up to a constant, without the true one.

    1/2 E |s - grad log p_t|^2 = E[ 1/2 |s|^2 + tr(ds/dx) ] + const,    x ~ p_t

by integration by parts (Hyvarinen, 2005, theorem 1), at any noise level as at a vanishing one.
"""

from collections.abc import Mapping

from torch import Tensor

from fokker.jacobian import leaf
from fokker.model import ScoreModel
from fokker.noise import Noise
from fokker.perturbation import Perturbation
from fokker.weighting import Weighting

__all__ = ["score_at_noisy_data", "score_weight"]


def score_at_noisy_data(
    model: ScoreModel, x0: Tensor, t: Tensor, noise: Noise, cond: Mapping[str, Tensor] | None
) -> tuple[Tensor, Tensor]:
    """Noisy data that gradients are asked for, and the model's score there.

    To be called with gradients on, see `fokker.jacobian.twice_differentiable`.

    Args:
        model: The model.
        x0: Clean data, (B, *D); left alone.
        t: Times, (B,).
        noise: Where the noise comes from.
        cond: Conditions passed on to the model.

    Returns:
        The noisy data and the score, each (B, *D).
    """
    x = leaf(model.perturbation.perturb(x0, t, noise(x0)))
    return x, model(x, t, cond).score


def score_weight(weighting: Weighting, perturbation: Perturbation, t: Tensor, like: Tensor) -> Tensor:
    """The factor of the squared error of the score, where a weighting is that of the error of x0.

    |x0 error|^2 = (sigma^4 / alpha^2) |score error|^2, multiplied in float64: the one may be 1e24 where the other is
    1e-24.

    Args:
        weighting: The weighting.
        perturbation: The perturbation.
        t: Times, (B,).
        like: What the factor is to multiply; its dtype and device are taken.

    Returns:
        (B,).
    """
    host = t.detach().to("cpu").double()
    factor = weighting(perturbation, host) * (perturbation.sigma(host) ** 2 / perturbation.alpha(host)) ** 2
    return factor.to(like.device, like.dtype)
