import pytest
import torch
from torch.testing import assert_close

from fokker.exact import Mixture
from fokker.grid import Knots, Uniform
from fokker.noise import PerSample
from fokker.sampler import Claims, trajectory
from fokker.testing.order import convergence
from fokker.testing.worlds import PERTURBATIONS
from fokker_sde.euler_maruyama import EulerMaruyama
from fokker_sde.milstein import Milstein, increment

D = torch.float64


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=D, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", [torch.float32, D], ids=str)
@pytest.mark.parametrize("p", PERTURBATIONS.values(), ids=PERTURBATIONS)
def test_it_is_euler_maruyama_bit_for_bit(p, dtype):
    # the noise is additive: g depends on time alone, so what Milstein adds vanishes
    model = Mixture(p, torch.ones(2), normal(2, 3), torch.tensor([0.1, 0.5]))
    x = (p.prior_std * normal(5, 3, seed=1)).to(dtype)
    grid = (Uniform() if p.knots is None else Knots()).times(p, 12)
    ways = [
        [state.x for state in trajectory(model, sampler, grid, PerSample(0, range(5), (3,)), x)]
        for sampler in (Milstein(), EulerMaruyama())
    ]
    assert all(torch.equal(a, b) for a, b in zip(*ways, strict=True))


def test_on_geometric_brownian_motion_it_has_strong_order_one_and_euler_maruyama_one_half():
    # dX = mu X dt + s X dW, whose solution X_0 exp((mu - s^2 / 2) t + s W_t) is known
    mu, s, finest, paths = 0.5, 1.0, 512, 8192
    fine = normal(finest, paths, seed=5)
    exact = torch.exp(torch.tensor(mu - s**2 / 2) + s * fine.sum(0) / finest**0.5)

    def error(n, milstein):
        root = (1 / n) ** 0.5
        x = torch.ones(paths, dtype=D)
        for z in fine.reshape(n, finest // n, paths).sum(1) / (finest // n) ** 0.5:
            x = x + mu * x / n + increment(s * x * root, s * root if milstein else 0.0, z)
        return float((x - exact).abs().mean())

    orders = {way: convergence(lambda n, way=way: error(n, way), (64, 128, 256, 512)) for way in (True, False)}
    assert orders[True].local_orders[-2:] == pytest.approx([1, 1], abs=0.15)
    assert orders[False].local_orders[-2:] == pytest.approx([0.5, 0.5], abs=0.15)


def test_the_increment_is_the_textbook_one():
    # Kloeden & Platen (1992), eq. 10.3.1: b dW + b b' (dW^2 - h) / 2
    b, slope, h, z = 1.7, 0.3, 0.04, normal(6)
    dw = h**0.5 * z
    expected = b * dw + b * slope * (dw**2 - h) / 2
    assert_close(increment(b * h**0.5, slope * h**0.5, z), expected, rtol=1e-12, atol=1e-14)


def test_no_claim_is_missing():
    # the kit measures what is claimed; a claim that is gone would only be skipped
    assert Milstein().claims == EulerMaruyama().claims == Claims(weak_order=1, strong_order=1, stochastic=True)
