"""Exact laws of samplers on Gaussian data, without Monte Carlo.

On Gaussian data the score is affine in the state, so a whole trajectory is an affine map of its start and its draws,

    x_end = A x_start + b + C_1 z_1 + ... + C_n z_n

and takes a law with mean m and covariance S to one with mean A m + b and covariance A S A^T + sum C_i C_i^T. The map
is found by probing: one batch holds a row for every unit vector of the start and of every draw.
"""

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from fokker.exact import ExactModel
from fokker.noise import Noise, Zero
from fokker.sampler import Final, Sampler, trajectory

__all__ = ["AffineMap", "affine_map"]


@dataclass(frozen=True, eq=False)
class AffineMap:
    """A trajectory from its start and draws to its end, with d numbers in a state, all float64.

    Args:
        start: A, (d, d).
        offset: b, (d,).
        draws: C_1 to C_n in the order in which they are drawn, (n, d, d).
    """

    start: Tensor
    offset: Tensor
    draws: Tensor

    def push(self, mean: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (d,) and covariance (d, d) at the end, for a start with these."""
        noise = torch.einsum("nij,nkj->ik", self.draws, self.draws)
        return self.start @ mean + self.offset, self.start @ covariance @ self.start.T + noise


class _Count(Zero):
    """Zeros, counted."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, x: Tensor, t: Tensor | float | None = None, s: Tensor | float | None = None) -> Tensor:
        self.calls += 1
        return torch.zeros_like(x)

    def uniform(self, x: Tensor) -> Tensor:
        raise TypeError("The law of a sampler that draws uniform numbers is not Gaussian and cannot be probed.")

    def rows(self, index: Tensor) -> Noise:
        raise TypeError("A sampler that advances rows separately cannot be probed; its steps depend on the state.")


class _Impulses(_Count):
    """Draw n is one unit vector in each of the rows reserved for it, random in the last row, and zero elsewhere."""

    def __init__(self, checks: Tensor) -> None:
        super().__init__()
        self._checks = checks

    def __call__(self, x: Tensor, t: Tensor | float | None = None, s: Tensor | float | None = None) -> Tensor:
        n, d = self.calls, self._checks.shape[1]
        z = super().__call__(x).flatten(1)
        z[1 + d + n * d : 1 + d + (n + 1) * d] = torch.eye(d, dtype=x.dtype)
        z[-1] = self._checks[n]
        return z.reshape(x.shape)


def affine_map(sampler: Sampler, model: ExactModel, grid: Tensor, *, final: Final = "none") -> AffineMap:
    """Probe a sampler for the affine map that it is.

    Args:
        sampler: The sampler.
        model: Gaussian data; a batch of 2 + d + n d states is sent through it, for n draws of d numbers.
        grid: Strictly decreasing times, float64, (N + 1,).
        final: How the trajectory ends, see `fokker.sampler.trajectory`.

    Raises:
        ValueError: If the end is not an affine function of start and draws, as with a step size that depends on the
            state.
        TypeError: If the sampler draws anything but standard normal numbers for the whole batch.
    """
    event = model.event_shape
    count = _Count()
    _end(sampler, model, torch.zeros((1, *event), dtype=torch.float64), grid, count, final)
    n, d = count.calls, prod(event)
    checks = torch.randn(n + 1, d, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = torch.zeros(2 + d + n * d, d, dtype=torch.float64)
    x[1 : 1 + d] = torch.eye(d, dtype=torch.float64)
    x[-1] = checks[n]
    end = _end(sampler, model, x.reshape(-1, *event), grid, _Impulses(checks), final).flatten(1)
    offset, columns = end[0], (end[1:-1] - end[0]).reshape(n + 1, d, d).transpose(1, 2)
    found = AffineMap(columns[0], offset, columns[1:])
    expected = found.start @ checks[n] + offset + torch.einsum("nij,nj->i", found.draws, checks[:n])
    if not torch.allclose(end[-1], expected, rtol=1e-8, atol=1e-8 * float(end.abs().max())):
        off = float((end[-1] - expected).abs().max())
        raise ValueError(f"{type(sampler).__name__} is not affine in its start and draws: off by {off:.3g} at the end.")
    return found


def _end(sampler: Sampler, model: ExactModel, x: Tensor, grid: Tensor, noise: Noise, final: Final) -> Tensor:
    for state in trajectory(model, sampler, grid, noise, x, final=final):
        x = state.x
    return x
