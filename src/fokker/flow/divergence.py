"""The divergence of a vector field: estimated by random probes, or added up over all dimensions.

    div u = tr J = sum_i e_i^T J e_i = E[v^T J v]    for E[v] = 0, E[v v^T] = I,    J = du / dx

(Hutchinson, 1990; Grathwohl et al., 2019, eq. 7.) Each product v^T J is one pass back through the network. With
Rademacher probes the variance is that of the off-diagonal alone, sum_{i != j} (J_ij^2 + J_ij J_ji), so an estimate is
exact where J is diagonal; with Gaussian ones the diagonal adds 2 sum_i J_ii^2.
"""

from abc import ABC, abstractmethod
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge
from torch import Tensor

from fokker.component import component
from fokker.noise import Noise

__all__ = ["Divergence", "Exact", "Hutchinson"]


class Divergence(ABC):
    """A rule for the divergence of a vector field."""

    exact: ClassVar[bool] = False
    """Whether it gives the divergence itself and draws nothing."""

    @abstractmethod
    def probes(self, x: Tensor, noise: Noise) -> Tensor:
        """What is drawn once for a whole trajectory, so that the estimate is a smooth function of time.

        Args:
            x: States, (B, *D).
            noise: Source of the draws.

        Returns:
            Probes for each state, (B, K, *D); K is 0 where the divergence is exact.
        """

    @abstractmethod
    def estimates(self, u: Tensor, x: Tensor, probes: Tensor) -> Tensor:
        """Estimates of the divergence of `u` at `x`.

        Args:
            u: Values of the field, (B, *D), which autograd can follow back to `x`.
            x: States, (B, *D), that require gradients.
            probes: What `probes` gave for these states.

        Returns:
            One estimate per probe, (B, K), or the divergence itself, (B, 1).
        """


@component
class Hutchinson(Divergence):
    """An unbiased estimate for each of some random probes (Hutchinson, 1990; Skilling, 1989).

    Args:
        number: Number K of probes; the standard error of their mean is known from two on.
        law: Of the probes: `rademacher`, each value -1 or 1, or `gaussian`.
    """

    number: Annotated[int, Ge(1)] = 2
    law: Literal["rademacher", "gaussian"] = "rademacher"

    def probes(self, x: Tensor, noise: Noise) -> Tensor:
        """K draws, (B, K, *D)."""
        draw = noise.rademacher if self.law == "rademacher" else noise
        return torch.stack([draw(x) for _ in range(self.number)], 1)

    def estimates(self, u: Tensor, x: Tensor, probes: Tensor) -> Tensor:
        """v^T J v for each probe, (B, K)."""
        return torch.stack([_product(u, x, v).mul(v).flatten(1).sum(1) for v in probes.unbind(1)], 1)


@component
class Exact(Divergence):
    """The sum over all dimensions: as many passes back through the network as an example has values."""

    exact: ClassVar[bool] = True

    def probes(self, x: Tensor, noise: Noise) -> Tensor:
        """Nothing, (B, 0, *D)."""
        return x.new_empty((x.shape[0], 0, *x.shape[1:]))

    def estimates(self, u: Tensor, x: Tensor, probes: Tensor) -> Tensor:
        """sum_i e_i^T J e_i, (B, 1)."""
        total = x.new_zeros(x.shape[0])
        unit = torch.zeros_like(x).flatten(1)
        for i in range(unit.shape[1]):
            unit[:, i] = 1
            total = total + _product(u, x, unit.reshape(x.shape)).flatten(1)[:, i]
            unit[:, i] = 0
        return total.unsqueeze(1)


def _product(u: Tensor, x: Tensor, v: Tensor) -> Tensor:
    """v^T J for each example, (B, *D); the graph is kept for the next one."""
    (product,) = torch.autograd.grad(u, x, v, retain_graph=True)
    return product
