"""The loop, and what every built-in sampler must do whatever its formula."""

import pytest
import torch
from torch.testing import assert_close

from fokker.errors import ConfigError
from fokker.exact import Gaussian, Mixture, PointMass
from fokker.grid import Uniform
from fokker.model import Counted
from fokker.noise import PerSample, Recorded, Seeded, Zero
from fokker.perturbation import VE, VP, SubVP, expand
from fokker.sampler import Claims, OneStep, State, add_noise, by_step, sample, trajectory
from fokker.table import Betas, Sigmas
from fokker.testing.moments import affine_map
from fokker.testing.order import measure_order, measure_weak_order
from fokker.vanishing import Vanishing
from fokker_ddpm.ancestral import Ancestral
from fokker_ddpm.ddim import DDIM
from fokker_ode.ode import ODE
from fokker_sde.euler_maruyama import EulerMaruyama
from fokker_sde.langevin import Langevin
from fokker_sde.pc import Identity, PredictorCorrector, Unchanged
from fokker_sde.reverse_diffusion import ReverseDiffusion
from fokker_smld.annealed_langevin import AnnealedLangevin

D = torch.float64
ONE_STEP = [
    Ancestral(),
    Ancestral(variance="forward"),
    DDIM(),
    DDIM(eta=0.5),
    DDIM(eta=1.0),
    EulerMaruyama(),
    ReverseDiffusion(),
    Identity(),
]
CORRECTORS = [Unchanged(), Langevin(), AnnealedLangevin(), AnnealedLangevin(temperature=0.0)]
COMPOSED = [
    PredictorCorrector(),
    PredictorCorrector(Ancestral(), Unchanged()),
    PredictorCorrector(Identity(), AnnealedLangevin(), corrections=3),
    PredictorCorrector(ReverseDiffusion(), Langevin(), corrections=2),
    PredictorCorrector(EulerMaruyama(), AnnealedLangevin(temperature=0.0)),
]
FIXED = [ODE(method=method) for method in ("euler", "midpoint", "heun2", "heun3", "rk4")]
ADAPTIVE = [ODE(rtol=1e-6, atol=1e-6)]
SAMPLERS = [*ONE_STEP, *COMPOSED, *FIXED, *ADAPTIVE]


def short(value):
    return repr(value).replace("PredictorCorrector", "PC")


every = pytest.mark.parametrize("sampler", SAMPLERS, ids=short)


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=D, generator=torch.Generator().manual_seed(seed))


def mixture(p=None, event=(2,)):
    means = normal(3, *event, seed=7)
    return Mixture(p or VP(), torch.tensor([0.2, 0.5, 0.3]), means, torch.tensor([0.05, 0.4, 1.3], dtype=D))


def gaussian(p=None):
    # several variances at once: on a scalar problem an error can cross zero and show any order
    mean = torch.tensor([0.3, -1.0, 2.0], dtype=D)
    return Gaussian(p or VP(), mean, torch.tensor([0.04, 0.25, 1.7], dtype=D))


def run(sampler, model, x, grid, noise, final="none"):
    for state in trajectory(model, sampler, grid, noise, x, final=final):
        x = state.x
    return x


class TestSampleIIsSampleI:
    """A sample depends on the seed, its index and the method, not on who else is in the batch."""

    grid = Uniform(end=0.05).times(VP(), 6)

    def sample(self, sampler, index, event):
        noise = PerSample(11, index, event)
        return sample(mixture(event=event), sampler, self.grid, noise, (len(index), *event), dtype=D)

    def compare(self, sampler, found, expected):
        if sampler.claims.shared_steps:  # within the tolerance, which the model's slope has amplified on the way
            assert_close(found, expected, rtol=0, atol=1000 * sampler.atol)
        else:
            assert_close(found, expected, rtol=1e-12, atol=1e-12)

    @every
    @pytest.mark.parametrize("event", [(2,), (1, 8, 9, 10)], ids=str)
    def test_alone_and_in_batches_of_3_and_7(self, sampler, event):
        together = self.sample(sampler, range(10), event)
        for first, batch in ((0, 1), (9, 1), (0, 3), (3, 7)):
            part = slice(first, first + batch)
            self.compare(sampler, self.sample(sampler, range(10)[part], event), together[part])

    @every
    def test_in_any_order(self, sampler):
        index = [9, 2, 5, 2]
        self.compare(sampler, self.sample(sampler, index, (2,)), self.sample(sampler, range(10), (2,))[index])

    @every
    def test_beside_an_outlier(self, sampler):
        x = normal(2, 2)
        x[1] = 1e4
        alone = run(sampler, mixture(), x[:1], self.grid, PerSample(0, [3], (2,)), "tweedie")
        beside = run(sampler, mixture(), x, self.grid, PerSample(0, [3, 4], (2,)), "tweedie")
        self.compare(sampler, beside[:1], alone)


class TestPurity:
    """Samplers keep no state, leave what they are given alone, and draw from `noise` only."""

    grid = Uniform().times(VP(), 6)

    @every
    def test_the_start_and_the_global_generator_are_left_alone(self, sampler):
        x = normal(3, 2)
        kept, before = x.clone(), torch.get_rng_state()
        run(sampler, mixture(), x, self.grid, Seeded(0), "tweedie")
        assert torch.equal(x, kept)
        assert torch.equal(torch.get_rng_state(), before)

    @every
    def test_a_second_run_is_the_first(self, sampler):
        x = normal(3, 2)
        first = run(sampler, mixture(), x, self.grid, Seeded(0))
        assert torch.equal(run(sampler, mixture(), x, self.grid, Seeded(0)), first)

    @every
    def test_interleaved_trajectories_do_not_disturb_each_other(self, sampler):
        x, y = normal(3, 2), normal(2, 2, seed=1)
        apart = [run(sampler, mixture(), x, self.grid, Seeded(0)), run(sampler, mixture(VE()), y, self.grid, Seeded(1))]
        one = trajectory(mixture(), sampler, self.grid, Seeded(0), x, final="none")
        two = trajectory(mixture(VE()), sampler, self.grid, Seeded(1), y, final="none")
        for a, b in zip(one, two, strict=True):
            ends = [a.x, b.x]
        assert torch.equal(ends[0], apart[0]) and torch.equal(ends[1], apart[1])

    @every
    def test_states_do_not_share_memory(self, sampler):
        states = list(trajectory(mixture(), sampler, self.grid, Seeded(0), normal(3, 2)))
        assert len({state.x.data_ptr() for state in states}) == len(states) == len(self.grid) + 1

    @every
    def test_times_of_the_states_are_the_grid(self, sampler):
        states = list(trajectory(mixture(), sampler, self.grid, Seeded(0), normal(3, 2), final="none"))
        assert [state.t for state in states] == self.grid.tolist()

    @every
    def test_shape_and_dtype_stay(self, sampler):
        grid = Uniform(end=0.5).times(VP(), 2)
        for event, dtype in [((16,), torch.float32), ((1, 128), D), ((3, 17, 23), torch.float32)]:
            states = list(trajectory(mixture(event=event), sampler, grid, Seeded(0), normal(2, *event).to(dtype)))
            assert all(state.x.shape == (2, *event) and state.x.dtype == dtype for state in states)
            assert all(bool(state.x.isfinite().all()) for state in states)

    @every
    def test_single_precision_follows_double_precision(self, sampler):
        draws = normal(50, 2, 2, seed=3)
        x = normal(2, 2)
        exact = run(sampler, mixture(), x, self.grid, Recorded(draws))
        assert_close(run(sampler, mixture(), x.float(), self.grid, Recorded(draws)).double(), exact, rtol=0, atol=1e-4)


class Draws(Zero):
    """Counts what is drawn."""

    count = 0

    def __call__(self, x, t=None, s=None):
        self.count += 1
        return super().__call__(x)


class TestClaims:
    @every
    def test_evaluations_are_as_many_as_claimed(self, sampler):
        claims = sampler.claims
        for steps in (1, 4):
            model = Counted(mixture())
            run(sampler, model, normal(3, 2), Uniform().times(VP(), steps), Zero())
            if claims.evaluations is None:
                assert model.calls > steps
            else:
                assert model.calls == steps * claims.evaluations + claims.at_end

    @every
    def test_the_end_by_tweedie_costs_one_evaluation(self, sampler):
        counts = []
        for final in ("none", "mean", "tweedie"):
            model = Counted(mixture())
            run(sampler, model, normal(3, 2), Uniform().times(VP(), 3), Zero(), final)
            counts.append(model.calls)
        assert counts[0] == counts[1] == counts[2] - 1

    @every
    def test_only_stochastic_samplers_draw(self, sampler):
        draws = Draws()
        run(sampler, mixture(), normal(3, 2), Uniform().times(VP(), 4), draws)
        assert (draws.count > 0) == sampler.claims.stochastic

    @pytest.mark.parametrize("corrector", CORRECTORS, ids=short)
    def test_only_stochastic_correctors_draw(self, corrector):
        draws, model = Draws(), Counted(mixture())
        c = by_step(corrector.coefficients(VP(), torch.tensor([0.3], dtype=D)))[0]
        corrector.correct(model, normal(3, 2), 0.3, c, draws)
        assert (draws.count > 0) == corrector.claims.stochastic
        assert model.calls == corrector.claims.evaluations

    @pytest.mark.parametrize("p", [VP(), VE(), SubVP()], ids=lambda p: type(p).__name__)
    @pytest.mark.parametrize("sampler", [s for s in SAMPLERS if s.claims.order], ids=short)
    def test_the_order_is_as_high_as_claimed(self, sampler, p):
        found = measure_order(sampler, gaussian(p), steps=(8, 16, 32, 64), start=0.5, end=0.2)
        assert found.order == pytest.approx(sampler.claims.order, abs=0.15)
        assert found.local_orders[-2:] == pytest.approx([sampler.claims.order] * 2, abs=0.15)

    @pytest.mark.parametrize("p", [VP(), VE(), SubVP()], ids=lambda p: type(p).__name__)
    @pytest.mark.parametrize("sampler", [s for s in SAMPLERS if s.claims.weak_order], ids=short)
    def test_the_weak_order_is_as_high_as_claimed(self, sampler, p):
        found = measure_weak_order(sampler, gaussian(p), start=0.5, end=0.2)
        assert found.order == pytest.approx(sampler.claims.weak_order, abs=0.15)
        assert found.local_orders[-2:] == pytest.approx([sampler.claims.weak_order] * 2, abs=0.15)

    @pytest.mark.parametrize("p", [VP(), VE(), SubVP(), Betas(), Sigmas()], ids=lambda p: type(p).__name__)
    @pytest.mark.parametrize("sampler", SAMPLERS[:7] + COMPOSED[:3] + FIXED, ids=short)
    def test_a_point_mass_is_carried_without_error_where_claimed(self, sampler, p):
        point = torch.tensor([0.5, -2.0], dtype=D)
        grid = torch.tensor([0.9, 0.6, 0.5, 0.2], dtype=D)
        (a, s), (b, r) = (p.scales(t, point) for t in (0.9, 0.2))
        mean, covariance = affine_map(sampler, PointMass(p, point), grid).push(a * point, s**2 * torch.eye(2, dtype=D))
        exact = torch.allclose(mean, b * point, rtol=1e-9) and torch.allclose(
            covariance, r**2 * torch.eye(2, dtype=D), rtol=1e-9, atol=1e-12
        )
        assert exact >= sampler.claims.exact_on_point_mass
        if p == VP():
            assert exact == sampler.claims.exact_on_point_mass

    @pytest.mark.parametrize("other", [VE(sigma_min=1e-4, sigma_max=1e4), SubVP()], ids=lambda p: type(p).__name__)
    @pytest.mark.parametrize("sampler", SAMPLERS[:7] + COMPOSED + FIXED, ids=short)
    def test_states_over_alpha_depend_on_log_snr_alone_where_claimed(self, sampler, other):
        first = torch.linspace(0.8, 0.1, 8, dtype=D)
        second = other.time(VP().log_snr(first))
        draws, x = normal(60, 4, 3, seed=3), normal(4, 3)
        ends = []
        for p, grid in ((VP(), first), (other, second)):
            alpha, _ = p.scales(float(grid[0]), x)
            last, _ = p.scales(float(grid[-1]), x)
            ends.append(run(sampler, gaussian(p), alpha * x, grid, Recorded(draws)) / last)
        assert torch.allclose(*ends, rtol=1e-7, atol=1e-7) == sampler.claims.schedule_invariant

    def test_a_corrector_takes_the_claims_of_its_predictor_away(self):
        assert PredictorCorrector(DDIM(), Unchanged()).claims.order == 1
        claims = PredictorCorrector(DDIM(), AnnealedLangevin()).claims
        assert claims == Claims(evaluations=2, at_end=1, stochastic=True)
        assert PredictorCorrector(Identity(), Langevin(), corrections=5).claims.evaluations == 5


class TestEnd:
    grid = Uniform().times(VP(), 4)

    @every
    def test_tweedie_appends_the_expected_data(self, sampler):
        x = normal(3, 2)
        states = list(trajectory(mixture(), sampler, self.grid, Seeded(0), x))
        before = list(trajectory(mixture(), sampler, self.grid, Seeded(0), x, final="none"))
        assert len(states) == len(before) + 1 == len(self.grid) + 1
        assert all(torch.equal(a.x, b.x) for a, b in zip(states, before, strict=False))
        assert states[-1].t == 0.0
        assert torch.equal(states[-1].x, mixture()(before[-1].x, before[-1].t).x0)

    @pytest.mark.parametrize("sampler", [s for s in SAMPLERS if s.claims.stochastic], ids=short)
    def test_a_mean_lacks_the_very_last_draw_and_no_other(self, sampler):
        draws = Draws()
        x, z = normal(3, 2), normal(60, 3, 2, seed=1)
        run(sampler, mixture(), x, self.grid, draws)
        silent = z[: draws.count].clone()
        silent[-1] = 0
        expected = run(sampler, mixture(), x, self.grid, Recorded(silent))
        # one draw fewer is asked for: a record without it suffices
        assert torch.equal(run(sampler, mixture(), x, self.grid, Recorded(z[: draws.count - 1]), "mean"), expected)

    @pytest.mark.parametrize("sampler", [s for s in SAMPLERS if not s.claims.stochastic], ids=short)
    def test_without_noise_a_mean_is_the_state_itself(self, sampler):
        x = normal(3, 2)
        ends = [run(sampler, mixture(), x, self.grid, Zero(), final) for final in ("mean", "none")]
        assert torch.equal(*ends)


class TestOneStep:
    @pytest.mark.parametrize("sampler", ONE_STEP, ids=short)
    @pytest.mark.parametrize("event", [(2,), (1, 3, 2)], ids=str)
    def test_examples_may_start_and_land_at_their_own_times(self, sampler, event):
        model, x, z = mixture(event=event), normal(3, *event), normal(3, *event, seed=1)
        t, s = torch.tensor([0.9, 0.5, 0.1], dtype=D), torch.tensor([0.3, 0.45, 0.02], dtype=D)
        c = {name: expand(value, x) for name, value in sampler.coefficients(VP(), t, s).items()}
        together = sampler.step(model, x, t, s, c, Recorded([z]))
        for i, one in enumerate(by_step(sampler.coefficients(VP(), t, s))):
            row = slice(i, i + 1)
            alone = sampler.step(model, x[row], float(t[i]), float(s[i]), one, Recorded([z[row]]))
            assert_close(together[row], alone, rtol=1e-12, atol=1e-12)

    @pytest.mark.parametrize("corrector", CORRECTORS, ids=short)
    @pytest.mark.parametrize("event", [(2,), (1, 3, 2)], ids=str)
    def test_examples_may_be_corrected_at_their_own_times(self, corrector, event):
        model, x, z = mixture(event=event), normal(3, *event), normal(3, *event, seed=1)
        t = torch.tensor([0.9, 0.5, 0.1], dtype=D)
        c = {name: expand(value, x) for name, value in corrector.coefficients(VP(), t).items()}
        together = corrector.correct(model, x, t, c, Recorded([z]))
        for i, one in enumerate(by_step(corrector.coefficients(VP(), t))):
            row = slice(i, i + 1)
            alone = corrector.correct(model, x[row], float(t[i]), one, Recorded([z[row]]))
            assert_close(together[row], alone, rtol=1e-12, atol=1e-12)

    @pytest.mark.parametrize("sampler", ONE_STEP, ids=short)
    def test_coefficients_belong_to_their_step_alone(self, sampler):
        grid = Uniform().times(VP(), 5)
        whole = by_step(sampler.coefficients(VP(), grid[:-1], grid[1:]))
        for k in range(5):
            one = by_step(sampler.coefficients(VP(), grid[k : k + 1], grid[k + 1 : k + 2]))[0]
            assert one == pytest.approx(whole[k], rel=1e-14)

    @pytest.mark.parametrize("p", [VP(), VE(), SubVP(), Betas(), Sigmas()], ids=lambda p: type(p).__name__)
    @pytest.mark.parametrize("sampler", ONE_STEP, ids=short)
    def test_a_step_to_where_it_starts_does_nothing(self, sampler, p):
        t, x = torch.tensor([0.4], dtype=D), normal(3, 2)
        c = by_step(sampler.coefficients(p, t, t))[0]
        assert_close(sampler.step(mixture(p), x, 0.4, 0.4, c, Seeded(0)), x, rtol=1e-12, atol=1e-12)

    def test_coefficients_become_floats_step_by_step(self):
        assert by_step({"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([3.0, 4.0])}) == [
            {"a": 1.0, "b": 3.0},
            {"a": 2.0, "b": 4.0},
        ]


class TestLoop:
    def test_a_grid_that_does_not_decrease_is_refused_before_any_step(self):
        model = Counted(mixture())
        with pytest.raises(
            ConfigError, match=r"A grid decreases strictly; grid\[0\] = 0.4 is followed by grid\[1\] = 0.5"
        ):
            run(DDIM(), model, normal(3, 2), torch.tensor([0.4, 0.5], dtype=D), Zero())
        assert model.calls == 0

    def test_samples_start_from_the_prior(self):
        class Nothing(OneStep):
            claims = Claims(evaluations=0)

            def coefficients(self, p, t, s):
                return {}

            def trajectory(self, model, x, grid, noise, cond=None):
                yield State(float(grid[-1]), x)

            def step(self, model, x, t, s, c, noise, cond=None):
                raise NotImplementedError

        p, grid = VE(sigma_max=20.0), Uniform().times(VE(), 3)
        z = normal(4, 2)
        found = sample(mixture(p), Nothing(), grid, Recorded([z]), (4, 2), dtype=D, final="none")
        assert torch.equal(found, 20 * z)

    def test_samples_have_the_asked_dtype(self):
        grid = Uniform().times(VP(), 3)
        assert sample(mixture(), DDIM(), grid, Seeded(0), (2, 2)).dtype == torch.float32
        assert sample(mixture(), DDIM(), grid, Seeded(0), (2, 2), dtype=D).dtype == D

    @every
    def test_conditions_reach_the_model(self, sampler):
        seen = []

        class Conditional(Counted):
            def __call__(self, x, t, cond=None):
                seen.append(cond)
                return super().__call__(x, t, cond)

        cond = {"label": torch.zeros(3)}
        for _ in trajectory(
            Conditional(mixture()), sampler, Uniform().times(VP(), 2), Seeded(0), normal(3, 2), cond=cond
        ):
            pass
        assert seen and all(c is cond for c in seen)

    def test_no_gradients_are_kept(self):
        x = normal(3, 2).requires_grad_()
        assert not run(DDIM(), mixture(), x, Uniform().times(VP(), 2), Zero()).requires_grad

    @pytest.mark.parametrize("on", [True, False])
    def test_a_caller_keeps_its_own_mode_of_gradients(self, on):
        modes = []

        class Watched(Counted):
            def __call__(self, x, t, cond=None):
                modes.append(torch.is_grad_enabled())
                return super().__call__(x, t, cond)

        with torch.set_grad_enabled(on):
            for _ in trajectory(Watched(mixture()), DDIM(), Uniform().times(VP(), 3), Zero(), normal(3, 2)):
                assert torch.is_grad_enabled() is on
            sample(Watched(mixture()), DDIM(), Uniform().times(VP(), 3), Seeded(0), (2, 2))
            assert torch.is_grad_enabled() is on
        assert modes == [False] * 8

    @every
    def test_a_caller_may_stop_early(self, sampler):
        model = Counted(mixture())
        for state in trajectory(model, sampler, Uniform().times(VP(), 50), Seeded(0), normal(3, 2)):
            if state.t < 0.9:
                break
        assert sampler in ADAPTIVE or model.calls < 60


def test_noise_of_no_size_is_not_drawn():
    x = normal(3, 2)
    assert add_noise(x, 0.0, Recorded([])) is x
    z = normal(3, 2, seed=1)
    assert_close(add_noise(x.clone(), 0.5, Recorded([z])), x + 0.5 * z)
    factor = torch.tensor([[0.0], [0.5], [1.0]], dtype=x.dtype)
    assert_close(add_noise(x.clone(), factor, Recorded([z])), x + factor * z)


def test_ancestral_sampling_draws_nothing_into_clean_data():
    p = Betas(steps=4)
    model, drawn = gaussian(p), Recorded([normal(3, 3, seed=k) for k in range(3)])
    times = torch.tensor([0.75, 0.5, 0.25, 0.0], dtype=D)
    *_, last = trajectory(model, Ancestral(), times, drawn, normal(3, 3), final="none")
    assert last.x.isfinite().all()
    assert len(list(drawn._draws)) == 1


def test_coefficients_that_are_not_finite_are_refused_by_the_number_of_their_step():
    coefficients = {"x": torch.ones(3, dtype=D), "eps": torch.tensor([1.0, 2.0, float("nan")], dtype=D)}
    with pytest.raises(ConfigError, match="Step 3 of 3 has no finite coefficient 'eps': sigma is 0 at the last time"):
        by_step(coefficients)


def test_a_sampler_that_needs_noise_is_refused_where_there_is_none():
    model, grid = gaussian(Vanishing()), Uniform().times(Vanishing(), 3)
    with pytest.raises(ConfigError, match="DDIM lives on noise, and Vanishing has none"):
        sample(model, DDIM(), grid, Seeded(0), (4, 3), dtype=D)


def test_sampling_without_noise_starts_as_wide_as_the_data():
    class Still(Identity):
        @property
        def claims(self):
            return Claims(evaluations=0, without_noise=True)

    p = Vanishing(sigma_data=3.0)
    x = sample(gaussian(p), Still(), Uniform().times(p, 2), Seeded(0), (4, 3), final="none", dtype=D)
    assert_close(x, 3.0 * Seeded(0)(x))
