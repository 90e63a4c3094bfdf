"""Steps where neighbouring levels are far apart: technique 4 for data that is no point.

    v <- (1 - b)^(2 T) (v - w) + w,    b = a sigma^2 / tau,    w = 2 tau / (2 - b),    tau = s^2 + sigma^2

is what T updates at level sigma make of the variance of a Gaussian component of width s, whose score is -x / tau. With
s = 0 it is technique 4. A component that is wider than sigma moves by little at each level and keeps some of what the
levels above had left it; with many levels that is nothing, with a ratio of 2 it decides. So the step is taken that
errs least for the width that fares worst.
"""

import math

__all__ = ["best_step", "width_error", "worst_error"]


def width_error(width: float, step: float, sigmas: tuple[float, ...], updates: int) -> float:
    """Relative error of a component's standard deviation at the end of annealed Langevin dynamics.

    Args:
        width: Standard deviation s of the component, 0 for a point.
        step: Relative step a.
        sigmas: The levels, descending.
        updates: Updates T at each.
    """
    v = sigmas[0] ** 2
    tau = v
    for sigma in sigmas:
        tau = width**2 + sigma**2
        b = step * sigma**2 / tau
        w = 2 * tau / (2 - b)
        v = (1 - b) ** (2 * updates) * (v - w) + w
    return math.sqrt(v / tau) - 1


def worst_error(step: float, sigmas: tuple[float, ...], updates: int) -> float:
    """The largest magnitude of `width_error` over widths from a point to the largest level.

    The widths are a point and powers of sqrt(2) times the smallest level, up to a quarter of the largest one: the prior
    is no start for wider ones.

    Args:
        step: Relative step a.
        sigmas: The levels, descending.
        updates: Updates T at each.
    """
    count = max(0, math.floor(2 * math.log2(sigmas[0] / sigmas[-1] / 4)))
    widths = (0.0, *(sigmas[-1] * 2 ** (k / 2) for k in range(count + 1)))
    return max(abs(width_error(width, step, sigmas, updates)) for width in widths)


def best_step(sigmas: tuple[float, ...], updates: int) -> float:
    """The relative step with the smallest worst error, to three digits.

    Args:
        sigmas: The levels, descending.
        updates: Updates T at each.
    """
    low, high = math.log(1e-3), math.log(1.0)
    golden = (math.sqrt(5) - 1) / 2
    while high - low > 1e-4:  # the error falls and then rises again
        left, right = high - golden * (high - low), low + golden * (high - low)
        if worst_error(math.exp(left), sigmas, updates) < worst_error(math.exp(right), sigmas, updates):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)
