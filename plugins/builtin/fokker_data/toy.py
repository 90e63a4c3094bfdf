"""Toy distributions in the plane, in their own units: n points that are a function of the seed and the split.

The numbers come from numpy's frozen `RandomState`, so the points are the same with every version of numpy. The test
split is an independent draw of the same size.
"""

import math
from typing import Annotated, TypeAlias

import numpy as np
import torch
from annotated_types import Ge, Gt, Interval
from numpy.typing import NDArray

from fokker.component import component
from fokker.data import DataSource, Examples, Split, Transform
from fokker.exact import Mixture
from fokker.perturbation import Perturbation
from fokker_data.law import mixture_behind
from fokker_data.roll import LEAST_NOISE, roll_law
from fokker_data.stored import StoredExamples

__all__ = ["Checkerboard", "Moons", "Ring", "SwissRoll", "TwoGaussians"]

Seed: TypeAlias = Annotated[int, Interval(ge=0, le=2**32 - 1)]
Count: TypeAlias = Annotated[int, Gt(0)]


@component
class SwissRoll(DataSource):
    """The swiss roll seen from its end: a spiral with Gaussian noise (Marsland, 2014, ch. 6).

        x = (u (cos u, sin u) + noise z) / 10,    u uniform in [1.5 pi, 4.5 pi]

    The points are coordinates 0 and 2 of scikit-learn's `make_swiss_roll`, divided by 10.

    Args:
        n: Number of points of each split.
        noise: Standard deviation of the noise before the division: noise/10 in the units of the data.
        seed: Seed of the draw; the train split is that of `make_swiss_roll(random_state=seed)`.
        transforms: Applied in this order on the way to the model.
    """

    n: Count = 10000
    noise: Annotated[float, Ge(0)] = 1.0
    seed: Seed = 0
    transforms: tuple[Transform, ...] = ()

    def open(self, split: Split = "train") -> Examples:
        """Draw a split."""
        from sklearn.datasets import make_swiss_roll

        points, _ = make_swiss_roll(self.n, noise=self.noise, random_state=_random(self.seed, split))
        return _examples(points[:, [0, 2]] / 10)

    def law(self, perturbation: Perturbation) -> Mixture | None:
        """By quadrature over the angle, see `fokker_data.roll.roll_law`; None for a noise below 0.1."""
        if self.noise < LEAST_NOISE:
            return None
        own = roll_law(perturbation, noise=self.noise)
        variances = torch.full_like(own.weights, (self.noise / 10) ** 2)
        return mixture_behind(self.transforms, perturbation, own.weights, own.means, variances)


@component
class TwoGaussians(DataSource):
    """Two Gaussians, narrow and far apart; labels say which (after Song and Ermon, 2019, sec. 3.2.2).

        x ~ w_0 N(-c, v I) + w_1 N(c, v I),    c = (centre, centre)

    Song and Ermon's own is `centre=5`, `variance=1`, `weights=[0.2, 0.8]`.

    Args:
        n: Number of points of each split.
        centre: The modes are at (-centre, -centre) and (centre, centre).
        variance: Variance of each coordinate within a mode.
        weights: Weights of the two modes, up to a common factor.
        seed: Seed of the draw.
        transforms: Applied in this order on the way to the model.
    """

    n: Count = 10000
    centre: float = 2.0
    variance: Annotated[float, Gt(0)] = 0.01
    weights: tuple[Annotated[float, Gt(0)], Annotated[float, Gt(0)]] = (0.5, 0.5)
    seed: Seed = 0
    transforms: tuple[Transform, ...] = ()

    def open(self, split: Split = "train") -> Examples:
        """Draw a split."""
        random = _random(self.seed, split)
        mode = (random.random_sample(self.n) * sum(self.weights) >= self.weights[0]).astype(np.int64)
        centres = np.array([[-self.centre] * 2, [self.centre] * 2])
        points = centres[mode] + math.sqrt(self.variance) * random.standard_normal((self.n, 2))
        return _examples(points, mode, classes=2)

    def law(self, perturbation: Perturbation) -> Mixture | None:
        """The two Gaussians."""
        means = torch.tensor([[-self.centre] * 2, [self.centre] * 2], dtype=torch.float64)
        weights, variances = torch.tensor(self.weights), torch.full((2,), self.variance, dtype=torch.float64)
        return mixture_behind(self.transforms, perturbation, weights, means, variances)


@component
class Ring(DataSource):
    """Equal Gaussians, evenly spaced on a circle; labels count them from the positive x-axis, anticlockwise.

        x = radius (cos a, sin a) + std z,    a = 2 pi k / modes

    Args:
        n: Number of points of each split.
        modes: Number of Gaussians.
        radius: Radius of the circle.
        std: Standard deviation of each coordinate within a mode.
        seed: Seed of the draw.
        transforms: Applied in this order on the way to the model.
    """

    n: Count = 10000
    modes: Annotated[int, Gt(0)] = 8
    radius: Annotated[float, Gt(0)] = 2.0
    std: Annotated[float, Ge(0)] = 0.1
    seed: Seed = 0
    transforms: tuple[Transform, ...] = ()

    def open(self, split: Split = "train") -> Examples:
        """Draw a split."""
        random = _random(self.seed, split)
        mode = (random.random_sample(self.n) * self.modes).astype(np.int64)
        angle = 2 * math.pi * mode / self.modes
        centres = self.radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        return _examples(centres + self.std * random.standard_normal((self.n, 2)), mode, classes=self.modes)

    def law(self, perturbation: Perturbation) -> Mixture | None:
        """The Gaussians on the circle; without noise there is no density at sigma = 0."""
        angle = 2 * math.pi * torch.arange(self.modes, dtype=torch.float64) / self.modes
        means = self.radius * torch.stack([angle.cos(), angle.sin()], dim=1)
        weights, variances = torch.ones(self.modes), torch.full_like(angle, self.std**2)
        return mixture_behind(self.transforms, perturbation, weights, means, variances)


@component
class Moons(DataSource):
    """Two interleaved half circles of radius 1 with Gaussian noise; labels say which.

        x = (cos a, sin a) + noise z  or  (1 - cos a, 1/2 - sin a) + noise z,    a in [0, pi]

    The points are those of scikit-learn's `make_moons`.

    Args:
        n: Number of points of each split.
        noise: Standard deviation of each coordinate.
        seed: Seed of the draw; the train split is that of `make_moons(random_state=seed)`.
        transforms: Applied in this order on the way to the model.
    """

    n: Count = 10000
    noise: Annotated[float, Ge(0)] = 0.05
    seed: Seed = 0
    transforms: tuple[Transform, ...] = ()

    def open(self, split: Split = "train") -> Examples:
        """Draw a split."""
        from sklearn.datasets import make_moons

        points, moon = make_moons(self.n, noise=self.noise, random_state=_random(self.seed, split))
        return _examples(points, moon.astype(np.int64), classes=2)


@component
class Checkerboard(DataSource):
    """Uniform on every other square of a board over [-2, 2] x [-2, 2].

    A square in column i and row j, counted from the lower left, is filled if i + j is even.

    Args:
        n: Number of points of each split.
        cells: Number of squares along a side.
        seed: Seed of the draw.
        transforms: Applied in this order on the way to the model.
    """

    n: Count = 10000
    cells: Annotated[int, Ge(2)] = 4
    seed: Seed = 0
    transforms: tuple[Transform, ...] = ()

    def open(self, split: Split = "train") -> Examples:
        """Draw a split."""
        random = _random(self.seed, split)
        filled = np.argwhere(np.indices((self.cells, self.cells)).sum(0) % 2 == 0)
        corner = filled[(random.random_sample(self.n) * len(filled)).astype(np.int64)]
        return _examples((corner + random.random_sample((self.n, 2))) * (4 / self.cells) - 2)


def _random(seed: int, split: Split) -> np.random.RandomState:
    if split == "train":
        return np.random.RandomState(seed)
    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence([seed, 1])))


def _examples(
    points: NDArray[np.float64], labels: NDArray[np.int64] | None = None, classes: int | None = None
) -> StoredExamples:
    return StoredExamples(points.astype(np.float32), labels=labels, classes=classes)
