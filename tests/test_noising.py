import pytest
import torch
from torch.testing import assert_close

from fokker.errors import ConfigError
from fokker.noise import Seeded, Zero
from fokker.noising import noised
from fokker.perturbation import VE, VP, SubVP


@pytest.mark.parametrize("p", [VP(), SubVP(), VE(sigma_min=0.01, sigma_max=5.0)], ids=lambda p: type(p).__name__)
def test_each_state_has_the_law_of_its_time(p):
    x0 = torch.full((100_000, 1), 2.0, dtype=torch.float64)
    for t, x in noised(p, x0, [0.0, 0.1, 0.4, 1.0], Seeded(0)):
        at = torch.tensor(t, dtype=torch.float64)
        alpha, sigma = float(p.alpha(at)), float(p.sigma(at))
        assert float(x.mean()) == pytest.approx(2 * alpha, abs=5 * sigma / len(x) ** 0.5 + 1e-12)
        assert float(x.std()) == pytest.approx(sigma, rel=0.02, abs=1e-12)


def test_states_are_steps_of_one_path():
    p, x0 = VP(), torch.zeros(200_000, 1, dtype=torch.float64)
    (_, early), (_, late) = noised(p, x0, [0.2, 0.3], Seeded(0))
    a, _ = p.transition(*(torch.tensor(t, dtype=torch.float64) for t in (0.2, 0.3)))
    slope = float((early * late).mean() / (early * early).mean())
    assert slope == pytest.approx(float(a), abs=0.01)


def test_without_noise_the_data_only_fades():
    p, x0 = VP(), torch.tensor([[1.0, -2.0]], dtype=torch.float64)
    states = noised(p, x0, [0.0, 0.5, 0.5, 1.0], Zero())
    assert [t for t, _ in states] == [0.0, 0.5, 0.5, 1.0]
    for t, x in states:
        assert_close(x, p.alpha(torch.tensor(t, dtype=torch.float64)) * x0)
    assert_close(x0, torch.tensor([[1.0, -2.0]], dtype=torch.float64), rtol=0, atol=0)


def test_times_that_fall_are_refused():
    with pytest.raises(ConfigError, match="sort them"):
        noised(VP(), torch.zeros(1, 1), [0.5, 0.2], Zero())
