import pytest
import torch
from torch import nn

from fokker.label import LogSigma
from fokker.model import NetworkModel
from fokker.parameterization import Energy, Score


class Wave(nn.Module):
    """A smooth network of d numbers, or an energy of them, told the noise level."""

    def __init__(self, d):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.inner = nn.Parameter(torch.randn(d, 5, dtype=torch.float64, generator=generator))
        self.outer = nn.Parameter(torch.randn(5, d, dtype=torch.float64, generator=generator))

    def forward(self, x, label, cond=None):
        return ((x.flatten(1) @ self.inner + label[:, None] / 10).tanh() @ self.outer).view_as(x)


@pytest.fixture
def wave():
    return lambda p, d, energy=False: NetworkModel(Wave(d), p, Energy() if energy else Score(), LogSigma())


@pytest.fixture
def linear():
    """The score -k x of one number, by a network of its own or by the energy k x^2 / 2."""

    def make(p, k, energy=False):
        class Slope(nn.Module):
            def forward(self, x, label, cond=None):
                return k * x**2 / 2 if energy else -k * x

        return NetworkModel(Slope(), p, Energy() if energy else Score(), LogSigma())

    return make
