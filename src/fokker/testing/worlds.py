"""Exact worlds: data whose scores, flows and marginals are formulas, seen through several perturbations.

Variances differ from dimension to dimension: on a problem with one number an error can cross zero and fake any order.
"""

from collections.abc import Mapping
from math import prod

import torch
from torch import Tensor

from fokker.exact import Gaussian, Mixture, PointMass
from fokker.linear import EDMNoise, Flow
from fokker.perturbation import VE, VP, Cosine, Perturbation, SubVP
from fokker.table import Betas, Sigmas
from fokker.vanishing import Vanishing

__all__ = [
    "CONTINUOUS",
    "EVENT_SHAPES",
    "PERTURBATIONS",
    "WITHOUT_NOISE",
    "correlated",
    "gaussian",
    "mixture",
    "normal",
    "overlapping",
    "point_mass",
]

CONTINUOUS: Mapping[str, Perturbation] = {
    "vp": VP(),
    "ve": VE(),
    "sub-vp": SubVP(),
    "cosine": Cosine(),
    "edm": EDMNoise(sigma_min=0.01, sigma_max=15.0),
    "flow": Flow(),
}
"""Perturbations without levels; EDM's noise reaches less far than by default, since equal steps of its time are equal
steps of noise: of 80 in 128 of them the last are longer than the data is wide, and no order has settled."""

PERTURBATIONS: Mapping[str, Perturbation] = {
    **CONTINUOUS,
    "sigmas": Sigmas(minimum=0.01, maximum=20.0, levels=24),
    "betas": Betas(steps=200, start=5e-4, end=0.1),
}
"""Perturbations of every kind; the tables are short, and reach as far as the published ones."""

WITHOUT_NOISE: Mapping[str, Perturbation] = {"none": Vanishing()}
"""The data as it is: no way from noise to data, so that what needs noise is not asked about it."""

EVENT_SHAPES: tuple[tuple[int, ...], ...] = ((2,), (16,), (1, 128), (3, 17, 23), (1, 8, 9, 10))
"""Points, features, series, pictures that are not square, volumes."""


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers, float64, the same ones every time."""
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def gaussian(perturbation: Perturbation) -> Gaussian:
    """Three independent numbers with means 1, -1, 0 and variances 0.05, 0.5, 2."""
    variances = torch.tensor([0.05, 0.5, 2.0], dtype=torch.float64)
    return Gaussian(perturbation, torch.tensor([1.0, -1.0, 0.0], dtype=torch.float64), variances)


def correlated(perturbation: Perturbation, event_shape: tuple[int, ...]) -> Gaussian:
    """Normally distributed data of any event shape, with variances from 0.3 to 1.7; up to 16 numbers are correlated."""
    d = prod(event_shape)
    mean, variances = normal(*event_shape, seed=11) / 2, torch.linspace(0.3, 1.7, d, dtype=torch.float64)
    if d > 16:
        return Gaussian(perturbation, mean, variances)
    basis = torch.linalg.qr(normal(d, d, seed=12)).Q
    return Gaussian(perturbation, mean, basis * variances @ basis.T)


def mixture(perturbation: Perturbation, event_shape: tuple[int, ...] = (2,)) -> Mixture:
    """Three Gaussians of different weights and variances about different means."""
    weights = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    variances = torch.tensor([0.05, 0.4, 1.3], dtype=torch.float64)
    return Mixture(perturbation, weights, normal(3, *event_shape, seed=7), variances)


def overlapping(perturbation: Perturbation) -> Mixture:
    """Two Gaussians that overlap: a score that is not linear, and smooth enough for orders to settle in few steps."""
    means = torch.tensor([[0.8, -0.5, 0.0], [-0.6, 0.4, 0.3]], dtype=torch.float64)
    variances = torch.tensor([[0.5, 0.4, 0.6], [1.0, 0.3, 0.8]], dtype=torch.float64)
    return Mixture(perturbation, torch.tensor([0.6, 0.4], dtype=torch.float64), means, variances)


def point_mass(perturbation: Perturbation) -> PointMass:
    """All data at (1, -2)."""
    return PointMass(perturbation, torch.tensor([1.0, -2.0], dtype=torch.float64))
