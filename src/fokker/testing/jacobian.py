"""Log-determinants of Jacobians by autograd: what a transform's `log_det` is held against."""

from collections.abc import Callable

import torch
from torch import Tensor

from fokker.testing.check import NotApplicable

__all__ = ["log_determinants"]


def log_determinants(forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """log |det d forward / d x| of each example.

    Args:
        forward: Maps a batch (B, *D) to one of the same shape; called with one example at a time.
        x: Examples, float64, (B, *D).

    Returns:
        In nats, float64, (B,).

    Raises:
        NotApplicable: If autograd cannot follow the map.
    """
    found = []
    with torch.enable_grad():
        for row in x:
            y = forward(row[None].clone().requires_grad_())
            if not y.requires_grad:
                raise NotApplicable("autograd cannot follow its forward")
            jacobian = torch.autograd.functional.jacobian(lambda r: forward(r[None])[0].flatten(), row.clone())
            found.append(torch.linalg.slogdet(jacobian.reshape(row.numel(), row.numel()).double()).logabsdet)
    return torch.stack(found)
