"""The activations of the multilayer perceptrons, by name."""

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

from torch import nn

__all__ = ["ACTIVATIONS", "Activation"]

Activation: TypeAlias = Literal["silu", "softplus", "elu", "relu", "tanh", "gelu"]

ACTIVATIONS: Mapping[Activation, Callable[[], nn.Module]] = {
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "elu": nn.ELU,
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
}
