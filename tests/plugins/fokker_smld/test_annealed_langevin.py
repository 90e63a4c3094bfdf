import pytest
import torch
from torch.testing import assert_close

from fokker.errors import ConfigError
from fokker.exact import Gaussian, Mixture
from fokker.grid import Knots
from fokker.noise import Recorded
from fokker.perturbation import VE, VP
from fokker.sampler import Claims, by_step, trajectory
from fokker.table import Sigmas
from fokker.testing.moments import affine_map
from fokker_sde.pc import Identity, PredictorCorrector
from fokker_smld.annealed_langevin import AnnealedLangevin

D = torch.float64


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=D, generator=torch.Generator().manual_seed(seed))


def update(corrector, model, x, t, noise):
    c = by_step(corrector.coefficients(model.perturbation, torch.tensor([t], dtype=D)))[0]
    return corrector.correct(model, x, t, c, noise)


def smld(p, step, corrections):
    return PredictorCorrector(Identity(), AnnealedLangevin(step=step), corrections)


def test_smld_is_the_loop_of_ncsn():
    # Song & Ermon (2019), algorithm 1, with its code's update: alpha_i = eps (sigma_i / sigma_L)^2, largest level first
    p, eps, updates = Sigmas(minimum=0.1, maximum=2.0, levels=6), 0.002, 3
    model = Mixture(p, torch.ones(2), normal(2, 3), torch.tensor([0.1, 0.5]))
    x, draws = normal(5, 3), normal(6 * updates, 5, 3, seed=1)
    for state in trajectory(model, smld(p, eps / 0.1**2, updates), Knots().times(p, 5), Recorded(draws), x):
        found = state.x
    noise = iter(draws)
    for i in range(5, -1, -1):
        alpha = eps * float(p.table[i] / p.table[0]) ** 2
        for _ in range(updates):
            x = x + alpha * model(x, float(p.knots[i])).score + (2 * alpha) ** 0.5 * next(noise)
    assert next(noise, None) is None
    # Song & Ermon (2020), section 3.4: the last denoising x + sigma^2 score
    assert_close(found, x + 0.1**2 * model(x, 0.0).score, rtol=1e-9, atol=1e-9)


# Exact standard deviations on Gaussian data from a start of U[0, 1], variance 1/12, before and after denoising; the
# constants are the published ones of NCSNv2 for CIFAR-10 (eps 6.2e-6, 5 updates) and of NCSN (2e-5, 100 updates)
@pytest.mark.parametrize(
    ("p", "eps", "updates", "data", "none", "tweedie"),
    [
        (Sigmas(minimum=0.01, maximum=50.0, levels=232), 6.2e-6, 5, 0.25, 0.26698312, 0.26655663),
        (Sigmas(minimum=0.01, maximum=50.0, levels=232), 6.2e-6, 5, 0.5, 0.53365053, 0.53343715),
        (Sigmas(minimum=0.01, maximum=1.0, levels=10), 2e-5, 100, 0.25, 0.25403055, 0.25362475),
    ],
    ids=["NCSNv2 0.25", "NCSNv2 0.5", "NCSN 0.25"],
)
def test_the_law_of_smld_is_exact(p, eps, updates, data, none, tweedie):
    model = Gaussian(p, torch.zeros(1), torch.tensor(data**2, dtype=D))
    grid = Knots().times(p, p.levels - 1)
    for final, expected in (("none", none), ("tweedie", tweedie)):
        found = affine_map(smld(p, eps / p.minimum**2, updates), model, grid, final=final)
        _, variance = found.push(torch.zeros(1, dtype=D), torch.eye(1, dtype=D) / 12)
        assert variance.item() ** 0.5 == pytest.approx(expected, abs=5.1e-9)


@pytest.mark.parametrize("p", [VP(), VE(sigma_max=2.0)], ids=lambda p: type(p).__name__)
def test_small_steps_leave_the_law_in_place(p):
    t, one = 0.4, torch.eye(3, dtype=D)
    model = Gaussian(p, torch.tensor([0.3, -1.0, 2.0], dtype=D), torch.tensor([0.0, 0.25, 1.7], dtype=D))
    mean, covariance = model.marginal(t)
    errors = []
    for step in (0.1, 0.01):
        corrector = AnnealedLangevin(step=step)
        still = torch.zeros(3, 3, dtype=D)
        offset = update(corrector, model, still, t, Recorded([still]))
        matrix = (update(corrector, model, one, t, Recorded([still])) - offset).T
        noise = update(corrector, model, still, t, Recorded([one])) - offset
        assert_close(matrix @ mean + offset[0], mean, rtol=1e-12, atol=1e-12)
        # the fixed point of V -> (1 - a / V)^2 V + 2 a is V / (1 - a / (2 V_true))
        a = step * p.scales(t, one)[1] ** 2
        settled = noise.diagonal() ** 2 / (1 - matrix.diagonal() ** 2)
        assert_close(settled, covariance.diagonal() / (1 - a / (2 * covariance.diagonal())), rtol=1e-10, atol=0)
        errors.append((settled - covariance.diagonal()).abs().max().item())
    assert errors[0] / errors[1] == pytest.approx(10, rel=0.1)


def test_the_temperature_multiplies_the_noise():
    # it then samples p^(1 / T^2): on a Gaussian the settled variance is T^2 times the true one
    p, x, z = VE(sigma_max=2.0), normal(4, 3), normal(4, 3, seed=1)
    model = Gaussian(p, torch.zeros(3), torch.tensor(0.25))
    mean = update(AnnealedLangevin(temperature=0.0), model, x, 0.4, Recorded([]))
    full = update(AnnealedLangevin(), model, x, 0.4, Recorded([z])) - mean
    assert_close(update(AnnealedLangevin(temperature=0.3), model, x, 0.4, Recorded([z])) - mean, 0.3 * full)
    _, sigma = p.scales(0.4, x)
    assert_close(full, (2 * 0.2) ** 0.5 * sigma * z)
    assert_close(mean, x + 0.2 * sigma**2 * model(x, 0.4).score)


def test_nothing_changes_when_the_data_is_scaled():
    x, z = normal(4, 3), normal(4, 3, seed=1)
    ends = []
    for scale in (1.0, 100.0):
        p = VE(sigma_min=0.01 * scale, sigma_max=50 * scale)
        model = Gaussian(p, torch.zeros(3), torch.tensor(0.25 * scale**2))
        ends.append(update(AnnealedLangevin(), model, scale * x, 0.3, Recorded([z])) / scale)
    assert_close(*ends, rtol=1e-10, atol=1e-10)


def test_both_fields_change_an_update_and_are_checked():
    model, x, z = Gaussian(VP(), torch.zeros(3), torch.tensor(0.25)), normal(4, 3), normal(4, 3, seed=1)
    base = update(AnnealedLangevin(), model, x, 0.3, Recorded([z]))
    for other in (AnnealedLangevin(step=0.1), AnnealedLangevin(temperature=0.5)):
        assert not torch.allclose(update(other, model, x, 0.3, Recorded([z])), base)
    with pytest.raises(ConfigError, match=r"AnnealedLangevin\.step must be greater than 0"):
        AnnealedLangevin(step=0.0)
    with pytest.raises(ConfigError, match=r"AnnealedLangevin\.temperature must be at least 0"):
        AnnealedLangevin(temperature=-1.0)


def test_no_claim_is_missing():
    # the kit measures what is claimed; a claim that is gone would only be skipped
    assert AnnealedLangevin().claims == Claims(stochastic=True, stationary=True)
    assert AnnealedLangevin(temperature=0.5).claims == Claims(stochastic=True)
    assert AnnealedLangevin(temperature=0.0).claims == Claims()
