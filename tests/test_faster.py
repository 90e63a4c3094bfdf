import pytest
import torch
from torch import nn
from torch.testing import assert_close

from fokker.errors import ConfigError
from fokker.faster import Graphed, hasten
from fokker.label import Time
from fokker.model import NetworkModel
from fokker.parameterization import Energy, Eps
from fokker.perturbation import VP


class Backbone(nn.Module):
    """Sees all that a network is told, and counts its calls."""

    calls = 0

    def forward(self, x, label, cond=None):
        self.calls += 1
        shift = 0.0 if cond is None else cond["shift"].reshape(-1, 1)
        return (x + label.reshape(-1, 1) + shift).sin()


def capture(answer):
    """Like a graph: one place for the result, which every replay writes over."""
    out = answer()
    return lambda: out.copy_(answer()), out


def model(parameterization=None):
    return NetworkModel(Backbone(), VP(), parameterization or Eps(), Time())


@torch.no_grad()
@pytest.mark.parametrize("conditioned", [False, True])
def test_a_replay_answers_as_the_network_does(conditioned):
    graphed, plain = Graphed(Backbone(), capture), Backbone()
    captures, answers, expected = [], [], []
    graphed._capture = lambda answer: captures.append(1) or capture(answer)
    for k, n in enumerate((3, 3, 5, 3)):
        x, label = torch.full((n, 2), 0.1 * k), torch.linspace(0, 1, n)
        cond = {"shift": torch.full((n,), float(k))} if conditioned else None
        answers.append(graphed(x, label, cond))
        expected.append(plain(x, label, cond))
    for found, wanted in zip(answers, expected, strict=True):  # none was written over by a later one
        assert_close(found, wanted, rtol=0, atol=0)
    assert len(captures) == 2  # one for each size of a batch


def test_the_network_itself_is_called_where_gradients_are_on():
    graphed = Graphed(Backbone(), lambda answer: pytest.fail("nothing to capture"))
    x = torch.ones(2, 2, requires_grad=True)
    (slope,) = torch.autograd.grad(graphed(x, torch.zeros(2)).sum(), x)
    assert_close(slope, x.detach().cos())


def test_graphs_without_a_cuda_device_are_refused():
    with pytest.raises(ConfigError, match="--cuda-graphs needs a cuda device, and this is cpu"):
        hasten(model(), torch.device("cpu"), cuda_graphs=True)


@pytest.mark.parametrize("option", ["compile", "cuda_graphs"])
def test_a_network_that_is_differentiated_is_refused(option):
    with pytest.raises(ConfigError, match="the gradient of its network"):
        hasten(model(Energy()), torch.device("cuda"), **{option: True})


def test_a_model_is_compiled_when_it_is_asked_for(monkeypatch):
    seen = []
    monkeypatch.setattr(torch, "compile", lambda module: seen.append(module) or module)
    m = model()
    backbone = m.backbone
    assert hasten(m, torch.device("cpu")) is m and not seen
    assert hasten(m, torch.device("cpu"), compile=True) is m
    assert seen == [backbone]
    hasten(m, torch.device("cuda"), cuda_graphs=True)
    assert isinstance(m.backbone, Graphed)
