"""The values of a tensor as a picture takes them: on the host, finite, and within a range."""

import torch
from torch import Tensor

__all__ = ["on_host", "padded", "quantiles", "span", "value_range"]

_ENOUGH = 1 << 18  # values that are enough to know a range by


def on_host(x: Tensor, n: int | None = None) -> Tensor:
    """The first `n` examples of (B, *D), or all of them, float32, on the host, without gradients."""
    return x[:n].detach().cpu().float()


def quantiles(x: Tensor, *at: float) -> list[float]:
    """Quantiles of the finite values of `x`, of any shape; of some of them, evenly spread, where they are many.

    Args:
        x: Values.
        at: In [0, 1].

    Returns:
        As many numbers; zeros if no value is finite.
    """
    flat = x.detach().reshape(-1)
    flat = flat[:: max(1, -(-len(flat) // _ENOUGH))].cpu().double()
    flat = flat[flat.isfinite()]
    if not len(flat):
        return [0.0] * len(at)
    found: list[float] = torch.quantile(flat, torch.tensor(at, dtype=torch.float64)).tolist()
    return found


def span(x: Tensor) -> tuple[float, float]:
    """The smallest and the largest of the finite values of `x`, outliers left out.

    Outliers are values farther from the middle 98 hundredths of all than half of what these span.
    """
    lowest, low, high, highest = quantiles(x, 0.0, 0.01, 0.99, 1.0)
    reach = (high - low) / 2
    if reach == 0:
        return lowest, highest
    return max(lowest, low - reach), min(highest, high + reach)


def padded(low: float, high: float, share: float) -> tuple[float, float]:
    """The ends of an axis for values from `low` to `high`, apart even where those are equal.

    Args:
        low: The smallest value.
        high: The largest, at least `low`.
        share: Room at either end, as a share of the distance between them.
    """
    margin = share * (high - low) or max(0.5, 1e-3 * abs(low))
    return low - margin, high + margin


def value_range(x: Tensor) -> tuple[float, float]:
    """Which values to draw as black and as white, or at the bottom and at the top.

    (0, 1) if nine tenths of the values are within a tenth of it, as those of images and of samples of a model of
    images; else the range without the outermost hundredths.
    """
    tenth, ninetieth, low, high = quantiles(x, 0.05, 0.95, 0.01, 0.99)
    if tenth >= -0.1 and ninetieth <= 1.1 and high > 0.1:
        return 0.0, 1.0
    if low == high:
        low, high = quantiles(x, 0.0, 1.0)
    return (low, high) if low < high else padded(low, high, 0.0)
