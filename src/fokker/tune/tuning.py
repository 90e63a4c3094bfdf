"""Noise levels, updates and step sizes that follow from the spread of data (Song & Ermon, 2020, techniques 1, 2, 4).

sigma_max    the largest distance of two examples                                               technique 1
sigma_min    a hundredth of sigma_data
levels       neighbours gamma apart with C(gamma) = 0.5, or 2 where that asks for more          technique 2
updates      the fewest that leave a level's variance right to 6 %, with the best step          technique 4
"""

from dataclasses import dataclass

from fokker.errors import ConfigError
from fokker.tune.spread import Spread
from fokker.tune.techniques import (
    COVERAGE,
    LARGEST_GAMMA,
    coverage,
    gamma_for,
    gamma_of,
    levels_for,
    step_for,
    variance_ratio,
)
from fokker.tune.widths import best_step, worst_error

__all__ = ["Tuning", "tune"]

MIN_UPDATES, MAX_UPDATES = 3, 1000
"""NCSNv2's own tables have 3 to 5 updates a level."""

VARIANCE_ERROR = 0.06
"""V - 1 that is let pass; published settings have 0.055 (CIFAR-10) and less (Song & Ermon, 2020, table 3)."""

WIDTH_ERROR = 0.085
"""Error of the worst width's standard deviation that is let pass where technique 2 has no say."""


@dataclass(frozen=True)
class Tuning:
    """What follows from the data.

    Args:
        sigma_data: Standard deviation of the data, over all examples and dimensions.
        sigma_max: Largest noise.
        sigma_min: Smallest noise.
        levels: Number of levels L.
        gamma: Ratio of neighbouring levels.
        steps_per_level: Updates T at each level.
        step_size: Relative step: an update adds step_size sigma_t^2 score.
        coverage: C(gamma).
        variance_ratio: V of technique 4.
        width_error: Relative error of the standard deviation of the width that fares worst.
        capped: Whether gamma is the cap, because technique 2 asks for more.
        note: What is to be known about it, sentences in one line.
    """

    sigma_data: float
    sigma_max: float
    sigma_min: float
    levels: int
    gamma: float
    steps_per_level: int
    step_size: float
    coverage: float
    variance_ratio: float
    width_error: float
    capped: bool
    note: str

    @property
    def nfe(self) -> int:
        """Evaluations of the network for one sample of `smld`, the last denoising among them."""
        return self.levels * self.steps_per_level + 1


def tune(
    spread: Spread,
    *,
    sigma_max: float | None = None,
    sigma_min: float | None = None,
    levels: int | None = None,
    steps_per_level: int | None = None,
) -> Tuning:
    """Choose by the data whatever is not given.

    Args:
        spread: What was measured of the data.
        sigma_max: Largest noise.
        sigma_min: Smallest noise.
        levels: Number of levels.
        steps_per_level: Updates at each level.

    Raises:
        ConfigError: If what is given leaves no room between the smallest and the largest noise.
    """
    largest = spread.largest.distance if sigma_max is None else sigma_max
    smallest = spread.sigma_data / 100 if sigma_min is None else sigma_min
    if not largest > smallest:
        raise ConfigError(
            f"sigma_max = {largest:g} must be greater than sigma_min = {smallest:g}; the data's largest distance is "
            f"{spread.largest.distance:g}, a hundredth of its standard deviation {spread.sigma_data / 100:g}."
        )
    wanted = gamma_for(spread.dim)
    capped = wanted is None or wanted > LARGEST_GAMMA
    if levels is None or levels < 2:  # one level has no neighbours; a plan with one is refused when it is built
        levels = levels_for(largest, smallest, LARGEST_GAMMA if wanted is None or capped else wanted)
    gamma = gamma_of(largest, smallest, levels)
    sigmas = tuple(largest * gamma**-k for k in range(levels))
    updates, step = _updates(gamma, sigmas, capped, steps_per_level)
    return Tuning(
        sigma_data=spread.sigma_data,
        sigma_max=largest,
        sigma_min=smallest,
        levels=levels,
        gamma=gamma,
        steps_per_level=updates,
        step_size=step,
        coverage=coverage(gamma, spread.dim),
        variance_ratio=variance_ratio(step, gamma, updates),
        width_error=worst_error(step, sigmas, updates),
        capped=capped,
        note=_note(spread, wanted, capped, sigma_max is None),
    )


def _updates(gamma: float, sigmas: tuple[float, ...], capped: bool, given: int | None) -> tuple[int, float]:
    """The number of updates, unless given, and the relative step that goes with it."""
    updates, step = MIN_UPDATES, 0.0
    for updates in range(MIN_UPDATES, MAX_UPDATES + 1) if given is None else (given,):
        if capped:
            step = best_step(sigmas, updates)
            good = worst_error(step, sigmas, updates) <= WIDTH_ERROR
        else:
            step = step_for(gamma, updates)
            good = variance_ratio(step, gamma, updates) <= 1 + VARIANCE_ERROR
        if good:
            break
    return updates, step


def _note(spread: Spread, wanted: float | None, capped: bool, measured: bool) -> str:
    sentences = []
    if capped:
        asks = "has no solution" if wanted is None else f"asks for gamma = {wanted:.3g}"
        sentences.append(
            f"Technique 2 (C(gamma) = {COVERAGE}) {asks} in {spread.dim} dimension{'s' if spread.dim > 1 else ''}: "
            f"gamma is capped at {LARGEST_GAMMA:g}, and updates and step are those that leave a component of any width "
            "with the least error of its standard deviation."
        )
    if measured and not spread.largest.exact:
        seen = "" if spread.read == spread.examples else f" among {spread.read:,} of the {spread.examples:,} examples"
        sentences.append(
            f"sigma_max is the largest distance found{seen}, with a standard deviation of {spread.largest.error:.3g} "
            f"between draws of examples; not all pairs were compared, so the largest one may be larger."
        )
    if abs(spread.mean) > spread.sigma_data:
        sentences.append(
            f"The mean of the values, {spread.mean:.3g}, is further from 0 than their standard deviation: add the "
            "transform 'standardise'."
        )
    return " ".join(sentences)
