"""No step waits for the device: nothing is read back from it, and nothing is copied there, after the first state.

Tensors on the device `meta` have no numbers: to read one is an error. What is copied there from the host is seen as it
is dispatched.
"""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fokker.errors import ConfigError
from fokker.label import LogSNR as LogSNRLabel
from fokker.model import NetworkModel
from fokker.noise import Noise
from fokker.parameterization import EDM, V, Velocity
from fokker.perturbation import VP
from fokker.plugins import load_plugins
from fokker.sampler import add_noise, trajectory

P = VP()
REGISTRY = load_plugins().registry


def grid(steps=4):
    return torch.linspace(1.0, P.t_min, steps + 1, dtype=torch.float64)


class Elsewhere(Noise):
    """Draws without numbers."""

    def __call__(self, x, t=None, s=None):
        return torch.empty_like(x)

    def uniform(self, x):
        return torch.empty_like(x)

    def rows(self, index):
        return self


class Watch(TorchDispatchMode):
    """Remembers operations that take a tensor of the host to the device, numbers of no dimension aside."""

    def __init__(self):
        super().__init__()
        self.copies = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        given = [a for a in tree_leaves((args, kwargs)) if isinstance(a, torch.Tensor)]
        made = [o for o in tree_leaves(out) if isinstance(o, torch.Tensor)]
        if any(a.device.type == "cpu" for a in given) and any(o.device.type == "meta" for o in made):
            if not all(a.ndim == 0 for a in given if a.device.type == "cpu") or "copy" in func.__name__:
                self.copies.append(func.__name__)
        return out


class Network(torch.nn.Module):
    def forward(self, x, label, cond=None):
        return x * label.reshape(-1, *[1] * (x.ndim - 1))


def model(parameterization):
    return NetworkModel(Network(), P, parameterization, LogSNRLabel())


def samplers():
    """All that go down a grid with a fixed number of evaluations; adaptive ones decide by what they see."""
    for name in REGISTRY.names("sampler"):
        try:
            sampler = REGISTRY.get("sampler", name).load()()
        except (ConfigError, TypeError):  # one that must be told something
            continue
        if sampler.claims.evaluations is not None:
            yield pytest.param(sampler, id=name)


@pytest.mark.parametrize("parameterization", [V(), EDM(), Velocity()], ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("sampler", [*samplers()])
def test_a_step_reads_nothing_from_the_device_and_sends_nothing_there(sampler, parameterization):
    x = torch.empty(3, 1, 4, 4, device="meta")
    watch = Watch()
    states = trajectory(model(parameterization), sampler, grid(), Elsewhere(), x)
    times = [next(states).t]
    with watch:
        for state in states:
            assert state.x.device.type == "meta"
            times.append(state.t)
    assert times[-1] == 0.0
    assert watch.copies == []


def test_what_would_be_read_or_sent_is_noticed():
    x = torch.empty(3, 2, device="meta")
    with pytest.raises((RuntimeError, NotImplementedError)):
        bool((x > 0).any())
    with Watch() as watch:
        torch.ones(3).to("meta")
        torch.as_tensor(0.5, device="cpu").to("meta")
        add_noise(x.clone(), 0.5, Elsewhere())
    assert len(watch.copies) == 2
