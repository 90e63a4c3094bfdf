"""What the tests of the networks share: backbones whose zero-initialised layers have been given values."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from fokker.network import DataSpec, Network

SHAPES = [(2,), (16,), (1, 128), (3, 17, 23), (1, 8, 9, 10), (1, 7, 7), (1, 28, 28), (1,), (2, 1, 1)]


def shaken_backbone(
    network: Network, shape: tuple[int, ...], classes: int | None = None, *, seed: int = 0, double: bool = True
) -> nn.Module:
    """A backbone of that network in which no parameter is zero, as after a little training."""
    torch.manual_seed(seed)
    backbone = network.build(DataSpec(shape, classes))
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return backbone.double() if double else backbone


@pytest.fixture(scope="session")
def shaken() -> Callable[..., nn.Module]:
    return shaken_backbone


@pytest.fixture(params=SHAPES, ids=str)
def shape(request: pytest.FixtureRequest) -> tuple[int, ...]:
    return request.param
