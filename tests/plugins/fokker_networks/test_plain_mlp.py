import pytest
import torch
from torch.testing import assert_close

from fokker.errors import ConfigError
from fokker.network import DataSpec
from fokker_networks.activation import ACTIVATIONS
from fokker_networks.plain_mlp import PlainMLP

D = torch.float64


def built(network, spec):
    torch.manual_seed(0)
    return network.build(spec).double()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_it_is_its_equation(activation):
    backbone = built(PlainMLP(widths=(4, 7), activation=activation), DataSpec((2,)))
    x = torch.randn(5, 2, dtype=D, generator=torch.Generator().manual_seed(1))
    w = dict(backbone.named_parameters())
    act = ACTIVATIONS[activation]()
    h = act(x @ w["hidden.0.weight"].T + w["hidden.0.bias"])
    h = act(h @ w["hidden.1.weight"].T + w["hidden.1.bias"])
    assert_close(backbone(x, torch.zeros(5)), h @ w["last.weight"].T + w["last.bias"], rtol=1e-12, atol=1e-12)


def test_the_network_of_the_two_gaussians_has_314_parameters():
    backbone = built(PlainMLP(widths=(4, 32, 4), activation="elu"), DataSpec((2,)))
    assert [tuple(p.shape) for p in backbone.parameters() if p.ndim == 2] == [(4, 2), (32, 4), (4, 32), (2, 4)]
    assert sum(p.numel() for p in backbone.parameters()) == 12 + 160 + 132 + 10


def test_the_label_of_the_time_changes_nothing():
    backbone = built(PlainMLP(), DataSpec((1, 3, 4)))
    x = torch.randn(5, 1, 3, 4, dtype=D, generator=torch.Generator().manual_seed(1))
    assert torch.equal(backbone(x, torch.zeros(5)), backbone(x, torch.arange(5)))


def test_it_refuses_what_it_cannot_be_told():
    with pytest.raises(
        ConfigError, match=r"plain-mlp is told nothing, but the data carries class labels, mel; use mlp"
    ):
        PlainMLP().build(DataSpec((2,), classes=3, condition={"mel": (4,)}))
    with pytest.raises(ConfigError, match=r"PlainMLP\.widths must be of length at least 1"):
        PlainMLP(widths=())
