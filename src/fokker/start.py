"""Starts: where trajectories begin.

    prior      x = prior_at(t) z, the prior of t = 1 as it is at the first time; prior_std z at t = 1
    normal     x = z
    uniform    x = T(u), u uniform in [0, 1) in the data's own units, as NCSN starts its pictures
    data       x = alpha(t) T(x_0) + sigma(t) z, a training example with the noise of the first level
    (a, b, ..) x = T((a, b, ..)), one point in the data's own units for all samples

with z standard normal and T the data's transforms into the model's units. Like everything else of a sample, its start
depends on the seed and on its own index alone.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TypeAlias

import torch
from torch import Tensor

from fokker.errors import ConfigError
from fokker.noise import Noise
from fokker.perturbation import Perturbation

if TYPE_CHECKING:
    from fokker.plan import Plan

__all__ = ["Init", "Start", "prior", "start_from"]

Init: TypeAlias = Literal["prior", "normal", "uniform", "data"] | tuple[float, ...]
"""How a start is written: a word, or the coordinates of a point."""

Start: TypeAlias = Callable[[Perturbation, float, Noise, Tensor], Tensor]
"""From the perturbation, the first time, the noise and an empty batch (B, *D) to states like that batch."""


def prior(p: Perturbation, t: float, noise: Noise, like: Tensor) -> Tensor:
    """Draws of the prior at the first time, (B, *D); see `Perturbation.prior_at`."""
    return p.prior_at(t) * noise(like)


def start_from(init: Init, plan: "Plan") -> Start:
    """The start that is meant, ready to be drawn from.

    Args:
        init: How it is written.
        plan: Whose data and transforms it refers to; its transforms are fitted.

    Returns:
        The start; that of a point raises ConfigError if the point has another number of coordinates than the data.

    Raises:
        DataError: If the data is needed and cannot be had.
    """
    chain = plan.chain

    def moved(x: Tensor, noise: Noise, like: Tensor) -> Tensor:
        return chain.forward(x.to("cpu", torch.float32), noise).to(like.device, like.dtype)

    if init == "prior":
        return prior
    if init == "normal":
        return lambda p, t, noise, like: noise(like)
    if init == "uniform":
        return lambda p, t, noise, like: moved(noise.uniform(like), noise, like)
    if init == "data":
        examples = plan.data.open("train")

        def perturbed(p: Perturbation, t: float, noise: Noise, like: Tensor) -> Tensor:
            u = noise.uniform(torch.empty(len(like))).double()  # single precision: not every device has double
            x0 = examples.fetch((u * len(examples)).long().tolist()).x
            return p.perturb(moved(x0, noise, like), torch.tensor(t, dtype=torch.float64), noise(like))

        return perturbed
    point = torch.tensor(init)

    def placed(p: Perturbation, t: float, noise: Noise, like: Tensor) -> Tensor:
        if point.numel() != like[0].numel():
            raise ConfigError(
                f"init is a point with {point.numel()} coordinates; the data has {like[0].numel()}, of shape "
                f"{tuple(like.shape[1:])}."
            )
        return moved(point.expand(len(like), -1).reshape(like.shape), noise, like)

    return placed
