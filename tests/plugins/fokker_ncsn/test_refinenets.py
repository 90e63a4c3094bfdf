"""The RefineNets: shapes, normalisations, derivatives, and what is refused. What they compute is in tests/reference."""

import pytest
import torch
from torch import nn
from torch.func import jvp
from torch.nn import functional as F
from torch.testing import assert_close

from fokker.errors import ConfigError
from fokker.network import DataSpec
from fokker.plan import resolve
from fokker.plugins import load_plugins
from fokker_ncsn.ncsn import NCSN
from fokker_ncsn.ncsnv2 import NCSNv2
from fokker_ncsn.norm import ConditionalInstanceNormPlus, InstanceNormPlus
from fokker_ncsn.refine import ChainedPooling
from fokker_ncsn.residual import ResidualBlock

KINDS = [NCSN, NCSNv2]
LEVELS = 3


@pytest.fixture(params=KINDS, ids=["ncsn", "ncsnv2"])
def kind(request):
    return request.param


def built(kind, shape, **fields):
    torch.manual_seed(0)
    return kind(**{"channels": 4, **fields}).build(DataSpec(shape, levels=LEVELS)).double()


def inputs(shape, n=2):
    g = torch.Generator().manual_seed(1)
    return torch.randn(n, *shape, generator=g, dtype=torch.float64), torch.arange(n) % LEVELS + 1


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 17, 23), (2, 5, 64), (1, 3, 2), (4, 1, 9)], ids=str)
@pytest.mark.parametrize("fields", [{}, {"stem": 2, "multipliers": (1, 2, 3)}, {"multipliers": (1, 2, 2, 4, 4)}])
def test_images_of_any_size(kind, shape, fields):
    try:
        net = built(kind, shape, **fields)
    except ConfigError as error:
        assert "down to a single position" in str(error) and max(shape[1:]) <= 4
        return
    x, level = inputs(shape)
    out = net(x, level)
    assert out.shape == x.shape and bool(out.isfinite().all())


def test_published_numbers_of_parameters():
    """As the shapes of the paper's tables add up: 3 channels, 128 wide, and 10 levels of NCSN."""
    sizes = {}
    with torch.device("meta"):
        for name, network in {
            "32": NCSNv2(),
            "64": NCSNv2(multipliers=(1, 2, 2, 4, 4)),
            "128": NCSNv2(multipliers=(1, 2, 2, 2, 4, 4)),
        }.items():
            net = network.build(DataSpec((3, 32, 32)))
            sizes[name] = [stage[1].conv_2.out_channels for stage in net.net.stages]
            outputs = [block.chain.convs[0].out_channels for block in net.net.refines]
            # a block gives what the next finer stage has, the last and the deepest what they have themselves
            assert outputs == [sizes[name][-1], *reversed(sizes[name][:-2]), sizes[name][0]]
    assert sizes == {
        "32": [128, 256, 256, 256],
        "64": [128, 256, 256, 512, 512],
        "128": [128, 256, 256, 256, 512, 512],
    }


def test_sizes_on_the_way_down(kind):
    """Halved by every stage but the first and the last two, which are dilated."""
    net = built(kind, (1, 20, 12), multipliers=(1, 1, 2, 2, 3)).net
    seen = []
    for stage in net.stages:
        stage[1].register_forward_hook(lambda m, a, out: seen.append(tuple(out.shape[1:])))
    x, level = inputs((1, 20, 12))
    net(x, level - 1)
    assert seen == [(4, 20, 12), (4, 10, 6), (8, 5, 3), (8, 5, 3), (12, 5, 3)]
    assert [stage[1].conv_1.dilation[0] for stage in net.stages] == [1, 1, 1, 2, 4]


def test_instance_norm_plus_is_its_formula():
    norm = InstanceNormPlus(5).double()
    nn.init.normal_(norm.beta)
    x = torch.randn(2, 5, 3, 4, dtype=torch.float64) + torch.arange(5.0)[:, None, None]
    mean = x.mean((2, 3))
    contrast = (mean - mean.mean(1, keepdim=True)) / (mean.var(1, keepdim=True) + 1e-5).sqrt()
    plain = (x - mean[..., None, None]) / (x.var((2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()
    gamma, alpha, beta = (v[:, None, None] for v in (norm.gamma, norm.alpha, norm.beta))
    expected = gamma * (plain + alpha * contrast[..., None, None]) + beta
    assert_close(norm(x, torch.zeros(2)), expected)


def test_a_level_has_weights_of_its_own():
    told = ConditionalInstanceNormPlus(4, LEVELS).double()
    nn.init.normal_(told.embed.weight)
    x, level = inputs((4, 3, 5), 3)
    out = told(x, level - 1)
    for i in range(3):
        plain = InstanceNormPlus(4).double()
        for name, value in zip(("gamma", "alpha", "beta"), told.embed.weight[level[i] - 1].chunk(3), strict=True):
            getattr(plain, name).data.copy_(value)
        assert_close(out[i : i + 1], plain(x[i : i + 1], level[i : i + 1]))


def test_a_block_that_halves_averages_cells():
    block = ResidualBlock(2, 3, lambda channels: InstanceNormPlus(channels), halve=True, begins=True).double()
    x, level = inputs((2, 4, 6))
    h = block.conv_1(F.elu(block.norm_1(x, level)))
    h = block.conv_2(F.elu(block.norm_2(h, level))) + block.shortcut(x)
    cells = [h[..., i::2, j::2] for i in (0, 1) for j in (0, 1)]
    assert_close(block(x, level), sum(cells) / 4)


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_the_chain_pools_windows_of_five(pooling):
    chain = ChainedPooling(1, pooling, lambda channels: InstanceNormPlus(2)).double()
    for i, conv in enumerate(chain.convs):  # the first link passes on what it pools, the second nothing
        nn.init.dirac_(conv.weight)
        conv.weight.data *= 1 - i
    chain.norms = nn.ModuleList([_Same(), _Same()])
    x = torch.zeros(1, 1, 9, 9, dtype=torch.float64)
    x[0, 0, 4, 4] = 25.0
    seen = chain(x, torch.zeros(1)) - x
    inside = torch.zeros(9, 9, dtype=torch.float64)
    inside[2:7, 2:7] = 25.0 if pooling == "max" else 1.0
    assert_close(seen[0, 0], inside)


class _Same(nn.Module):
    def forward(self, x, level):
        return x


def test_recentring_shows_the_network_2x_minus_1(kind):
    x, level = inputs((2, 6, 5))
    plain, shifted = (built(kind, (2, 6, 5), recentre=recentre) for recentre in (False, True))
    assert_close(shifted(x, level), plain(2 * x - 1, level), rtol=0, atol=0)


def test_only_ncsn_knows_the_level(kind):
    net = built(kind, (1, 6, 6))
    x, _ = inputs((1, 6, 6), 1)
    outputs = [net(x, torch.tensor([level])) for level in (1, 2, 3)]
    assert kind.reads_levels == (kind is NCSN)
    assert torch.equal(outputs[0], outputs[1]) != (kind is NCSN)
    assert torch.equal(outputs[1], outputs[2]) != (kind is NCSN)
    if kind is NCSN:
        with pytest.raises(ConfigError, match="is told the level of a table; use the label 'index'"):
            net(x, torch.tensor([0.5]))


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # torch's own, in jvp
def test_first_and_second_derivatives(kind):
    """Of an energy, whose score is differentiated in training, and of a Jacobian's trace, forward and backward."""
    shape = (1, 4, 5)
    net = built(kind, shape, channels=2, multipliers=(1, 2, 2))
    x, level = inputs(shape, 1)
    x.requires_grad_()
    v, w = torch.randn_like(x), torch.randn_like(x)

    def energy_gradient(x):
        (g,) = torch.autograd.grad(net(x, level).sum(), x, create_graph=True)
        return g

    (second,) = torch.autograd.grad((energy_gradient(x) * v).sum(), x)
    h = 1e-5
    difference = (energy_gradient(x + h * v) - energy_gradient(x - h * v)) / (2 * h)
    assert_close(second, difference.detach(), rtol=1e-5, atol=1e-6 * float(second.abs().max()))

    _, forward = jvp(lambda x: net(x, level), (x.detach(),), (v,))
    (backward,) = torch.autograd.grad(net(x, level), x, w)
    assert_close((forward * w).sum(), (backward * v).sum())


def test_the_gradient_of_a_second_derivative_reaches_the_weights(kind):
    net = built(kind, (1, 4, 5), channels=2, multipliers=(1, 2, 2))
    x, level = inputs((1, 4, 5), 3)
    x.requires_grad_()
    (g,) = torch.autograd.grad(net(x, level).square().sum(), x, create_graph=True)
    g.square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert name.endswith("end.bias") or parameter.grad.abs().max() > 0, name


def test_what_is_refused(kind):
    name = "ncsn" if kind is NCSN else "ncsnv2"
    with pytest.raises(ConfigError, match=rf"{name} takes images \(C, H, W\), but the data's events are \(2,\)"):
        kind().build(DataSpec((2,), levels=4))
    with pytest.raises(ConfigError, match=r"carries class labels, mel; use 'unet', or set train\.labels = false"):
        kind().build(DataSpec((1, 8, 8), classes=3, levels=4, condition={"mel": (3,)}))
    with pytest.raises(ConfigError, match="brings images of 2x2 pixels down to a single position"):
        kind().build(DataSpec((1, 2, 2), levels=4))
    with pytest.raises(ConfigError, match=r"channels"):
        kind(channels=1)
    if kind is NCSN:
        with pytest.raises(ConfigError, match="weights for each level of a table; use the perturbation 'sigmas'"):
            NCSN().build(DataSpec((1, 8, 8)))


@pytest.mark.parametrize("recipe", ["fashion-mnist-ncsnv2", "fashion-mnist-ncsnv2-small"])
def test_recipes_keep_to_the_five_techniques(recipe):
    """Number of levels and step size by the formulas of the paper, whatever the recipe writes down."""
    plan = resolve(load_plugins().registry, recipe)
    assert plan.data.pad == 0 and plan.data.transforms == () and plan.network.recentre
    d = 28 * 28
    sigma = plan.perturbation.table
    gamma = float(sigma[1] / sigma[0])
    phi = torch.distributions.Normal(0.0, 1.0).cdf
    a = (2 * d) ** 0.5 * (gamma - 1)
    coverage = float(phi(torch.tensor(a + 3 * gamma)) - phi(torch.tensor(a - 3 * gamma)))
    assert 0.48 < coverage < 0.57
    assert float(sigma[-1]) == pytest.approx(22.456, rel=0.01)
    smld = plan.sample.sampler
    e = torch.linspace(0, 1, 100001, dtype=torch.float64)[1:-1]
    q = 2 * e / (1 - (1 - e) ** 2)
    v = (1 - e) ** (2 * smld.steps_per_level) * (gamma**2 - q) + q
    best = float(e[(v - 1).abs().argmin()])
    assert smld.form == "ncsn" and smld.step / float(sigma[0]) ** 2 == pytest.approx(best, rel=0.01)
    assert plan.sample.final == "tweedie" and plan.train.ema > 0 and plan.sample.steps == len(sigma) - 1
