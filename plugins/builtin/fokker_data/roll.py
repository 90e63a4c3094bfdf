"""The noiseless swiss roll in the plane, how far points are from it, and the law of the roll with noise.

    c(u) = u (cos u, sin u) / 10,    u in [1.5 pi, 4.5 pi]

A sliced Wasserstein distance hardly notices a roll with half the noise, or one and a half times as much; the root mean
square distance to this curve does.
"""

import math

import numpy as np
import torch
from torch import Tensor

from fokker.errors import ConfigError
from fokker.exact import Mixture
from fokker.perturbation import Perturbation

__all__ = ["roll_curve", "roll_distance", "roll_law", "roll_rms"]

PIECES = 3  # half turns: two arms of the roll never share one
KNOTS = 128  # per piece; at most 0.035 apart, against a radius of curvature of at least 0.4
POINTS = 4096  # points at a time: a (POINTS, PIECES KNOTS) table in float64 is 13 MB
LEAST_NOISE = 0.1
GOLDEN = (math.sqrt(5) - 1) / 2


def roll_curve(u: Tensor) -> Tensor:
    """Points of the curve.

    Args:
        u: Angles in radians, any shape; the roll is [1.5 pi, 4.5 pi].

    Returns:
        Points, (*u.shape, 2).
    """
    return torch.stack([u * u.cos(), u * u.sin()], dim=-1) / 10


def roll_law(perturbation: Perturbation, *, noise: float = 1.0) -> Mixture:
    """The exact law of the data `swiss-roll`, its densities and its scores, at every noise level.

        p_t(x) = (1 / 3 pi) int N(x; alpha c(u), ((alpha noise / 10)^2 + sigma^2) I) du

    by Gauss-Legendre quadrature over the angle, which is right to rounding: nodes lie closer than the noise is wide.

    Args:
        perturbation: The perturbation that it is seen through; without transforms of the data.
        noise: The field `noise` of the data.

    Raises:
        ConfigError: If the noise is below 0.1, of which thousands of nodes would be needed.
    """
    if noise < LEAST_NOISE:
        raise ConfigError(
            f"The law of the swiss roll is computed for a noise of at least {LEAST_NOISE}, got {noise:g}."
        )
    # half as far apart, where the curve is fastest, as the noise is wide: right to 1e-11
    nodes = math.ceil(268 / noise)
    points, weights = (torch.from_numpy(v) for v in np.polynomial.legendre.leggauss(nodes))
    u = math.pi * (3 + 1.5 * points)
    return Mixture(perturbation, weights / 2, roll_curve(u), torch.full((nodes,), (noise / 10) ** 2))


def roll_distance(x: Tensor) -> Tensor:
    """Euclidean distance of points to the noiseless roll, to rounding in float64.

    The nearest knot of a dense grid is found in every half turn, and a golden-section search between its neighbours
    finds the minimum; comparing after the search decides between two arms that are nearly as far.

    Args:
        x: Points in the units of `swiss-roll`, (N, 2).

    Returns:
        Distances in the same units, float64, (N,).
    """
    u = torch.linspace(1.5 * math.pi, 4.5 * math.pi, PIECES * KNOTS + 1, dtype=torch.float64, device=x.device)
    return (
        torch.cat([_distance(block, u) for block in torch.split(x.double(), POINTS)])
        if len(x)
        else x.new_zeros(0).double()
    )


def roll_rms(x: Tensor) -> float:
    """Root of the mean squared distance of points (N, 2) to the noiseless roll; about noise/10 for the data itself."""
    return roll_distance(x).square().mean().sqrt().item()


def _distance(x: Tensor, u: Tensor) -> Tensor:
    squared = torch.cdist(x, roll_curve(u), compute_mode="donot_use_mm_for_euclid_dist")
    firsts = [piece * KNOTS for piece in range(PIECES)]
    nearest = torch.stack([first + squared[:, first : first + KNOTS + 1].argmin(1) for first in firsts])
    low, high = u[(nearest - 1).clamp(min=0)], u[(nearest + 1).clamp(max=len(u) - 1)]
    return _refine(x, low, high).amin(0)


def _refine(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Least distance of points (N, 2) to the curve between angles (PIECES, N), by golden-section search."""

    def distance(u: Tensor) -> Tensor:
        return (x - roll_curve(u)).square().sum(-1).sqrt()

    best = torch.minimum(distance(low), distance(high))
    for _ in range(40):  # the bracket shrinks to 2e-10, and the distance is flat at its minimum
        width = GOLDEN * (high - low)
        left, right = high - width, low + width
        at_left, at_right = distance(left), distance(right)
        best = torch.minimum(best, torch.minimum(at_left, at_right))
        low, high = torch.where(at_left < at_right, low, left), torch.where(at_left < at_right, right, high)
    return best
