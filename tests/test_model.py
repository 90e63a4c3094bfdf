import pytest
import torch
from torch import nn
from torch.testing import assert_close

from fokker.label import CNoise, Index, ThousandTime
from fokker.model import Counted, NetworkModel, rates_at
from fokker.parameterization import EDM, Energy, Eps, Velocity
from fokker.perturbation import VP
from fokker.table import Betas

D = torch.float64


class Spy(nn.Module):
    """Remembers what it is shown and answers with sines, example by example."""

    def forward(self, x, label, cond=None):
        self.seen = x, label, cond
        return (x + label.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1))).sin()


def model(parameterization=None, label=None, p=None):
    return NetworkModel(Spy(), p or VP(), parameterization or Eps(), label or ThousandTime())


@pytest.mark.parametrize("shape", [(3, 2), (3, 16), (3, 1, 128), (3, 3, 17, 23), (3, 1, 8, 9, 10)])
@pytest.mark.parametrize("dtype", [torch.float32, D])
def test_the_network_sees_scaled_states_and_one_label_per_example(shape, dtype):
    m, x = model(EDM(), CNoise()), torch.ones(shape, dtype=dtype)
    cond = {"label": torch.zeros(3)}
    prediction = m(x, 0.3, cond)
    seen, label, passed = m.backbone.seen
    alpha, sigma = VP().scales(0.3, x)
    assert_close(seen, x / ((alpha * 0.5) ** 2 + sigma**2) ** 0.5)
    assert label.shape == (3,) and label.dtype == dtype and passed is cond
    assert_close(label.double(), torch.full((3,), -VP().log_snr(torch.tensor(0.3, dtype=D)).item() / 8, dtype=D))
    for name in ("score", "eps", "x0", "v", "velocity"):
        value = getattr(prediction, name)
        assert value.shape == shape and value.dtype == dtype


@pytest.mark.parametrize("parameterization", [Eps(), EDM(), Velocity()], ids=repr)
def test_one_time_for_all_and_one_per_example_agree(parameterization):
    m, x = model(parameterization), torch.randn(2, 3, 4, dtype=D, generator=torch.Generator().manual_seed(0))
    for t in (torch.tensor(0.3, dtype=D), torch.tensor([0.3, 0.3], dtype=D)):
        for name in ("score", "eps", "x0", "v", "velocity"):
            assert_close(getattr(m(x, t), name), getattr(m(x, 0.3), name), rtol=1e-13, atol=1e-13)


def test_each_example_has_its_own_time():
    m, x = model(EDM()), torch.randn(2, 3, 4, dtype=D, generator=torch.Generator().manual_seed(0))
    both = m(x, torch.tensor([0.3, 0.9], dtype=D))
    for i, t in enumerate((0.3, 0.9)):
        for name in ("score", "x0", "velocity"):
            assert_close(getattr(both, name)[i : i + 1], getattr(m(x[i : i + 1], t), name), rtol=1e-13, atol=1e-13)


def test_levels_reach_the_network_as_whole_numbers():
    m = model(label=Index(), p=Betas(steps=4))
    m(torch.zeros(3, 2), 0.5)
    assert m.backbone.seen[1].dtype == torch.int64 and m.backbone.seen[1].tolist() == [2, 2, 2]
    m(torch.zeros(2, 2), torch.tensor([0.25, 1.0]))
    assert m.backbone.seen[1].tolist() == [1, 4]


def test_the_label_is_computed_in_double_precision():
    m = model()
    m(torch.zeros(1, 2), torch.tensor(0.7, dtype=D))
    assert m.backbone.seen[1].item() == torch.tensor(700.0).item()


def test_a_counted_model_is_the_model_and_counts():
    inner = model()
    counted, x = Counted(inner), torch.ones(2, 3)
    assert counted.perturbation is inner.perturbation and counted.calls == 0
    assert_close(counted(x, 0.5).x0, inner(x, 0.5).x0)
    counted(x, 0.4)
    assert counted.calls == 2


def test_rates_are_shaped_like_the_scales():
    x = torch.zeros(2, 3, 4)
    assert all(isinstance(rate, float) for rate in rates_at(VP(), 0.5, x)())
    assert rates_at(VP(), torch.tensor(0.5), x)() == pytest.approx(rates_at(VP(), 0.5, x)())
    each = rates_at(VP(), torch.tensor([0.5, 0.6]), x)()
    assert all(rate.shape == (2, 1, 1) and rate.dtype == torch.float32 for rate in each)
    assert [rate[0].item() for rate in each] == pytest.approx(rates_at(VP(), 0.5, x)(), rel=1e-6)


class Bowl(nn.Module):
    """An energy of one number, k |x|^4 / 4."""

    def __init__(self):
        super().__init__()
        self.k = nn.Parameter(torch.tensor(0.5, dtype=D))

    def forward(self, x, label, cond=None):
        return self.k * x.flatten(1).square().sum(1, keepdim=True) ** 2 / 4


def bowl():
    return NetworkModel(Bowl(), VP(), Energy(), ThousandTime())


@pytest.mark.parametrize("shape", [(2,), (2, 3, 1)])
def test_the_score_of_an_energy_is_minus_its_slope(shape):
    x = torch.randn(5, *shape, dtype=D, generator=torch.Generator().manual_seed(0))
    square = x.flatten(1).square().sum(1).reshape(-1, *[1] * len(shape))
    m, t = bowl(), torch.linspace(0.1, 0.9, 5, dtype=D)
    for when in (0.5, t):
        score = m(x, when).score
        assert_close(score, -0.5 * square * x)
        assert score.requires_grad and not x.requires_grad
        with torch.no_grad():
            found = m(x, when).score
        assert_close(found, score.detach(), rtol=0, atol=0)
        assert not found.requires_grad


def test_outputs_of_an_energy_are_summed():
    class Square(nn.Module):
        def forward(self, x, label, cond=None):
            return x**2

    x = torch.randn(3, 4, dtype=D, generator=torch.Generator().manual_seed(0))
    assert_close(NetworkModel(Square(), VP(), Energy(), ThousandTime())(x, 0.5).score, -2 * x)


def test_an_energy_is_differentiated_again_in_its_weights_and_in_the_data():
    m, x = bowl(), torch.tensor([[1.0, 2.0]], dtype=D, requires_grad=True)
    score = m(x, 0.5).score
    (slope,) = torch.autograd.grad(score.sum(), m.backbone.k, retain_graph=True)
    assert_close(slope, torch.tensor(-15.0, dtype=D))
    (row,) = torch.autograd.grad(score[0, 0], x)
    assert_close(row, -0.5 * torch.tensor([[5.0 + 2.0, 4.0]], dtype=D))
    assert m.backbone.k.grad is None and x.grad is None


def test_a_label_is_evaluated_once_and_filled_in():
    class Slow(ThousandTime):
        def __call__(self, perturbation, t):
            asked.append(t.item())
            return super().__call__(perturbation, t)

    asked = []
    m = model(label=Slow())
    for dtype in (torch.float32, D, torch.float32):
        m(torch.ones(3, 2, dtype=dtype), 0.3)
        _, label, _ = m.backbone.seen
        assert label.dtype == dtype
        assert torch.equal(label, torch.full((3,), 300.0, dtype=dtype))
    assert asked == [0.3]
    for k in range(10000):
        m._label_at(k / 10000)
    assert len(m._labels) <= 8192
