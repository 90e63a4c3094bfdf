import pytest
import torch
from torch.nn.functional import softplus
from torch.testing import assert_close

from fokker.errors import ConfigError
from fokker.network import DataSpec
from fokker_networks.conditional_mlp import ConditionalMLP

SPEC = DataSpec((2,), levels=4)


def built(**fields):
    torch.manual_seed(0)
    return ConditionalMLP(widths=(5, 7), **fields).build(SPEC)


def test_it_is_the_formula():
    net, x, level = built(), torch.randn(3, 2), torch.tensor([1, 4, 2])
    h = x
    for layer, gain in zip(net.hidden, net.gains, strict=True):
        h = softplus(gain.weight[level - 1] * (h @ layer.weight.T + layer.bias))
    assert_close(net(x, level), h @ net.last.weight.T + net.last.bias)


def test_every_level_has_gains_of_its_own():
    net, x = built(), torch.randn(1, 2)
    outputs = [net(x, torch.tensor([level])) for level in (1, 2, 3, 4)]
    assert all(not torch.equal(a, b) for i, a in enumerate(outputs) for b in outputs[:i])
    net(x, torch.tensor([3])).sum().backward()
    for gain in net.gains:
        assert gain.weight.grad.any(1).tolist() == [False, False, True, False]


@pytest.mark.parametrize("least", [0.0, 0.6, 1.0])
def test_gains_begin_uniform(least):
    gains = torch.cat(
        [g.weight.detach().flatten() for g in ConditionalMLP(widths=(500,), least_gain=least).build(SPEC).gains]
    )
    assert float(gains.min()) == pytest.approx(least, abs=0.01) and float(gains.max()) == pytest.approx(1, abs=0.01)
    assert float(gains.mean()) == pytest.approx((1 + least) / 2, abs=0.02)


def test_what_it_needs_and_what_it_refuses():
    with pytest.raises(ConfigError, match="a gain for each level of a table; use the perturbation 'sigmas' or 'betas'"):
        ConditionalMLP().build(DataSpec((2,)))
    with pytest.raises(ConfigError, match=r"carries class labels, mel; use 'mlp', or set train\.labels = false"):
        ConditionalMLP().build(DataSpec((2,), classes=3, levels=4, condition={"mel": (3,)}))
    with pytest.raises(ConfigError, match="is told the level of a table; use the label 'index'"):
        built()(torch.zeros(1, 2), torch.tensor([0.5]))
