"""Networks that answer with classes: their equations, their sizes, and what they refuse."""

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from fokker.errors import ConfigError
from fokker.network import DataSpec
from fokker_networks.conv_classifier import ConvClassifier
from fokker_networks.mlp_classifier import MLPClassifier

D = torch.float64


def test_the_perceptron_is_its_equation(shaken):
    backbone = shaken(MLPClassifier(width=5, depth=2, embedding_width=4, activation="tanh"), (2, 3), 4)
    x, label = torch.randn(6, 2, 3, dtype=D), torch.rand(6, dtype=D)
    w = dict(backbone.named_parameters())
    c = backbone.conditioning(label)
    h = x.flatten(1) @ w["first.weight"].T + w["first.bias"]
    for k in (0, 1):
        of = {name: w[f"layers.{k}.{name}"] for name in ("inner.weight", "time.weight", "outer.weight")}
        inner = (h @ of["inner.weight"].T + w[f"layers.{k}.inner.bias"] + c @ of["time.weight"].T).tanh()
        h = h + inner @ of["outer.weight"].T + w[f"layers.{k}.outer.bias"]
    expected = h.tanh() @ w["head.weight"].T + w["head.bias"]
    assert_close(backbone(x, label), expected, rtol=1e-10, atol=1e-10)


def test_the_convolutions_are_their_equation(shaken):
    backbone = shaken(ConvClassifier(channels=4, multipliers=(1, 3), time_dim=6), (2, 7, 5), 3)
    x, label = torch.randn(4, 2, 7, 5, dtype=D), torch.rand(4, dtype=D)
    c = backbone.conditioning(label)
    h = backbone.stages[0][0](F.conv2d(x, backbone.stem.weight, backbone.stem.bias, padding=1), c)
    h = backbone.stages[1][0](F.avg_pool2d(h, 2, ceil_mode=True), c)
    assert h.shape == (4, 12, 4, 3)
    h = F.silu(F.group_norm(h, 4, backbone.norm.weight, backbone.norm.bias)).mean((2, 3))
    assert_close(backbone(x, label), h @ backbone.head.weight.T + backbone.head.bias, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("network", [MLPClassifier(), ConvClassifier()], ids=repr)
def test_they_begin_with_equal_probabilities(network, shape):
    torch.manual_seed(0)
    logits = network.build(DataSpec(shape, 5))(torch.randn(3, *shape), torch.rand(3))
    assert torch.equal(logits, torch.zeros(3, 5))


@pytest.mark.parametrize("network", [MLPClassifier(), ConvClassifier()], ids=repr)
def test_data_without_classes_is_refused(network):
    with pytest.raises(ConfigError, match=r"tells classes apart, and is told of none; set train"):
        network.build(DataSpec((2,)))
    with pytest.raises(ConfigError, match=r"takes class labels only, but the data carries mel"):
        network.build(DataSpec((2,), 3, {"mel": (4,)}))


def test_what_convolutions_do_not_take_is_refused():
    with pytest.raises(ConfigError, match=r"at most 3 spatial dimensions.*choose the network mlp-classifier"):
        ConvClassifier().build(DataSpec((1, 2, 2, 2, 2), 3))
    with pytest.raises(ConfigError, match=r"level 2 is a single position, and 4 groups of 4 channels"):
        ConvClassifier(channels=4, multipliers=(1, 1, 1), groups=4).build(DataSpec((1, 4, 4), 3))
