"""What is measured, of which sample, and how it reaches the model."""

import pytest
import torch

from fokker.data import Chain
from fokker.errors import ConfigError, DataError, SingularError
from fokker.exact import Gaussian
from fokker.grid import LogSNR
from fokker.guidance import Subject
from fokker.model import ScoreModel
from fokker.network import DataSpec
from fokker.perturbation import VP, SubVP
from fokker.prediction import Prediction
from fokker.sampling import generate
from fokker_data.transforms import Range, Standardise
from fokker_ddpm.ddim import DDIM
from fokker_guidance.gradient import DPS, PiGDM
from fokker_guidance.inpaint import Inpaint
from fokker_guidance.linear import Colorize, Linear

SHAPE = (3, 4)
X = torch.rand(5, *SHAPE, generator=torch.Generator().manual_seed(1))
SCALED = (Range(-1.0, 1.0), Standardise(mean=(0.1, -0.2, 0.3), std=(0.5, 1.0, 2.0)))
ALL = [
    Inpaint(),
    Colorize(),
    Linear("average-2", noise=0.0),
    Linear("every-2", noise=0.3),
    PiGDM("top-0.34", noise=0.1),
    PiGDM("left", noise=0.0, spread="full"),
    DPS("identity", noise=0.4),
]


def law(shape=SHAPE):
    d = torch.Size(shape).numel()
    mix = torch.randn(d, d, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) / d**0.5
    return Gaussian(VP(), torch.zeros(shape), mix @ mix.T + 0.2 * torch.eye(d, dtype=torch.float64))


def draw(guidance, n, subject, **settings):
    settings = {"sampler": DDIM(eta=1.0), "batch_size": 4, "steps": 12, **settings}
    sampler, steps = settings.pop("sampler"), settings.pop("steps")
    grid = LogSNR().times(VP(), steps)
    model = settings.pop("model", law())
    chunks = generate(
        model, subject.chain, subject.spec, sampler, grid, n=n, guidance=guidance, data=subject.data, **settings
    )
    return torch.cat([c.x for c in chunks])


@pytest.mark.parametrize("guidance", ALL, ids=repr)
def test_a_sample_has_its_own_measurement_whatever_its_batch(guidance, subject):
    own = subject(X, *SCALED)
    whole = draw([guidance], 7, own)
    torch.testing.assert_close(draw([guidance], 7, own, batch_size=1), whole)
    torch.testing.assert_close(draw([guidance], 3, own, first=4), whole[4:])
    changed = X.clone()
    changed[2] += 0.3
    other = draw([guidance], 7, subject(changed, *SCALED))
    moved = (other != whole).flatten(1).any(1)
    assert moved.tolist() == [False, False, True, False, False, False, False]  # sample 2 has example 2, 5 example 0


def test_known_values_come_back(subject):
    own = subject(X, *SCALED)
    x = draw([Inpaint("left")], 7, own, steps=40)
    expected = X[[0, 1, 2, 3, 4, 0, 1]]
    torch.testing.assert_close(x[:, :, :2], expected[:, :, :2], rtol=0, atol=1e-4)
    assert (x - expected)[:, :, 2:].abs().min() > 1e-4


def test_measured_numbers_come_back(subject):
    own = subject(X, *SCALED)
    for guidance, measure in (
        (Colorize(), lambda x: x.mean(1)),
        (Linear("average-2", noise=0.0), lambda x: x.reshape(-1, 3, 2, 2).mean(3)),
        (PiGDM("every-2", noise=0.0), lambda x: x[:, :, ::2]),
        (PiGDM("every-2", noise=0.0, spread="full"), lambda x: x[:, :, ::2]),
    ):
        found, expected = measure(draw([guidance], 5, own, steps=100)), measure(X)
        torch.testing.assert_close(found, expected, rtol=0, atol=0.02)


def test_train_examples_are_measured_where_they_are_asked_for(subject):
    held = Inpaint(values="train").conditions(subject(X), [0])
    torch.testing.assert_close(held["Inpaint(mask='left', values='train').y"][0, :, :2], -X[0, :, :2].double())


def test_the_law_is_told_in_the_model_s_units(observed, subject, saved):
    """A measurement of scaled data is another measurement of the data as the model sees it."""
    prior = law()
    given = saved([[1.0, -2.0, 0.5] * 4, [0.0, 1.0, 0.0] * 4])
    told = observed(Linear(given, noise=0.3), prior, 1, subject(X, *SCALED)).posterior
    chain = Chain(SCALED)
    zero = chain.inverse(torch.zeros(1, *SHAPE, dtype=torch.float64)).flatten()
    scale = (chain.inverse(torch.ones(1, *SHAPE, dtype=torch.float64)).flatten() - zero).reshape(-1)
    rows = torch.tensor([[1.0, -2.0, 0.5] * 4, [0.0, 1.0, 0.0] * 4], dtype=torch.float64)
    y = Linear(given, noise=0.3).conditions(subject(X, *SCALED), [1])[f"{Linear(given, noise=0.3)!r}.y"][0]
    inside = saved(rows * scale, "inside.npy")
    values = tuple((y - rows @ zero).tolist())
    plain = observed(Linear(inside, values, 0.3), prior).posterior
    torch.testing.assert_close(told.mean, plain.mean)
    torch.testing.assert_close(told.covariance, plain.covariance)


def test_simulated_errors_have_the_noise_and_belong_to_the_sample(subject):
    guidance = Linear("identity", noise=0.2)
    own = subject(X)
    y = guidance.conditions(own, range(2000))[f"{guidance!r}.y"]
    off = y - X.double().flatten(1)[[i % 5 for i in range(2000)]]
    assert abs(float(off.std()) - 0.2) < 0.005 and abs(float(off.mean())) < 0.005
    again = guidance.conditions(own, [7, 1999])[f"{guidance!r}.y"]
    assert torch.equal(again, y[[7, 1999]])


def test_given_numbers_and_files(saved):
    plain = Subject(DataSpec(SHAPE))

    def y(values):
        guidance = Linear("top-0.34", values)
        return guidance.conditions(plain, [0, 1, 2])[f"{guidance!r}.y"].tolist()

    numbers = (1.0, 2.0, 3.0, 4.0)
    assert y(numbers) == [list(numbers)] * 3
    assert y(saved([1.0, 2.0, 3.0, 4.0])) == [list(numbers)] * 3
    assert y(saved([[1.0] * 4, [2.0] * 4])) == [[1.0] * 4, [2.0] * 4, [1.0] * 4]


def test_numbers_that_do_not_fit_are_refused(saved):
    plain = Subject(DataSpec(SHAPE))
    with pytest.raises(ConfigError, match="A measurement here has 4 numbers; got 2"):
        Linear("top-0.34", (1.0, 2.0)).conditions(plain, [0])
    with pytest.raises(DataError, match=r"has the shape \(3, 5\); a measurement here has 4 numbers"):
        Linear("top-0.34", saved(torch.ones(3, 5))).conditions(plain, [0])
    with pytest.raises(ConfigError, match="There is no data here whose test examples"):
        Linear().conditions(plain, [0])
    with pytest.raises(ConfigError, match="There are no values 'tests'"):
        Linear(values="tests").conditions(plain, [0])


def test_nan_is_not_known(subject):
    x = X.clone()
    x[1, 0, 0] = float("nan")
    guidance = Inpaint("left")
    known = guidance.conditions(subject(x), [0, 1])[f"{guidance!r}.known"]
    assert known[0, 0, 0] and not known[1, 0, 0]
    assert known.sum() == 2 * 6 - 1
    assert draw([guidance], 2, subject(x)).isfinite().all()
    with pytest.raises(ConfigError, match="are nan"):
        guidance.conditions(subject(torch.full((1, *SHAPE), float("nan"))), [0])


def test_every_sample_may_have_a_mask_of_its_own(subject, saved):
    masks = torch.zeros(2, *SHAPE)
    masks[0, 0], masks[1, 2] = 1, 1
    x = draw([Inpaint(saved(masks))], 3, subject(X), steps=40)
    for i, channel in enumerate((0, 2, 0)):
        torch.testing.assert_close(x[i, channel], X[i, channel], rtol=0, atol=1e-3)
        assert (x[i, 1] - X[i, 1]).abs().min() > 1e-3


def test_measurements_can_be_stacked(subject):
    """Left and right known: everything is."""
    x = draw([Inpaint("left"), Inpaint("right")], 3, subject(X), steps=40)
    torch.testing.assert_close(x, X[:3], rtol=0, atol=1e-3)


@pytest.mark.parametrize("outer", [PiGDM("right", noise=0.1), PiGDM("right", noise=0.1, spread="full"), DPS("right")])
def test_a_gradient_passes_through_a_gradient(outer, subject):
    """An outer measurement differentiates the inner guided model: it is the derivative, not the bare model's."""
    own = subject(X)
    inner = DPS("left", noise=0.5)
    cond = {**inner.conditions(own, [0, 1]), **outer.conditions(own, [0, 1])}
    model = inner.wrap(law())
    guided = outer.wrap(model)
    x = torch.randn(2, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        found = guided(x, 0.4, cond).score
        jacobian = numeric_jacobian(lambda x: model(x, 0.4, cond).x0, x)
        plain = model(x, 0.4, cond)

        class Linearised(ScoreModel):
            """The inner model to first order, so that its gradient is the one measured by differences."""

            perturbation = model.perturbation

            def __call__(self, at, t, cond=None):
                x0 = plain.x0 + torch.einsum("bij,bj->bi", jacobian, (at - x).flatten(1)).reshape(at.shape)
                return Prediction(at, plain.alpha, plain.sigma, x0=x0)

        expected = outer.wrap(Linearised())(x, 0.4, cond).score
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def numeric_jacobian(f, x, h=1e-5):
    columns = []
    for i in range(x[0].numel()):
        step = torch.zeros_like(x).flatten(1)
        step[:, i] = h
        step = step.reshape(x.shape)
        columns.append(((f(x + step) - f(x - step)) / (2 * h)).flatten(1))
    return torch.stack(columns, 2)


class Blunt(ScoreModel):
    """A model whose answer has no gradient."""

    perturbation = VP()

    def __call__(self, x, t, cond=None):
        alpha, sigma = self.perturbation.scales(t, x)
        return Prediction(x, alpha, sigma, x0=torch.zeros_like(x))


@pytest.mark.parametrize("guidance", [PiGDM(), DPS()], ids=repr)
def test_a_model_without_gradients_is_refused(guidance, subject):
    cond = guidance.conditions(subject(X), [0])
    with pytest.raises(ConfigError, match="this model gives none; use 'linear'"):
        guidance.wrap(Blunt())(torch.zeros(1, *SHAPE, dtype=torch.float64), 0.5, cond)


def test_many_numbers_with_the_full_covariance_are_refused(subject):
    guidance = PiGDM(spread="full")
    own = subject(torch.zeros(1, 65))
    with pytest.raises(ConfigError, match="at most 64; identity measures 65"):
        guidance.wrap(law((65,)))(torch.zeros(1, 65), 0.5, guidance.conditions(own, [0]))


def test_a_call_without_the_measurement_is_refused():
    for guidance in ALL:
        with pytest.raises(ConfigError, match=r"add what `Guidance.conditions` gives"):
            guidance.wrap(law())(torch.zeros(1, *SHAPE), 0.5)


def test_the_law_without_a_measurement_is_refused():
    for guidance in ALL:
        with pytest.raises(ConfigError, match=r"depends on what was measured|add what `Guidance.conditions`"):
            guidance.law(law())


def test_the_model_inside_sees_its_own_conditions_only(subject):
    seen = []

    class Spy(Blunt):
        def __call__(self, x, t, cond=None):
            seen.append(cond)
            return super().__call__(x, t, cond)

    guidance = Inpaint()
    cond = guidance.conditions(subject(X), [0])
    x = torch.zeros(1, *SHAPE, dtype=torch.float64)
    guidance.wrap(Spy())(x, 0.5, cond)
    guidance.wrap(Spy())(x, 0.5, {**cond, "label": torch.zeros(1)})
    assert seen[0] is None
    assert set(seen[1]) == {"label"}


@pytest.mark.parametrize("guidance", ALL, ids=repr)
def test_where_there_is_no_noise_nothing_is_infinite(guidance, subject):
    """At t = 0 of sub-VP; known parts are replaced there too, and slopes move nothing."""
    p = SubVP(t_min=0.0)
    d = torch.Size(SHAPE).numel()
    prior = Gaussian(p, torch.zeros(SHAPE), torch.ones(d))
    own = subject(X)
    cond = guidance.conditions(own, [0, 1])
    x = torch.randn(2, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        for t in (0.0, torch.zeros(2, dtype=torch.float64)):
            x0 = guidance.wrap(prior)(x, t, cond).x0
            assert x0.isfinite().all()
            if isinstance(guidance, (PiGDM, DPS)) or (isinstance(guidance, Linear) and guidance.noise):
                torch.testing.assert_close(x0, x)
            else:
                assert (x0 - x).abs().max() > 0.1
    if isinstance(guidance, (PiGDM, DPS)):
        with pytest.raises(SingularError, match="no slope where sigma = 0"):
            guidance.wrap(prior)(x, torch.tensor([0.0, 0.5], dtype=torch.float64), cond)
