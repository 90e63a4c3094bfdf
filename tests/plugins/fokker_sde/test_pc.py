import pytest
import torch
from torch.testing import assert_close

from fokker.component import component
from fokker.errors import ConfigError
from fokker.exact import Mixture
from fokker.grid import Uniform
from fokker.model import Counted
from fokker.noise import PerSample, Recorded, Zero
from fokker.perturbation import VP
from fokker.sampler import Claims, by_step, trajectory
from fokker_ddpm.ancestral import Ancestral
from fokker_ddpm.ddim import DDIM
from fokker_sde.euler_maruyama import EulerMaruyama
from fokker_sde.langevin import Langevin
from fokker_sde.pc import Identity, PredictorCorrector, Unchanged
from fokker_sde.reverse_diffusion import ReverseDiffusion
from fokker_smld.annealed_langevin import AnnealedLangevin

D = torch.float64
P = VP()


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=D, generator=torch.Generator().manual_seed(seed))


MODEL = Mixture(P, torch.ones(3), normal(3, 2, seed=7), torch.tensor([0.05, 0.4, 1.3], dtype=D))


def run(sampler, x, grid, noise, final="none"):
    for state in trajectory(MODEL, sampler, grid, noise, x, final=final):
        x = state.x
    return x


@pytest.mark.parametrize("corrections", [1, 3])
@pytest.mark.parametrize("predictor", [ReverseDiffusion(), DDIM(), Identity()], ids=repr)
@pytest.mark.parametrize("corrector", [AnnealedLangevin(), Langevin()], ids=repr)
def test_it_corrects_at_every_level_and_predicts_between_them(predictor, corrector, corrections):
    # Song et al. (2021), algorithm 1, with the corrector at the last level too
    grid, x, noise = Uniform().times(P, 4), normal(3, 2), PerSample(0, range(3), (2,))
    found = run(PredictorCorrector(predictor, corrector, corrections), x, grid, PerSample(0, range(3), (2,)))
    predict = by_step(predictor.coefficients(P, grid[:-1], grid[1:]))
    correct = by_step(corrector.coefficients(P, grid))
    for k, t in enumerate(grid.tolist()):
        for _ in range(corrections):
            x = corrector.correct(MODEL, x, t, correct[k], noise)
        if k < 4:
            x = predictor.step(MODEL, x, t, float(grid[k + 1]), predict[k], noise)
    assert torch.equal(found, x)


class Heard(Zero):
    """Remembers for which steps it was asked."""

    def __init__(self):
        self.steps = []

    def __call__(self, x, t=None, s=None):
        self.steps.append((t, s))
        return super().__call__(x, t, s)


def test_states_and_steps_are_at_the_times_of_the_grid():
    grid, noise = Uniform().times(P, 3), Heard()
    states = list(PredictorCorrector(Ancestral(), AnnealedLangevin()).trajectory(MODEL, normal(3, 2), grid, noise))
    a, b, c, d = grid.tolist()
    assert [state.t for state in states] == [a, b, c, d]
    assert noise.steps == [(a, a), (a, b), (b, b), (b, c), (c, c), (c, d), (d, d)]


def test_a_grid_of_one_level_is_corrected_once():
    grid, x, z = torch.tensor([0.3], dtype=D), normal(3, 2), normal(3, 2, seed=1)
    c = by_step(AnnealedLangevin().coefficients(P, grid))[0]
    found = run(PredictorCorrector(Identity(), AnnealedLangevin()), x, grid, Recorded([z]))
    assert_close(found, AnnealedLangevin().correct(MODEL, x, 0.3, c, Recorded([z])))


def test_identity_and_unchanged_do_nothing():
    x = normal(3, 2)
    states = list(
        trajectory(MODEL, PredictorCorrector(Identity(), Unchanged()), Uniform().times(P, 3), Recorded([]), x)
    )
    assert all(torch.equal(state.x, x) for state in states[:-1]) and len(states) == 5


@pytest.mark.parametrize("corrector", [AnnealedLangevin(), Langevin()], ids=repr)
def test_a_mean_lacks_the_noise_of_the_last_correction(corrector):
    sampler, grid, x = PredictorCorrector(EulerMaruyama(), corrector, 2), Uniform().times(P, 2), normal(3, 2)
    draws = normal(8, 3, 2, seed=1)  # 2 predictions and 3 levels with 2 corrections each
    silent = draws.clone()
    silent[-1] = 0
    assert torch.equal(run(sampler, x, grid, Recorded(draws[:-1]), "mean"), run(sampler, x, grid, Recorded(silent)))


@pytest.mark.parametrize("corrector", [Unchanged(), AnnealedLangevin(temperature=0.0)], ids=repr)
def test_behind_a_silent_corrector_the_last_prediction_is_the_last_update(corrector):
    sampler, grid, x = PredictorCorrector(Ancestral(), corrector), Uniform().times(P, 3), normal(3, 2)
    draws = normal(3, 3, 2, seed=1)
    silent = draws.clone()
    silent[-1] = 0
    assert torch.equal(run(sampler, x, grid, Recorded(draws[:-1]), "mean"), run(sampler, x, grid, Recorded(silent)))


def test_a_deterministic_predictor_keeps_the_last_correction_s_noise_apart():
    sampler, grid, x = PredictorCorrector(DDIM(), AnnealedLangevin()), Uniform().times(P, 3), normal(3, 2)
    draws = normal(4, 3, 2, seed=1)
    silent = draws.clone()
    silent[-1] = 0
    assert torch.equal(run(sampler, x, grid, Recorded(draws[:-1]), "mean"), run(sampler, x, grid, Recorded(silent)))


@pytest.mark.parametrize(
    ("sampler", "evaluations"),
    [
        (PredictorCorrector(), 21),
        (PredictorCorrector(corrections=4), 54),
        (PredictorCorrector(Ancestral(), Unchanged()), 10),
        (PredictorCorrector(Identity(), Langevin(), corrections=2), 22),
    ],
    ids=range(4),
)
def test_evaluations_on_ten_steps(sampler, evaluations):
    model = Counted(MODEL)
    for _ in trajectory(
        model, sampler, Uniform().times(P, 10), PerSample(0, range(3), (2,)), normal(3, 2), final="none"
    ):
        pass
    assert model.calls == evaluations == 10 * sampler.claims.evaluations + sampler.claims.at_end


def test_the_default_is_the_signal_to_noise_ratio_of_the_source():
    # Song et al. (2021), appendix G: reverse diffusion and r = 0.16, where a step is 2 r^2 sigma^2
    sampler = PredictorCorrector()
    assert (sampler.predictor, sampler.corrections) == (ReverseDiffusion(), 1)
    assert sampler.corrector.step == pytest.approx(2 * 0.16**2, rel=0.03)


def test_every_field_changes_the_states():
    grid, x = Uniform().times(P, 4), normal(3, 2)

    def end(sampler):
        return run(sampler, x, grid, PerSample(0, range(3), (2,)))

    base = end(PredictorCorrector())
    for other in (
        PredictorCorrector(predictor=EulerMaruyama()),
        PredictorCorrector(corrector=Unchanged()),
        PredictorCorrector(corrections=2),
    ):
        assert not torch.allclose(base, end(other))


def test_impossible_fields_are_refused():
    with pytest.raises(ConfigError, match=r"PredictorCorrector\.corrections must be at least 1, got 0"):
        PredictorCorrector(corrections=0)
    with pytest.raises(ConfigError, match=r"PredictorCorrector\.predictor must be a OneStep"):
        PredictorCorrector(predictor=Langevin())


def test_the_parts_that_do_nothing_claim_no_evaluation():
    # the kit measures what is claimed; a claim that is gone would only be skipped
    assert Identity().claims == Claims(evaluations=0)
    assert Unchanged().claims == Claims(evaluations=0, stationary=True)


@component
class Searching(Identity):
    """Evaluates as often as it takes."""

    @property
    def claims(self):
        return Claims(evaluations=None)


@component
class Mending(Unchanged):
    """Evaluates as often as it takes."""

    @property
    def claims(self):
        return Claims(evaluations=None)


@pytest.mark.parametrize(("predictor", "corrector"), [(Searching(), Unchanged()), (Identity(), Mending())])
def test_evaluations_that_vary_are_not_added_up(predictor, corrector):
    assert PredictorCorrector(predictor, corrector).claims.evaluations is None


def test_a_corrector_leaves_the_predictor_few_claims():
    for predictor in (Ancestral(), DDIM()):
        assert PredictorCorrector(predictor, Unchanged()).claims == predictor.claims
    assert PredictorCorrector(DDIM(), AnnealedLangevin(), 3).claims == Claims(evaluations=4, at_end=3, stochastic=True)
    assert PredictorCorrector(Identity(), AnnealedLangevin(temperature=0.0)).claims == Claims(at_end=1)
