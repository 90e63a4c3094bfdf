"""How far one update moves the law that it should leave in place, on Gaussian data, without Monte Carlo.

An update is x -> A x + b + C z. Of a law N(m, V) in place, (I - A) V + V (I - A)^T of the covariance leaves and C C^T
comes in; the two must agree but for (I - A) V (I - A)^T, which is of second order in the step.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from fokker.perturbation import Perturbation
from fokker.sampler import Sampler
from fokker.testing.check import CheckFailed
from fokker.testing.compare import close
from fokker.testing.moments import affine_map
from fokker.testing.worlds import gaussian

__all__ = ["stays_in_place"]

_WITHIN = 2.0
"""A law may move by this many squares of the step; a Langevin step moves it by one."""


def stays_in_place(sampler: Sampler, p: Perturbation, grid: Callable[[float], Tensor]) -> str:
    """Check that one update leaves mean and covariance in place, up to the square of its step.

    Args:
        sampler: Makes the update.
        p: The perturbation.
        grid: From a time to the grid on which the sampler makes one update at that time, float64.

    Raises:
        CheckFailed: With what moved, and by how many squares of the step.
    """
    model = gaussian(p)
    worst = 0.0
    for t in (0.9, 0.5, 0.2):
        mean, covariance = model.marginal(t)
        found = affine_map(sampler, model, grid(t))
        after_mean, after = found.push(mean, covariance)
        scale = covariance.diagonal().sqrt()
        close(after_mean / scale, mean / scale, f"the mean after an update at t = {t:g}", atol=1e-8)
        moved = ((after - covariance) / scale.outer(scale)).abs().max()
        left = torch.eye(len(mean), dtype=torch.float64) - found.start
        allowed = ((left @ covariance @ left.T) / scale.outer(scale)).abs().max()
        ratio = float(moved / allowed) if float(moved) > 1e-12 else 0.0
        worst = max(worst, ratio)
        if ratio > _WITHIN:
            raise CheckFailed(
                f"claims to leave the law in place; at t = {t:g} an update moves the variance by {float(moved):.2g} of "
                f"itself, {ratio:.3g} times the square of its step"
            )
    return f"moves the variance by {worst:.2g} squares of the step"
