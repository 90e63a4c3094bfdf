import pytest
import torch
from torch import nn
from torch.testing import assert_close

from fokker.jacobian import leaf, quadratic_form, trace, twice_differentiable

D = torch.float64


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=D, generator=torch.Generator().manual_seed(seed))


A = normal(6, 6, seed=1)


def field(x):
    return (x.flatten(1) @ A).tanh().view_as(x)


def jacobians(x):
    """d field / d x of each example, (B, 6, 6), row by row: diag(1 - tanh^2) A^T."""
    return (1 - (x.flatten(1) @ A).tanh() ** 2)[:, :, None] * A.T


@pytest.mark.parametrize("grad", [True, False])
def test_the_trace_and_a_quadratic_form_are_those_of_the_jacobian(grad):
    x, v = normal(4, 2, 3), normal(4, 2, 3, seed=2)
    with torch.set_grad_enabled(grad), twice_differentiable():
        at = leaf(x)
        y = field(at)
        found = trace(y, at, create_graph=grad), quadratic_form(y, at, v, create_graph=grad)
    j, flat = jacobians(x), v.flatten(1)
    assert_close(found[0].detach(), j.diagonal(dim1=1, dim2=2).sum(1))
    assert_close(found[1].detach(), torch.einsum("bi,bij,bj->b", flat, j, flat))
    assert all(each.requires_grad == grad for each in found)
    assert not x.requires_grad


def test_both_can_be_differentiated_again():
    x, v = normal(3, 2, 3), normal(3, 2, 3, seed=2)
    scale = torch.tensor(1.5, dtype=D, requires_grad=True)
    at = leaf(x)
    for form in (lambda y: trace(y, at, create_graph=True), lambda y: quadratic_form(y, at, v, create_graph=True)):
        (slope,) = torch.autograd.grad(form(scale**2 * field(at)).sum(), scale)
        assert_close(slope, 2 * scale.detach() * form(field(at)).sum().detach())


def test_a_constant_has_no_derivative():
    x = leaf(normal(3, 2))
    for y in (torch.ones(3, 2, dtype=D), torch.ones(3, 2, dtype=D, requires_grad=True) * 2):
        assert_close(trace(y, x, create_graph=True).detach(), torch.zeros(3, dtype=D))
        assert_close(quadratic_form(y, x, x.detach(), create_graph=True).detach(), torch.zeros(3, dtype=D))


def test_attention_has_second_derivatives():
    """The fused kernels of attention have first derivatives only."""
    attention = nn.MultiheadAttention(4, 2, batch_first=True, dtype=D)
    x = normal(2, 3, 4)
    with torch.no_grad(), twice_differentiable():
        at = leaf(x)
        y, _ = attention(at, at, at, need_weights=False)
        form = quadratic_form(y, at, x, create_graph=True)
    form.sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in attention.parameters() if p.grad is not None)
    assert bool(attention.in_proj_weight.grad.abs().sum() > 0)
