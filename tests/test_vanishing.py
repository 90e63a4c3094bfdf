import pytest
import torch
from torch.testing import assert_close

from fokker.parameterization import Energy, Score
from fokker.vanishing import Vanishing

D = torch.float64
T = torch.tensor([0.0, 0.3, 1.0], dtype=D)


@pytest.mark.parametrize("sigma_data", [0.5, 30.0])
def test_the_noise_is_a_millionth_of_the_data(sigma_data):
    p = Vanishing(sigma_data=sigma_data)
    assert p.vanishing and p.prior_std == sigma_data
    assert float(p.sigma(T)[-1]) == pytest.approx(1e-6 * sigma_data, rel=1e-15)
    assert float(p.sigma(T)[0]) == pytest.approx(5e-7 * sigma_data, rel=1e-15)
    x0 = sigma_data * torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    assert_close(p.perturb(x0, T[-1], x0 / sigma_data), x0, rtol=2e-6, atol=0)


def test_all_times_but_nothing_else_are_told_apart():
    p = Vanishing()
    assert_close(p.time(p.log_snr(T)), T)
    assert p.knots is None and p.t_min == 0


@pytest.mark.parametrize("dtype", [D, torch.float32])
@pytest.mark.parametrize("t", [0.0, 1.0])
def test_eps_is_minus_sigma_score_to_rounding(t, dtype):
    score = torch.tensor([[3.0, -0.1]], dtype=dtype)
    x = torch.tensor([[1.0, 2.0]], dtype=dtype)
    alpha, sigma = Vanishing().scales(t, x)
    for read, output in ((Score(), score), (Energy(), -score)):
        prediction = read.predict(output, x, alpha, sigma)
        assert torch.equal(prediction.score, score)
        assert_close(prediction.eps / -sigma, score, rtol=4 * torch.finfo(dtype).eps, atol=0)
        assert_close(prediction.x0, x, rtol=1e-6, atol=0)
