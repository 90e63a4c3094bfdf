"""The units in which things are measured, seen from the units of a model.

    x = shift + scale u        x in the data's own units, u in the model's

Things are measured in the data's own units. A chain of transforms that shifts and scales each value by itself is told
by these two tensors, whatever its transforms are called.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from fokker.data import Chain
from fokker.errors import ConfigError
from fokker.noise import Zero

__all__ = ["Units", "units"]


@dataclass(frozen=True, eq=False)
class Units:
    """The map from the model's units to the data's own, value by value.

    Args:
        shift: What u = 0 stands for, *D, float64.
        scale: What a unit of u stands for, *D, float64.
    """

    shift: Tensor
    scale: Tensor


def units(chain: Chain, event_shape: tuple[int, ...]) -> Units:
    """What a chain does to the units of an example.

    Noise that a transform adds is taken in its middle: a level of `dequantise` is the middle of its cell.

    Args:
        chain: The transforms.
        event_shape: *D.

    Raises:
        ConfigError: If the chain does more than to shift and scale each value by itself.
    """
    at = torch.tensor([0.0, 0.25, 1.0], dtype=torch.float64).reshape(3, *[1] * len(event_shape))
    zero, quarter, one = chain.forward(at.expand(3, *event_shape).clone(), Zero())
    slope = one - zero
    # three constant examples do not tell a rotation, or a curve that happens to meet them, from a scale
    probe = torch.rand(2, *event_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = chain.forward(probe.clone(), Zero())
    size = 1e-9 + 1e-6 * float(torch.maximum(zero.abs().max(), one.abs().max()))
    straight = torch.allclose(quarter, zero + slope / 4, rtol=0, atol=size)
    if not (straight and torch.allclose(found, zero + slope * probe, rtol=0, atol=size)):
        names = ", ".join(type(t).__name__ for t in chain.transforms)
        raise ConfigError(
            f"A measurement of a linear operator stays one only where the data's transforms shift and scale each value "
            f"by itself; {names} do more. Train without, or measure single values with 'inpaint'."
        )
    scale = 1 / slope
    return Units(-zero * scale, scale)
