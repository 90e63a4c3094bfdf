"""Sampling in chunks: sample i is sample i, at the price that is claimed, in memory that does not grow."""

import itertools

import pytest
import torch

from fokker.data import Chain
from fokker.exact import Gaussian, Mixture
from fokker.grid import Karras, Uniform
from fokker.guidance import Guidance
from fokker.label import LogSNR
from fokker.model import NetworkModel, ScoreModel
from fokker.network import DataSpec
from fokker.parameterization import EDM
from fokker.perturbation import VP
from fokker.sampling import generate
from fokker_data.transforms import Standardise
from fokker_ddpm.ancestral import Ancestral
from fokker_ddpm.ddim import DDIM
from fokker_networks.mlp import MLP
from fokker_ode.ode import ODE
from fokker_sde.euler_maruyama import EulerMaruyama
from fokker_sde.langevin import Langevin
from fokker_sde.pc import Identity, PredictorCorrector, Unchanged

P = VP()
SAMPLERS = [
    Ancestral(),
    DDIM(),
    DDIM(eta=0.7),
    EulerMaruyama(),
    PredictorCorrector(),
    PredictorCorrector(predictor=Ancestral(), corrector=Langevin(), corrections=3),
    PredictorCorrector(predictor=Identity()),
    PredictorCorrector(predictor=Ancestral(), corrector=Unchanged()),
    ODE(method="rk4"),
    ODE(method="euler"),
]


def mixture(shape=(3,)):
    means = torch.arange(2.0).reshape(2, *[1] * len(shape)).expand(2, *shape) * 3 - 1
    return Mixture(P, torch.tensor([0.3, 0.7]), means, torch.tensor([0.2, 0.5]))


def network(shape=(3,), classes=None):
    torch.manual_seed(0)
    backbone = MLP(width=8, depth=1, embedding_width=8).build(DataSpec(shape, classes)).double().eval()
    with torch.no_grad():
        for p in backbone.parameters():
            p.normal_(std=0.3)
    return NetworkModel(backbone, P, EDM(), LogSNR())


def draw(model, sampler, n, *, shape=(3,), classes=None, steps=5, chain=None, **options):
    grid = Karras().times(P, steps)
    spec = DataSpec(shape, classes)
    return list(generate(model, chain or Chain(), spec, sampler, grid, n=n, dtype=torch.float64, **options))


def together(chunks):
    return torch.cat([chunk.x for chunk in chunks])


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
@pytest.mark.parametrize("make", [mixture, network])
def test_sample_i_is_sample_i(sampler, make):
    model = make()
    whole = together(draw(model, sampler, 15, seed=3))
    assert whole.shape == (15, 3) and whole.dtype == torch.float32
    for batch_size in (1, 3, 7):
        torch.testing.assert_close(together(draw(model, sampler, 15, seed=3, batch_size=batch_size)), whole)
    for first, n in ((4, 1), (6, 9)):
        part = draw(model, sampler, n, seed=3, first=first, batch_size=4)
        assert part[0].first == first
        torch.testing.assert_close(together(part), whole[first : first + n])
    assert not torch.equal(together(draw(model, sampler, 15, seed=4)), whole)


@pytest.mark.parametrize("shape", [(16,), (1, 128), (3, 17, 23), (1, 8, 9, 10)])
def test_samples_of_any_shape(shape):
    whole = together(draw(mixture(shape), Ancestral(), 6, shape=shape))
    parts = draw(mixture(shape), Ancestral(), 6, shape=shape, batch_size=4)
    assert [chunk.x.shape for chunk in parts] == [(4, *shape), (2, *shape)]
    torch.testing.assert_close(together(parts), whole)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
@pytest.mark.parametrize("final", ["tweedie", "mean", "none"])
def test_the_network_is_evaluated_as_often_as_claimed(sampler, final):
    for steps in (1, 4):
        chunks = draw(mixture(), sampler, 5, steps=steps, final=final, batch_size=3)
        expected = steps * sampler.claims.evaluations + sampler.claims.at_end + (final == "tweedie")
        assert [chunk.nfe for chunk in chunks] == [expected, expected]


def test_the_ends_differ():
    tweedie, mean, none = (together(draw(mixture(), Ancestral(), 4, final=f)) for f in ("tweedie", "mean", "none"))
    assert not torch.equal(tweedie, none) and not torch.equal(mean, none)


class Spy(ScoreModel):
    """Remembers the labels that it is called with, and whether a gradient would be kept."""

    def __init__(self, model):
        self.model, self.labels = model, []

    @property
    def perturbation(self):
        return self.model.perturbation

    def __call__(self, x, t, cond=None):
        self.labels.append(None if cond is None else cond["label"].tolist())
        assert not torch.is_grad_enabled()
        return self.model(x, t, cond)


def test_labels_take_turns_unless_one_is_given():
    for label, expected in ((None, [[2, 0, 1], [2, 0]]), (1, [[1, 1, 1], [1, 1]])):
        spy = Spy(mixture())
        chunks = draw(spy, DDIM(), 5, first=5, classes=3, label=label, batch_size=3, steps=2)
        assert [chunk.labels.tolist() for chunk in chunks] == expected
        assert spy.labels == [expected[0]] * 3 + [expected[1]] * 3
    spy = Spy(mixture())
    assert draw(spy, DDIM(), 2)[0].labels is None
    assert set(spy.labels) == {None}


def test_a_label_makes_a_difference_to_its_sample_alone():
    model = network(classes=3)
    each = [together(draw(model, DDIM(), 4, classes=3, label=k)) for k in range(3)]
    turns = together(draw(model, DDIM(), 4, classes=3))
    assert not torch.equal(each[0], each[1])
    torch.testing.assert_close(turns, torch.stack([each[i % 3][i] for i in range(4)]))


def test_nothing_is_done_before_it_is_asked_for():
    spy = Spy(mixture())
    chunks = generate(spy, Chain(), DataSpec((3,)), DDIM(), Uniform().times(P, 2), n=10**12, batch_size=2)
    assert not spy.labels
    firsts = [chunk.first for chunk in itertools.islice(chunks, 3)]
    assert firsts == [0, 2, 4]
    assert len(spy.labels) == 9


def test_samples_come_in_the_datas_own_units():
    chain = Chain((Standardise(mean=(5.0, 6.0, 7.0), std=(2.0, 3.0, 4.0)),))
    plain, scaled = (together(draw(mixture(), DDIM(), 4, chain=c)) for c in (Chain(), chain))
    torch.testing.assert_close(scaled, plain * torch.tensor([2.0, 3.0, 4.0]) + torch.tensor([5.0, 6.0, 7.0]))


def test_the_states_start_from_the_prior():
    chunk = draw(mixture(), DDIM(), 4000, keep_states=2, keep_samples=4000, batch_size=4000)[0]
    t, x = chunk.states[0]
    assert t == pytest.approx(1.0)
    assert abs(float(x.mean())) < 0.05 and abs(float(x.std()) - P.prior_std) < 0.05


@pytest.mark.parametrize("sampler", [DDIM(), PredictorCorrector(), ODE(method="rk4")], ids=str)
@pytest.mark.parametrize("final", ["tweedie", "none"])
def test_trajectories_keep_a_few_states_of_a_few_samples(sampler, final):
    states_in_all = 6 + (final == "tweedie")
    for keep in (0, 1, 2, 4, 7, 100):
        chunks = draw(mixture(), sampler, 9, batch_size=5, keep_states=keep, keep_samples=3, final=final)
        assert chunks[1].states == ()
        states = chunks[0].states
        assert len(states) == min(keep, states_in_all)
        times = [t for t, _ in states]
        assert times == sorted(times, reverse=True)
        if keep:
            assert times[-1] == pytest.approx(0.0 if final == "tweedie" else P.t_min)
            torch.testing.assert_close(states[-1][1], chunks[0].x[:3])
        if keep > 1:
            assert times[0] == pytest.approx(1.0)
        for _, x in states:
            assert x.shape == (3, 3)
            assert x.untyped_storage().nbytes() == 3 * 3 * 4  # no view of a larger batch
    whole = draw(mixture(), sampler, 9, final=final)
    torch.testing.assert_close(together(chunks), together(whole))


def test_states_of_a_sampler_with_steps_of_its_own_end_with_the_sample():
    """One that reports more or fewer states than the grid has."""

    class Every(DDIM):
        def trajectory(self, model, x, grid, noise, cond=None):
            for state in super().trajectory(model, x, grid, noise, cond):
                yield state
                yield state

    class First(DDIM):
        def trajectory(self, model, x, grid, noise, cond=None):
            states = list(super().trajectory(model, x, grid, noise, cond))
            yield states[0]
            yield states[-1]

    for kind in (Every, First):
        for keep in (1, 2, 3, 5):
            chunk = draw(mixture(), kind(), 4, keep_states=keep, final="none")[0]
            assert 1 <= len(chunk.states) <= keep
            torch.testing.assert_close(chunk.states[-1][1], chunk.x)


def test_progress_counts_every_step_of_every_sample():
    counts = []
    draw(mixture(), DDIM(), 7, batch_size=4, steps=6, on_step=counts.append)
    assert counts == [4] * 7 + [3] * 7


class Shifted(Guidance):
    """Evaluates the model twice and moves x0."""

    def __init__(self, factor):
        self.factor = factor

    def wrap(self, model):
        factor = self.factor

        class Guided(ScoreModel):
            perturbation = model.perturbation

            def __call__(self, x, t, cond=None):
                model(x, t, cond)
                return model(factor * x, t, cond)

        return Guided()


def test_guidance_is_counted_and_the_first_is_the_innermost():
    plain = draw(mixture(), DDIM(), 3)[0]
    once = draw(mixture(), DDIM(), 3, guidance=[Shifted(2.0)])[0]
    assert once.nfe == 2 * plain.nfe
    assert not torch.equal(once.x, plain.x)
    order = []

    class Named(Shifted):
        def wrap(self, model):
            order.append((self.factor, type(model).__name__))
            return super().wrap(model)

    twice = draw(mixture(), DDIM(), 3, guidance=[Named(1.0), Named(2.0)])[0]
    assert twice.nfe == 4 * plain.nfe
    assert order == [(1.0, "Counted"), (2.0, "Guided")]


def test_an_adaptive_solver_agrees_with_itself_within_its_tolerance():
    sampler = ODE(rtol=1e-6, atol=1e-6)
    assert sampler.claims.shared_steps
    whole = together(draw(mixture(), sampler, 6))
    alone = together(draw(mixture(), sampler, 6, batch_size=1))
    torch.testing.assert_close(alone, whole, rtol=1e-4, atol=1e-4)


def test_the_law_is_that_of_the_model():
    """Gaussian data through an exact score: mean and covariance of many samples."""
    covariance = torch.tensor([[1.0, 0.6, 0.0], [0.6, 0.8, 0.1], [0.0, 0.1, 0.3]])
    mean = torch.tensor([1.0, -2.0, 0.5])
    x = together(draw(Gaussian(P, mean, covariance), ODE(method="rk4"), 20_000, steps=15, batch_size=5000))
    torch.testing.assert_close(x.mean(0), mean, rtol=0, atol=0.03)
    torch.testing.assert_close(x.T.cov(), covariance, rtol=0, atol=0.04)
