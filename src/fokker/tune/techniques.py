"""The techniques of NCSNv2 as formulas (Song & Ermon, 2020): how many noise levels, how many updates, how long a step.

    gamma = (sigma_L / sigma_1)^(1 / (L - 1))                                        levels are geometric
    C(gamma) = Phi(sqrt(2 D) (gamma - 1) + 3 gamma) - Phi(sqrt(2 D) (gamma - 1) - 3 gamma)      technique 2
    V(a) = (1 - a)^(2 T) (gamma^2 - q) + q,    q = 2 a / (1 - (1 - a)^2)                        technique 4

Level 1 is the smallest noise and L the largest; the source counts the other way. Its step eps at the smallest sigma is
a = eps / sigma_1^2 here, the relative step of `smld`: an update adds a sigma_t^2 score.
"""

import math

__all__ = [
    "COVERAGE",
    "LARGEST_GAMMA",
    "coverage",
    "gamma_for",
    "gamma_of",
    "levels_for",
    "step_for",
    "variance_ratio",
]

COVERAGE = 0.5
"""C(gamma) that technique 2 asks for; the published tables have 0.567 (Song & Ermon, 2020, section 3.2 and table 3)."""

LARGEST_GAMMA = 2.0
"""Where technique 2 is left: below 5 dimensions no gamma has C(gamma) = 0.5, and up to 18 it is larger than 2."""


def gamma_of(sigma_max: float, sigma_min: float, levels: int) -> float:
    """Ratio of neighbouring levels of a geometric table.

    Args:
        sigma_max: The largest level.
        sigma_min: The smallest level.
        levels: Number of levels L, at least 2.
    """
    return math.exp(math.log(sigma_max / sigma_min) / (levels - 1))


def coverage(gamma: float, dim: int) -> float:
    """C(gamma): how much of a level's mass lies where the next larger level has its own (technique 2, proposition 2).

    Samples of N(0, s^2 I) in D dimensions have norms of about N(sqrt(D) s, s^2 / 2). C(gamma) is the probability of
    one level's norm within three standard deviations of the next one's.

    Args:
        gamma: Ratio of the two levels, greater than 1.
        dim: Number of dimensions D.
    """
    shift = math.sqrt(2 * dim) * (gamma - 1)
    low, high = shift - 3 * gamma, shift + 3 * gamma
    # the difference of the upper tails: far out, both Phi round to 1
    return (math.erfc(low / math.sqrt(2)) - math.erfc(high / math.sqrt(2))) / 2


def gamma_for(dim: int, wanted: float = COVERAGE) -> float | None:
    """The ratio of neighbouring levels with C(gamma) = `wanted`, or None where there is none (technique 2).

    C falls while sqrt(2 D) > 3 and has no solution below; D = 5 gives 19.49 and D = 3072 1.0398 for C = 0.5.

    Args:
        dim: Number of dimensions D.
        wanted: The value of C, in (0, 1).
    """
    low, high = 1.0, 2.0
    while coverage(high, dim) > wanted:
        low, high = high, 2 * high
        if high > 1e6:
            return None
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if coverage(middle, dim) > wanted else (low, middle)
    return (low + high) / 2


def levels_for(sigma_max: float, sigma_min: float, gamma: float) -> int:
    """The fewest levels whose neighbours are at most `gamma` apart.

    Args:
        sigma_max: The largest level.
        sigma_min: The smallest level.
        gamma: Largest ratio of neighbours, greater than 1.
    """
    exact = math.log(sigma_max / sigma_min) / math.log(gamma)
    return max(2, 1 + math.ceil(exact - 1e-9))  # a whole number of ratios, up to rounding, takes no level more


def variance_ratio(step: float, gamma: float, updates: int) -> float:
    """V(a): the variance that a level is left with, over its own (technique 4, proposition 3 and equation 5).

    The data is a point, so that the score is -x / sigma^2 and the state stays Gaussian. It comes from the level above,
    with gamma^2 times this level's variance, and has T updates; 1 would be the level's own law.

    Args:
        step: Relative step a, in (0, 2).
        gamma: Ratio of the level above to this one.
        updates: Updates T at the level.
    """
    q = 2 / (2 - step)
    return float((1 - step) ** (2 * updates) * (gamma**2 - q) + q)


def step_for(gamma: float, updates: int) -> float:
    """The relative step a whose V(a) is closest to 1 (technique 4).

    V is above 1 for every step: short ones leave the variance of the level above, long ones add their own. In between
    there is one minimum. NCSNv2's eps is this a times sigma_1^2.

    Args:
        gamma: Ratio of neighbouring levels, greater than 1.
        updates: Updates T at each level.
    """
    low, high = 0.0, 1.0
    golden = (math.sqrt(5) - 1) / 2
    for _ in range(80):
        left, right = high - golden * (high - low), low + golden * (high - low)
        if variance_ratio(left, gamma, updates) < variance_ratio(right, gamma, updates):
            high = right
        else:
            low = left
    return (low + high) / 2
