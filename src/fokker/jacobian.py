"""Derivatives of a model's answer in its state: v^T J v and the trace of J, each example's own.

    J = d y / d x,    y (B, *D) a function of x (B, *D) that keeps examples apart

Both are sums of products of a vector with J, each of which is one backward pass; J itself is never formed.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

__all__ = ["leaf", "pull_back", "quadratic_form", "trace", "twice_differentiable"]


@contextmanager
def twice_differentiable() -> Iterator[None]:
    """Evaluate a model so that its derivatives can be differentiated again, under `torch.no_grad` too.

    Gradients are switched on, and attention is computed by plain matrix products: the fused kernels have a first
    derivative only.
    """
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        yield


def leaf(x: Tensor) -> Tensor:
    """The same numbers as a tensor that gradients are asked for, (B, *D); the caller's own is left alone."""
    return x.detach().requires_grad_()


def quadratic_form(y: Tensor, x: Tensor, v: Tensor, *, create_graph: bool) -> Tensor:
    """v^T J v, by one backward pass.

    Args:
        y: A function of `x`, (B, *D).
        x: Where gradients were asked for, (B, *D).
        v: Vectors, (B, *D).
        create_graph: Whether the result is to be differentiated in its turn.

    Returns:
        (B,).
    """
    return (pull_back(y, x, v, create_graph=create_graph) * v).flatten(1).sum(1)


def trace(y: Tensor, x: Tensor, *, create_graph: bool) -> Tensor:
    """The trace of J, by a backward pass for every dimension.

    Args:
        y: A function of `x`, (B, *D).
        x: Where gradients were asked for, (B, *D).
        create_graph: Whether the result is to be differentiated in its turn.

    Returns:
        (B,).
    """
    total = y.new_zeros(len(y))
    for i in range(y[0].numel()):
        unit = torch.zeros_like(y).flatten(1)
        unit[:, i] = 1
        total = total + pull_back(y, x, unit.view_as(y), create_graph=create_graph).flatten(1)[:, i]
    return total


def pull_back(y: Tensor, x: Tensor, v: Tensor, *, create_graph: bool) -> Tensor:
    """v^T J, by one backward pass.

    Args:
        y: A function of `x`, (B, *D).
        x: Where gradients were asked for, (B, *D).
        v: Vectors, (B, *D).
        create_graph: Whether the result is to be differentiated in its turn.

    Returns:
        (B, *D); zeros where `y` does not depend on `x`.
    """
    if not y.requires_grad:  # a constant
        return torch.zeros_like(x)
    (product,) = torch.autograd.grad(
        y, x, v, create_graph=create_graph, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    return product
