"""The moving average of the weights, which is what samples are drawn from."""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

__all__ = ["moving_average"]

Tensors = tuple[Tensor, ...] | list[Tensor]


def moving_average(module: nn.Module, decay: float) -> AveragedModel:
    """A copy of a module that follows its weights and buffers.

        w'_1 = w_1,    w'_k = decay w'_{k-1} + (1 - decay) w_k

    Floating-point tensors are averaged in their own precision, counters and other whole numbers are copied.

    Args:
        module: The module, before anything wraps it; parameters in float32, where the average is exact to rounding.
        decay: Share of the average that an update keeps, in [0, 1).

    Returns:
        The average, in evaluation mode.
    """

    @torch.no_grad()
    def update(averaged: Tensors, current: Tensors, _: Tensor | int) -> None:
        if averaged[0].is_floating_point():
            torch._foreach_lerp_(averaged, current, 1 - decay)
        else:
            torch._foreach_copy_(averaged, current)

    copy = AveragedModel(module, multi_avg_fn=update, use_buffers=True)
    copy.eval().requires_grad_(False)
    return copy
