import pytest
import torch

from fokker.draw.values import on_host, padded, quantiles, span, value_range


def test_values_come_to_the_host():
    x = torch.arange(6.0, dtype=torch.float64, requires_grad=True).reshape(3, 2)
    assert on_host(x, 2).tolist() == [[0, 1], [2, 3]]
    assert on_host(x).dtype == torch.float32 and not on_host(x).requires_grad
    assert on_host(x).shape == (3, 2)


def test_quantiles_leave_out_what_is_not_finite():
    x = torch.tensor([0.0, float("nan"), 1.0, float("inf"), 2.0, float("-inf")])
    assert quantiles(x, 0.0, 0.25, 1.0) == [0.0, 0.5, 2.0]
    assert quantiles(torch.full((3,), float("nan")), 0.0, 1.0) == [0.0, 0.0]


def test_quantiles_of_many_values_take_some_spread_evenly():
    x = torch.linspace(0, 1, 3_000_000)
    assert quantiles(x, 0.0, 0.3, 1.0) == pytest.approx([0, 0.3, 1], abs=1e-4)


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (torch.rand(1000), (0, 1)),
        (torch.rand(1000).round(), (0, 1)),
        (torch.cat([torch.zeros(600), torch.linspace(0, 1, 400)]) + 0.01 * torch.linspace(-2, 2, 1000), (0, 1)),
        (torch.tensor([3.0, 3.0, 3.0]), (2.5, 3.5)),
        (torch.tensor([-5.0, 5.0]).repeat(100), (-5, 5)),
        (torch.zeros(7), (-0.5, 0.5)),
        (torch.cat([255 * torch.rand(20_000), torch.tensor([1e9])]), pytest.approx((2.55, 252.45), rel=0.2)),
    ],
)
def test_range_is_that_of_images_where_it_can_be(x, expected):
    assert value_range(x) == expected


def test_span_leaves_outliers_out():
    x = torch.linspace(-1, 1, 1001)
    assert span(x) == pytest.approx((-1, 1))
    assert span(torch.cat([x, torch.tensor([100.0])])) == pytest.approx((-1, 1 + 0.96), abs=0.05)
    assert span(torch.cat([x, torch.tensor([-1.5])])) == pytest.approx((-1.5, 1), abs=0.05)
    assert span(torch.tensor([2.0, 2.0])) == (2, 2)


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.0), (3.0, 3.0), (-1e30, -1e30), (0.0, 1e-30), (-2.0, 5.0)])
def test_ends_of_an_axis_are_apart(low, high):
    bottom, top = padded(low, high, 0.1)
    assert bottom < low and high < top
    if low < high:
        assert (bottom, top) == pytest.approx((low - 0.1 * (high - low), high + 0.1 * (high - low)), rel=1e-12, abs=0)
