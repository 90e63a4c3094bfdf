"""Data that is being noised: the forward process, state by state.

    x_t = a x_s + v z,    a and v those of `Perturbation.transition(s, t)`

so that each state has its exact law, x_t ~ alpha(t) x_0 + sigma(t) z, and the states of an example are one path of the
process, however few they are. It is what a sampler's trajectory looks like from the other end.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from fokker.errors import ConfigError
from fokker.noise import Noise
from fokker.perturbation import Perturbation

__all__ = ["noised"]


def noised(p: Perturbation, x0: Tensor, times: Sequence[float], noise: Noise) -> list[tuple[float, Tensor]]:
    """The states of examples on the way up.

    Args:
        p: The perturbation.
        x0: Clean examples in the model's units, (B, *D); left untouched.
        times: In [0, 1], never falling.
        noise: Source of z.

    Returns:
        The times and states, (B, *D), in that order.

    Raises:
        ConfigError: If a time is below the one before it.
    """
    if any(t < s for s, t in pairwise(times)):
        raise ConfigError("Data is noised at times that do not fall; sort them.")
    states: list[tuple[float, Tensor]] = []
    x, before = x0, None
    for t in times:
        now = torch.tensor(t, dtype=torch.float64)
        if before is None:  # some perturbations have noise at t = 0 already
            a, v = p.alpha(now), p.sigma(now)
        else:
            a, v = p.transition(torch.tensor(before, dtype=torch.float64), now)
        if t != before:
            x = float(a) * x + (float(v) * noise(x, t, before) if float(v) else 0)
        states.append((t, x))
        before = t
    return states
