import pytest
import torch
from torch.testing import assert_close

from fokker.errors import ConfigError
from fokker.exact import Gaussian, Mixture
from fokker.grid import Uniform
from fokker.noise import PerSample, Recorded, Zero
from fokker.perturbation import VE
from fokker.sampler import Claims, trajectory
from fokker.testing.moments import affine_map
from fokker_smld.annealed_langevin import AnnealedLangevin
from fokker_smld.langevin import GradientAscent, Langevin

D = torch.float64
P = VE(sigma_max=2.0)


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=D, generator=torch.Generator().manual_seed(seed))


MODEL = Mixture(P, torch.ones(2), normal(2, 3), torch.tensor([0.1, 0.5]))
GRID = Uniform(end=0.4).times(P, 5)


def run(sampler, x, noise, model=MODEL, grid=GRID, final="none"):
    return [state for state in trajectory(model, sampler, grid, noise, x, final=final)]


@pytest.mark.parametrize("relative", [True, False])
def test_every_step_of_the_grid_is_an_update_at_its_last_level(relative):
    # Welling & Teh (2011), eq. 4, with the whole gradient: e_k / 2 and sqrt(e_k), e_k = 2 a_k
    x, draws, t = normal(4, 3), normal(5, 4, 3, seed=1), 0.4
    found = run(Langevin(step=0.05, relative=relative, decay=0.9, temperature=0.7), x, Recorded(draws))
    unit = P.scales(t, x)[1] ** 2 if relative else 1
    assert [state.t for state in found] == [t] * 6 and torch.equal(found[0].x, x)
    for k in range(5):
        e = 2 * 0.05 * unit * 0.9**k
        x = x + e / 2 * MODEL(x, t).score + 0.7 * e**0.5 * draws[k]
        assert_close(found[k + 1].x, x, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("relative", [True, False])
def test_gradient_ascent_is_the_same_without_noise(relative):
    x = normal(4, 3)
    settings = {"step": 0.05, "relative": relative, "decay": 0.9}
    found, silent = run(GradientAscent(**settings), x, Recorded([])), run(Langevin(**settings), x, Zero())
    for a, b in zip(found, silent, strict=True):
        assert a.t == b.t and torch.equal(a.x, b.x)


def test_gradient_ascent_climbs_to_the_nearest_mode():
    means = torch.tensor([[-2.0, 1.0], [3.0, 0.0]], dtype=D)
    model = Mixture(P, torch.ones(2), means, torch.tensor([0.04, 0.04]))
    x = means.repeat_interleave(4, 0) + 0.2 * normal(8, 2)
    found = run(GradientAscent(step=0.02, relative=False), x, Zero(), model, Uniform().times(P, 200))
    densities = torch.stack([model.log_prob(state.x, 0.0) for state in found])
    assert bool((densities.diff(dim=0) > -1e-9).all())
    assert_close(found[-1].x, means.repeat_interleave(4, 0), rtol=1e-3, atol=1e-3)


def test_on_a_gaussian_the_law_comes_to_rest_where_its_formula_says():
    # x <- (1 - a / V) x + sqrt(2 a) z settles at the variance V / (1 - a / (2 V)), and at T^2 of it at temperature T
    model = Gaussian(P, torch.tensor([0.3, -1.0], dtype=D), torch.tensor([0.25, 1.7], dtype=D))
    grid = Uniform(end=0.7).times(P, 400)
    mean, covariance = model.marginal(0.7)
    a = 0.4 * P.scales(0.7, mean)[1] ** 2
    for temperature in (1.0, 0.5):
        law = affine_map(Langevin(step=0.4, temperature=temperature), model, grid)
        ends_at, spread = law.push(torch.zeros(2, dtype=D), torch.eye(2, dtype=D))
        v = covariance.diagonal()
        assert_close(ends_at, mean, rtol=1e-6, atol=1e-6)
        assert_close(spread, (temperature**2 * v / (1 - a / (2 * v))).diag(), rtol=1e-6, atol=1e-6)


def test_between_modes_it_keeps_the_weights_of_its_start():
    # why there are noise levels: 0.8 and 0.2 of the mass, and half of the starts on either side
    p = VE(sigma_min=0.01, sigma_max=20.0)
    means = torch.tensor([[-2.0, 0.0], [2.0, 0.0]], dtype=D)
    model = Mixture(p, torch.tensor([0.8, 0.2]), means, torch.tensor([0.01, 0.01]))
    x = means.repeat_interleave(100, 0)
    noise = PerSample(0, range(200), (2,))
    found = run(Langevin(step=0.01 / 4, relative=False), x, noise, model, Uniform().times(p, 300))[-1].x
    assert float((found[:, 0] < 0).double().mean()) == 0.5


def test_an_update_is_that_of_the_corrector():
    x, z = normal(4, 3), normal(1, 4, 3, seed=1)
    corrector = AnnealedLangevin(step=0.3)
    c = {k: float(v) for k, v in corrector.coefficients(P, torch.tensor(0.4, dtype=D)).items()}
    expected = corrector.correct(MODEL, x, 0.4, c, Recorded(z))
    found = run(Langevin(step=0.3), x, Recorded(z), grid=torch.tensor([1.0, 0.4], dtype=D))[-1].x
    assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_a_relative_step_means_the_same_for_data_of_any_scale():
    x, draws, ends = normal(4, 3), normal(5, 4, 3, seed=1), []
    for scale in (1.0, 100.0):
        p = VE(sigma_min=0.01 * scale, sigma_max=50 * scale)
        model = Gaussian(p, torch.zeros(3), torch.tensor(0.25 * scale**2))
        ends.append(run(Langevin(), scale * x, Recorded(draws), model)[-1].x / scale)
    assert_close(*ends, rtol=1e-10, atol=1e-10)


def test_a_mean_lacks_the_noise_of_the_last_update():
    x, draws = normal(4, 3), normal(5, 4, 3, seed=1)
    silent = draws.clone()
    silent[-1] = 0
    mean, wiped = (run(Langevin(), x, Recorded(d), final=f)[-1].x for d, f in ((draws[:-1], "mean"), (silent, "none")))
    assert torch.equal(mean, wiped)


def test_the_end_is_denoised_at_the_level_of_the_updates():
    x, draws = normal(4, 3), normal(5, 4, 3, seed=1)
    last, end = run(Langevin(), x, Recorded(draws), final="tweedie")[-2:]
    assert end.t == 0.0
    assert_close(end.x, MODEL(last.x, 0.4).x0)


def test_impossible_fields_are_refused():
    for cls in (Langevin, GradientAscent):
        with pytest.raises(ConfigError, match=rf"{cls.__name__}\.step must be greater than 0"):
            cls(step=0.0)
        with pytest.raises(ConfigError, match=rf"{cls.__name__}\.decay must be at most 1"):
            cls(decay=1.1)
    with pytest.raises(ConfigError, match=r"Langevin\.temperature must be greater than 0"):
        Langevin(temperature=0.0)


def test_no_claim_is_missing():
    # the kit measures what is claimed; a claim that is gone would only be skipped
    assert Langevin().claims == Claims(stochastic=True, stationary=True)
    assert Langevin(temperature=0.5).claims == Claims(stochastic=True)
    assert GradientAscent().claims == Claims()
