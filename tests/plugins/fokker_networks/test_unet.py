"""What holds for the U-Net alone."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.testing import assert_close

from fokker.errors import ConfigError
from fokker.network import DataSpec
from fokker_networks.attention import Attention
from fokker_networks.spatial import Pool, convolution, halved, interpolate, normalisation, shuffle
from fokker_networks.unet import UNet

SMALL = UNet(channels=8, multipliers=(1, 2, 2), blocks=1, groups=4, heads=2, time_dim=16)


@pytest.mark.parametrize("config", [{"down": d, "up": u, "stem": s} for d in ("conv", "max-pool", "average-pool")
                                    for u in ("nearest", "bilinear") for s in (1, 2, 5)], ids=str)  # fmt: skip
@pytest.mark.parametrize("shape", [(1,), (2, 3), (1, 1, 1), (2, 2, 7), (1, 5, 1, 4)], ids=str)
def test_tiny_and_odd_sizes_keep_their_size(config, shape):
    torch.manual_seed(0)
    backbone = UNet(channels=4, multipliers=(1, 2, 1), blocks=1, groups=2, heads=2, time_dim=8, **config)
    out = backbone.build(DataSpec(shape))(torch.randn(2, *shape), torch.tensor([1.0, 2.0]))
    assert out.shape == (2, *shape)


def test_a_vector_is_one_channel_of_a_sequence(shaken):
    x, label = torch.randn(2, 12, dtype=torch.float64), torch.tensor([3.0, 40.0], dtype=torch.float64)
    vector, sequence = shaken(SMALL, (12,)), shaken(SMALL, (1, 12))
    assert_close(vector(x, label), sequence(x[:, None], label)[:, 0], rtol=0, atol=0)


def test_four_spatial_dimensions_are_refused():
    with pytest.raises(ConfigError, match=r"at most 3 spatial dimensions, but the data's are \(1, 2, 3, 4, 5\).*mlp"):
        SMALL.build(DataSpec((1, 2, 3, 4, 5)))


@pytest.mark.parametrize("attention", [(3,), (0, -4)])
def test_attention_on_a_level_that_is_not_there_is_refused(attention):
    with pytest.raises(ConfigError, match=r"names level (3|-4), but multipliers = \[1, 2, 2\] makes 3 levels"):
        UNet(attention=attention)


def test_heads_must_divide_the_channels_of_their_level():
    with pytest.raises(ConfigError, match=r"heads = 4 does not divide the 6 channels of level 1"):
        UNet(channels=6, multipliers=(2, 1, 2), attention=(1,))
    UNet(channels=6, multipliers=(2, 1, 2), attention=(0,))


def test_normalising_single_values_is_refused():
    config = UNet(channels=8, multipliers=(1, 1, 1), groups=8)
    with pytest.raises(ConfigError, match=r"level 2 is a single position, and 8 groups of 8 channels"):
        config.build(DataSpec((1, 4, 3)))
    config.build(DataSpec((1, 5, 4)))


@pytest.mark.parametrize("attention", [(-1,), (2,), (2, -1)])
def test_levels_of_attention_count_from_either_end(attention):
    assert UNet(attention=attention).attention_levels == (2,)


@pytest.mark.parametrize(("attention", "count"), [((), 0), ((0,), 4), ((2,), 5), ((0, 1, 2), 13)])
def test_attention_is_where_it_was_asked_for(attention, count):
    backbone = UNet(channels=8, blocks=2, attention=attention).build(DataSpec((1, 8, 8)))
    assert sum(type(m).__name__ == "Attention" for m in backbone.modules()) == count


def test_blocks_and_levels_are_as_many_as_asked_for():
    backbone = UNet(channels=8, multipliers=(1, 2, 3, 4), blocks=3).build(DataSpec((1, 8, 8)))
    assert sum(type(m).__name__ == "Block" for m in backbone.modules()) == 4 * 3 * 2 + 2


def test_batch_normalisation_is_frozen_in_eval_and_moves_in_training(shaken):
    network = UNet(channels=4, multipliers=(1, 2), blocks=1, norm="batch", heads=2, time_dim=8)
    backbone = shaken(network, (1, 6, 5))
    x, label = 5 + 3 * torch.randn(4, 1, 6, 5, dtype=torch.float64), torch.arange(4.0, dtype=torch.float64)
    before = {key: value.clone() for key, value in backbone.named_buffers()}
    assert any(key.endswith("running_var") for key in before)
    backbone.eval()(x, label)
    assert all(torch.equal(value, before[key]) for key, value in backbone.named_buffers())
    backbone.train()(x, label)
    assert all(not torch.equal(value, before[key]) for key, value in backbone.named_buffers())
    assert not any(isinstance(module, nn.GroupNorm) for module in backbone.modules())


def test_channels_last_is_the_same_function(shaken):
    network = UNet(channels=8, multipliers=(1, 2), groups=4, blocks=1, heads=2, time_dim=8, down="max-pool", stem=2)
    backbone = shaken(network, (3, 9, 14))
    fast = copy.deepcopy(backbone).to(memory_format=torch.channels_last)
    x, label = torch.randn(2, 3, 9, 14, dtype=torch.float64), torch.tensor([1.0, 700.0], dtype=torch.float64)
    assert_close(fast(x, label), backbone(x, label), rtol=1e-10, atol=1e-10)


def test_channels_last_weights_keep_every_activation_channels_last(shaken):
    network = UNet(channels=8, multipliers=(1, 2), groups=4, blocks=1, heads=2, time_dim=8)
    backbone = shaken(network, (1, 8, 8)).to(memory_format=torch.channels_last)
    strayed = []

    def watch(module, args, out):
        if out.ndim == 4 and not out.is_contiguous(memory_format=torch.channels_last):
            strayed.append(type(module).__name__)

    for module in backbone.modules():
        if not isinstance(module, nn.ModuleList) and type(module).__name__ != "Stage":
            module.register_forward_hook(watch)
    backbone(torch.randn(2, 1, 8, 8, dtype=torch.float64), torch.tensor([1.0, 2.0]))
    assert strayed == []


def test_attention_is_softmax_attention():
    torch.manual_seed(0)
    layer = Attention(2, 6, 3, "group", 2, 1.0).double()
    nn.init.normal_(layer.out.weight)
    x = torch.randn(2, 6, 3, 4, dtype=torch.float64)
    tokens = F.group_norm(x, 2).flatten(2).mT
    q, k, v = (tokens @ w.T + b for w, b in zip(layer.qkv.weight.chunk(3), layer.qkv.bias.chunk(3), strict=True))
    heads = []
    for a in (slice(0, 2), slice(2, 4), slice(4, 6)):
        weights = (q[..., a] @ k[..., a].mT / 2**0.5).softmax(-1)
        heads.append(weights @ v[..., a])
    expected = x + (torch.cat(heads, -1) @ layer.out.weight.T).mT.reshape(x.shape)
    assert_close(layer(x), expected, rtol=1e-10, atol=1e-10)


def test_plain_attention_agrees_with_the_fused_one(shaken):
    backbone = shaken(SMALL, (1, 8, 8), double=False)
    x, label = torch.randn(2, 1, 8, 8), torch.tensor([1.0, 500.0])
    with sdpa_kernel(SDPBackend.MATH):
        plain = backbone(x, label)
    assert_close(backbone(x, label), plain, rtol=1e-4, atol=1e-4)


def test_shuffle_is_pixel_shuffle_and_moves_cells_in_any_dimension():
    x = torch.randn(2, 12, 3, 4)
    assert torch.equal(shuffle(x, 2), F.pixel_shuffle(x, 2))
    line = torch.arange(6.0).view(1, 3, 2)
    assert torch.equal(shuffle(line, 3), torch.tensor([[[0.0, 2.0, 4.0, 1.0, 3.0, 5.0]]]))
    cube = shuffle(torch.arange(8.0).view(1, 8, 1, 1, 1), 2)
    assert torch.equal(cube, torch.arange(8.0).view(1, 1, 2, 2, 2))


def test_a_cell_of_the_stem_carries_all_its_values():
    """With a stem of 2, a one-level network can still give every value its own output."""
    torch.manual_seed(0)
    backbone = UNet(channels=16, multipliers=(1,), blocks=1, groups=1, attention=(), stem=2).build(DataSpec((1, 4, 4)))
    nn.init.normal_(backbone.head.weight)
    x = torch.randn(1, 1, 4, 4)
    jacobian = torch.autograd.functional.jacobian(lambda y: backbone(y, torch.tensor([1.0])), x).reshape(16, 16)
    assert torch.linalg.matrix_rank(jacobian) == 16


@pytest.mark.parametrize("n", [1, 2, 3, 8, 9])
@pytest.mark.parametrize("space", [1, 2, 3])
def test_every_way_down_gives_the_halved_size(space, n):
    x = torch.randn(1, 4, *([n] * space))
    expected = halved((n,) * space)
    for layer in (convolution(space, 4, 4, stride=2), Pool("max-pool"), Pool("average-pool")):
        assert layer(x).shape[2:] == expected
    for name in ("nearest", "bilinear"):
        assert interpolate(layer(x), (n,) * space, name).shape == x.shape


def test_an_odd_end_is_averaged_over_what_is_left():
    assert_close(Pool("average-pool")(torch.tensor([[[1.0, 3.0, 7.0]]])), torch.tensor([[[2.0, 7.0]]]))


@pytest.mark.parametrize(("channels", "groups", "taken"), [(64, 8, 8), (12, 8, 4), (7, 8, 1), (9, 6, 3)])
def test_groups_fit_the_channels(channels, groups, taken):
    assert normalisation("group", 2, channels, groups).num_groups == taken
