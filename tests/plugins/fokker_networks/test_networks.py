"""What holds for both networks, on every event shape."""

import dataclasses

import pytest
import torch
from torch.testing import assert_close

from fokker.errors import ConfigError
from fokker.network import DataSpec
from fokker_networks.mlp import MLP
from fokker_networks.unet import UNet

NETWORKS = [
    MLP(width=16, embedding_width=8),
    MLP(width=16, embedding_width=8, residual=False, activation="tanh", embedding="fourier"),
    UNet(channels=8, blocks=1, groups=4, time_dim=8),
    UNet(channels=4, multipliers=(2, 1, 3), groups=2, attention=(0, 1), heads=2, time_dim=8, time_to="input",
         up="bilinear", down="average-pool", norm="batch", stem=2, embedding="fourier", skip_scale=True),
    UNet(channels=4, multipliers=(1, 2), blocks=2, groups=2, attention=(), time_dim=8, down="max-pool", stem=3),
]  # fmt: skip


@pytest.fixture(params=NETWORKS, ids=["mlp", "mlp-plain", "unet", "unet-batch", "unet-stem"])
def network(request):
    return request.param


def inputs(shape, n=3, dtype=torch.float64):
    g = torch.Generator().manual_seed(1)
    return torch.randn(n, *shape, generator=g, dtype=dtype), 1000 * torch.rand(n, generator=g, dtype=dtype)


def test_output_has_the_shape_of_the_input(network, shape, shaken):
    x, label = inputs(shape, dtype=torch.float32)
    backbone = shaken(network, shape, double=False)
    for name, told in [("floating", label), ("int64", label.long()), ("float64", label.double())]:
        out = backbone(x, told)
        assert out.shape == x.shape and out.dtype == x.dtype, name
        assert out.isfinite().all(), name


def test_untrained_output_is_zero(network):
    torch.manual_seed(0)
    x, label = inputs((3, 9, 5), dtype=torch.float32)
    assert (network.build(DataSpec((3, 9, 5)))(x, label) == 0).all()


def test_a_row_does_not_know_its_neighbours(network, shape, shaken):
    x, label = inputs(shape)
    x[2] *= 1e3
    backbone = shaken(network, shape).eval()
    together = backbone(x, label)
    for i in range(3):
        assert_close(backbone(x[i : i + 1], label[i : i + 1])[0], together[i], rtol=1e-9, atol=1e-9)


def test_every_parameter_learns(network, shape, shaken):
    backbone = shaken(network, shape, classes=3)
    x, label = inputs(shape, 4)
    out = backbone(x, label, {"label": torch.tensor([0, 1, 2, 3])})
    (out * torch.randn_like(out)).sum().backward()
    for name, parameter in backbone.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        if parameter.numel() > 1:
            assert parameter.grad.abs().max() > 0, name


def test_the_time_and_the_data_matter_everywhere(network, shape, shaken):
    backbone = shaken(network, shape).eval()
    x, label = inputs(shape, 1)
    out = backbone(x, label)
    assert ((backbone(x, label + 100) - out).abs() > 1e-12).all()
    assert ((backbone(-x, label) - out).abs() > 1e-12).all()


def test_each_class_and_no_class_give_their_own_output(network, shaken):
    backbone = shaken(network, (1, 6), classes=2).eval()
    x, label = inputs((1, 6), 1)
    outs = [backbone(x, label, {"label": torch.tensor([k])}) for k in range(3)]
    for a, b in [(0, 1), (0, 2), (1, 2)]:
        assert (outs[a] - outs[b]).abs().max() > 1e-6
    assert_close(backbone(x, label), outs[2], rtol=0, atol=0)
    assert_close(backbone(x, label, {}), outs[2], rtol=0, atol=0)


def test_the_row_of_no_class_starts_at_zero(network):
    torch.manual_seed(0)
    table = network.build(DataSpec((2,), classes=4)).conditioning.table.weight
    assert table.shape[0] == 5
    assert (table[4] == 0).all() and (table[:4] != 0).all()


def test_a_seed_decides_the_initial_weights(network):
    def state(seed):
        torch.manual_seed(seed)
        return network.build(DataSpec((3, 5, 4), 2)).state_dict()

    one, same, other = state(3), state(3), state(4)
    assert all(torch.equal(value, same[key]) for key, value in one.items())
    assert any(not torch.equal(value, other[key]) for key, value in one.items())


def test_the_state_says_everything(network, shaken):
    spec = DataSpec((2, 9, 6))
    trained, fresh = shaken(network, (2, 9, 6), seed=0), network.build(spec).double()
    x, label = inputs((2, 9, 6))
    trained(x, label)  # batch statistics move
    fresh.load_state_dict(trained.state_dict())
    assert_close(fresh.eval()(x, label), trained.eval()(x, label), rtol=0, atol=0)


def test_evaluation_changes_nothing(network, shape, shaken):
    backbone = shaken(network, shape).eval()
    x, label = inputs(shape)
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    x_before = x.clone()
    assert torch.equal(backbone(x, label), backbone(x, label))
    assert torch.equal(x, x_before)
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())


def test_second_derivatives_exist(network, shaken):
    """As an energy or sliced score matching takes them: through the gradient in `x`, to the parameters."""
    backbone = shaken(network, (2, 5, 4))
    x, label = inputs((2, 5, 4))
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(backbone(x, label).square().sum(), x, create_graph=True)
    gradient.square().sum().backward()
    gradients = [p.grad for p in backbone.parameters() if p.grad is not None]
    assert gradients and all(g.isfinite().all() for g in gradients)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")  # torch's own, on first use
def test_forward_mode_agrees_with_reverse_mode(network, shaken):
    backbone = shaken(network, (2, 5, 4)).eval()
    x, label = inputs((2, 5, 4))
    v, w = torch.randn_like(x), torch.randn_like(x)
    _, forward = torch.func.jvp(lambda y: backbone(y, label), (x,), (v,))
    _, backward = torch.func.vjp(lambda y: backbone(y, label), x)
    assert_close((forward * w).sum(), (backward(w)[0] * v).sum(), rtol=1e-9, atol=1e-9)


def test_conditions_other_than_classes_are_refused(network):
    with pytest.raises(ConfigError, match=r"takes class labels only, but the data carries mel"):
        network.build(DataSpec((1, 16), condition={"mel": (80, 4)}))


CHANGES = [
    (MLP(width=8), {"width": 9, "depth": 2, "residual": False, "dropout": 0.5, "embedding": "fourier",
                    "embedding_width": 32, "activation": "gelu"}),
    (MLP(width=8, embedding="fourier"), {"fourier_scale": 2.0}),
    *[(MLP(width=8), {"activation": a}) for a in ("softplus", "elu", "relu", "tanh")],
    (UNet(channels=8, multipliers=(1, 2), time_dim=8, groups=4),
     {"channels": 12, "multipliers": (2, 2), "blocks": 1, "attention": (0,), "heads": 2, "dropout": 0.5,
      "norm": "batch", "groups": 2, "down": "max-pool", "up": "bilinear", "time_to": "input", "time_dim": 9,
      "embedding": "fourier", "stem": 2, "skip_scale": True}),
    (UNet(channels=8, multipliers=(1, 2), time_dim=8, embedding="fourier"), {"fourier_scale": 2.0}),
    (UNet(channels=8, multipliers=(1, 2), time_dim=8, down="max-pool"), {"down": "average-pool"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("base", "field", "value"),
    [(base, field, value) for base, changes in CHANGES for field, value in changes.items()],
    ids=lambda v: str(v) if not dataclasses.is_dataclass(v) else type(v).__name__,
)
def test_every_field_changes_the_output(base, field, value, shaken):
    x, label = inputs((2, 10, 7))

    def output(network):
        backbone = shaken(network, (2, 10, 7))
        torch.manual_seed(5)
        return backbone(x, label)

    assert (output(base) - output(dataclasses.replace(base, **{field: value}))).abs().max() > 1e-6


@pytest.mark.parametrize("cls", [MLP, UNet])
def test_no_field_is_missing_from_the_test_above(cls):
    tried = {field for base, changes in CHANGES if type(base) is cls for field in changes}
    assert tried == {field.name for field in dataclasses.fields(cls)}
