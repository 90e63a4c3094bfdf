"""The exact law of a source behind its transforms.

x ~ sum_k w_k N(m_k, diag v_k),    y = a + b x    =>    y ~ sum_k w_k N(a + b m_k, diag b^2 v_k)
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from fokker.data import Transform
from fokker.exact import Mixture
from fokker.noise import Zero
from fokker.perturbation import Perturbation
from fokker_data.transforms import Range, Standardise

__all__ = ["mixture_behind"]


def mixture_behind(
    transforms: Sequence[Transform], perturbation: Perturbation, weights: Tensor, means: Tensor, variances: Tensor
) -> Mixture | None:
    """A mixture of Gaussians in the units of a model.

    Args:
        transforms: Of the source, fitted, in their order.
        perturbation: The perturbation that the law is seen through.
        weights: Of the components, (K,).
        means: In the data's own units, (K, *D).
        variances: Of their values, in the data's own units, (K,), shared by all dimensions.

    Returns:
        The law, or None where a transform is not linear in each value.

    Raises:
        ConfigError: If a transform is not fitted.
    """
    spread = variances.double().reshape(-1, *[1] * (means.ndim - 1)).expand_as(means).sqrt()
    means = means.double()
    for transform in transforms:
        if not isinstance(transform, Range | Standardise):
            return None
        origin = transform.forward(torch.zeros_like(means), Zero())
        scale = transform.forward(torch.ones_like(means), Zero()) - origin
        means, spread = origin + scale * means, scale * spread
    return Mixture(perturbation, weights, means, spread.square().flatten(1))
