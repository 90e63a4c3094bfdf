"""How wide data is: per value, and along the directions in which it is widest.

    std = (tr C / d)^(1/2),    width = (tr C^2 / tr C)^(1/2),    spread = max(1, 2 width / std - 3)

with C the covariance of d values. Values that go together, as those of neighbouring pixels, make an example as a whole
far wider along a few directions than a value is. The noise that hides such data, and the levels at which its modes
part, follow the width and not the value. 2 and 3 were chosen by trial on Fashion-MNIST and mixtures: mixtures in few
dimensions have a spread of 1, digits of 8 x 8 pixels one of 1.4, clothes of 32 x 32 one of 20.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch

from fokker.data import evenly_spread
from fokker.noise import Seeded, block_seed

if TYPE_CHECKING:
    from fokker.data import Chain, Examples

__all__ = ["AskWidth", "Width", "measure_width"]

_EXAMPLES, _NUMEL = 1024, 1 << 24
_STREAM = 5


@dataclass(frozen=True)
class Width:
    """Measures of data in the model's units.

    Args:
        std: Standard deviation of a value, over all examples and dimensions.
        spread: How much wider data counts for a way down, at least 1.
    """

    std: float
    spread: float = 1.0


AskWidth: TypeAlias = Callable[[], Width | None]
"""Gives the width where it is known; asked only by what wants it, since it may have to be measured."""


def measure_width(chain: "Chain", examples: "Examples", seed: int = 0) -> Width | None:
    """The width of up to 1,024 examples of a split, evenly spread; None if there are fewer than 8, or all are alike.

    tr C^2 is the mean square of the products of two different examples, which is unbiased but for the mean.

    Args:
        chain: The data's fitted transforms.
        examples: An opened split.
        seed: Decides the noise of dequantisation.
    """
    n = len(examples)
    numel = max(1, torch.Size(examples.event_shape).numel())
    count = min(n, _EXAMPLES, max(16, _NUMEL // numel))
    if count < 8:
        return None
    x = examples.fetch(evenly_spread(examples, count)).x
    y = chain.forward(x, Seeded(block_seed(seed, 0, _STREAM))).flatten(1).double()
    y = y - y.mean(0)
    products = y @ y.T
    own = products.diagonal()
    trace = float(own.sum()) / (count - 1)
    if not 0 < trace < float("inf"):
        return None
    squares = float(products.square().sum() - own.square().sum()) / (count * (count - 1))
    std = (trace / y.shape[1]) ** 0.5
    return Width(std, max(1.0, 2 * (squares / trace) ** 0.5 / std - 3))
