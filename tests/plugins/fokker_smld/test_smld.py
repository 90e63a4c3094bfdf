import pytest
import torch
from torch.testing import assert_close

from fokker.errors import ConfigError
from fokker.exact import Gaussian, Mixture
from fokker.grid import Knots
from fokker.model import Counted
from fokker.noise import PerSample, Recorded
from fokker.perturbation import VE, VP
from fokker.sampler import Claims, trajectory
from fokker.table import Sigmas
from fokker.testing.moments import affine_map
from fokker_sde.pc import Identity, PredictorCorrector
from fokker_smld.annealed_langevin import AnnealedLangevin
from fokker_smld.smld import SMLD

D = torch.float64
P = Sigmas(minimum=0.1, maximum=2.0, levels=6)
GRID = Knots().times(P, 5)


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=D, generator=torch.Generator().manual_seed(seed))


MODEL = Mixture(P, torch.ones(2), normal(2, 3), torch.tensor([0.1, 0.5]))


def run(sampler, x, noise, model=MODEL, final="none"):
    for state in trajectory(model, sampler, GRID, noise, x, final=final):
        x = state.x
    return x


def test_it_is_annealed_langevin_dynamics_between_identities():
    x = normal(5, 3)
    composed = PredictorCorrector(Identity(), AnnealedLangevin(step=0.1, form="smld", temperature=0.9), 3)
    named = SMLD(step=0.1, form="smld", temperature=0.9, steps_per_level=3)
    ends = [run(sampler, x, PerSample(0, range(5), (3,))) for sampler in (named, composed)]
    assert torch.equal(*ends)
    assert named.claims == composed.claims == Claims(evaluations=3, at_end=3, stochastic=True)


@pytest.mark.parametrize("updates", [3, 4])
def test_the_published_loop_of_smld(updates):
    # alpha_i = alpha sigma_i^2 / sigma_L^2 with K updates a level, or the K + 1 of a loop that counts from 0 to K; no
    # noise in the very last one
    alpha, x, draws = 0.1, normal(5, 3), normal(6 * updates, 5, 3, seed=1)
    found = run(SMLD(step=alpha, form="smld", steps_per_level=updates), x, Recorded(draws), final="mean")
    noise = iter(draws)
    for i in range(5, -1, -1):
        a = alpha * float(P.table[i] / P.table[-1]) ** 2
        for k in range(updates):
            last = i == 0 and k == updates - 1
            z = torch.zeros_like(x) if last else next(noise)
            x = x + a * MODEL(x, float(P.knots[i])).score + (2 * a) ** 0.5 * z
    assert_close(found, x, rtol=1e-9, atol=1e-9)


def test_the_published_loop_of_ncsn():
    # Song & Ermon (2019), algorithm 1: alpha_i = eps sigma_i^2 / sigma_min^2, with alpha_i / 2 and sqrt(alpha_i)
    eps, x, draws = 0.004, normal(5, 3), normal(6 * 2, 5, 3, seed=1)
    found = run(SMLD(step=eps / 2, form="ncsn", steps_per_level=2), x, Recorded(draws))
    noise = iter(draws)
    for i in range(5, -1, -1):
        alpha = eps * float(P.table[i] / P.table[0]) ** 2
        for _ in range(2):
            x = x + alpha / 2 * MODEL(x, float(P.knots[i])).score + alpha**0.5 * next(noise)
    assert_close(found, x, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("p", [P, VE(), VP()], ids=lambda p: type(p).__name__)
def test_the_three_forms_are_one_step_in_three_units(p):
    t = torch.tensor([0.9, 0.5, 0.3], dtype=D)
    largest, smallest = p.sigma(torch.tensor([1.0, p.t_min], dtype=D)) ** 2
    base = AnnealedLangevin(step=0.2).coefficients(p, t)
    for form, unit in (("smld", largest), ("ncsn", smallest)):
        found = AnnealedLangevin(step=0.2 * float(unit), form=form).coefficients(p, t)
        assert all(torch.allclose(found[k], base[k], rtol=1e-12) for k in base)


def test_ncsns_form_needs_a_smallest_noise():
    p = VP(t_min=0.0)
    with pytest.raises(ConfigError, match=r"form = 'ncsn' needs a smallest noise above 0"):
        AnnealedLangevin(form="ncsn").coefficients(p, torch.tensor([0.5], dtype=D))


def test_evaluations_are_levels_times_steps_and_one_for_the_last_denoising():
    for final, more in (("tweedie", 1), ("mean", 0), ("none", 0)):
        counted = Counted(MODEL)
        run(SMLD(steps_per_level=4), normal(2, 3), PerSample(0, range(2), (3,)), counted, final)
        assert counted.calls == 6 * 4 + more


# Exact standard deviations on Gaussian data from a start of U[0, 1], variance 1/12, before and after denoising, with
# the published constants of NCSNv2 for CIFAR-10 and of NCSN, in their own form
@pytest.mark.parametrize(
    ("p", "eps", "updates", "data", "none", "tweedie"),
    [
        (Sigmas(minimum=0.01, maximum=50.0, levels=232), 6.2e-6, 5, 0.25, 0.26698312, 0.26655663),
        (Sigmas(minimum=0.01, maximum=50.0, levels=232), 6.2e-6, 5, 0.5, 0.53365053, 0.53343715),
        (Sigmas(minimum=0.01, maximum=1.0, levels=10), 2e-5, 100, 0.25, 0.25403055, 0.25362475),
    ],
    ids=["NCSNv2 0.25", "NCSNv2 0.5", "NCSN 0.25"],
)
def test_the_law_with_published_constants_is_exact(p, eps, updates, data, none, tweedie):
    model = Gaussian(p, torch.zeros(1), torch.tensor(data**2, dtype=D))
    sampler = SMLD(step=eps, form="ncsn", steps_per_level=updates)
    grid = Knots().times(p, p.levels - 1)
    for final, expected in (("none", none), ("tweedie", tweedie)):
        found = affine_map(sampler, model, grid, final=final)
        _, variance = found.push(torch.zeros(1, dtype=D), torch.eye(1, dtype=D) / 12)
        assert variance.item() ** 0.5 == pytest.approx(expected, abs=5.1e-9)


def test_it_finds_the_weights_of_modes_that_plain_langevin_dynamics_cannot_find():
    p = Sigmas(minimum=0.05, maximum=8.0, levels=20)
    means = torch.tensor([[-2.0, 0.0], [2.0, 0.0]], dtype=D)
    model = Mixture(p, torch.tensor([0.8, 0.2]), means, torch.tensor([0.01, 0.01]))
    grid, n = Knots().times(p, 19), 4000
    x = p.prior_std * PerSample(0, range(n), (2,))(torch.empty(n, 2, dtype=D))
    sampler = SMLD(step=0.1, steps_per_level=30)
    for state in trajectory(model, sampler, grid, PerSample(1, range(n), (2,)), x):
        x = state.x
    assert float((x[:, 0] < 0).double().mean()) == pytest.approx(0.8, abs=0.03)
