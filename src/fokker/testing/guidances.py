"""What every Guidance should do.

A guidance wraps a model of data with three classes, whose law, and that of each class, is known; it is always called
with labels, and with what it must know of each sample (`Guidance.conditions`), of which a few examples are there to be
measured. Event shapes that it refuses with `ConfigError` are passed over.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from math import prod

import torch
from torch import Tensor

from fokker.data import Batch, DataSource, Examples, Split, Transform
from fokker.errors import ConfigError
from fokker.exact import Gaussian, Mixture
from fokker.guidance import Guidance, Subject
from fokker.model import Counted, ScoreModel, rates_at
from fokker.network import DataSpec
from fokker.perturbation import VE, VP, Perturbation
from fokker.prediction import Prediction
from fokker.testing import models
from fokker.testing.check import CheckFailed, NotApplicable, Suite, expect, refused
from fokker.testing.compare import close
from fokker.testing.expectation import Rule, normal_rule, product
from fokker.testing.worlds import CONTINUOUS, EVENT_SHAPES, correlated, normal

__all__ = ["suite"]

_CLASSES, _B = 3, 4
_SHAPES = (*EVENT_SHAPES, (1,), (3,), (1, 16, 16), (1, 28, 28), (3, 32, 32))
_STEPS = 200
_SLACK = 1e-3
"""What integrating a guided flow may add to an error, in standard deviations."""

Cond = Mapping[str, Tensor] | None


def _observe(guidance: Guidance) -> list[object]:
    guided = _guided(guidance)
    x, cond = normal(_B, *guided.event_shape, seed=1), _cond(guidance, guided.event_shape, range(_B))
    with torch.no_grad():
        return [guided(x, t, cond).eps for t in (0.1, 0.4, 0.8)]


suite = Suite(Guidance, observe=_observe)


@suite.check(over={"x".join(map(str, shape)): shape for shape in EVENT_SHAPES})
def event_shape(guidance: Guidance, shape: tuple[int, ...]) -> None:
    """Guides events of this shape: predictions are finite, of the shape and precision of the state."""
    model = refused(lambda: _Guided(guidance, shape))
    models.keeps_shape_and_precision(model)
    models.finite_at_the_ends(model)


@suite.check
def same_perturbation(guidance: Guidance) -> None:
    """Keeps the perturbation of the model that it guides."""
    shape = _guided(guidance).event_shape
    for p in (VE(sigma_max=7.0), VP(beta_max=12.0)):
        found = guidance.wrap(_Classes(p, shape)).perturbation
        expect(found == p, f"gives a model of {found!r} for a model of {p!r}")


@suite.check
def makes_its_state_again(guidance: Guidance) -> None:
    """Predicts at the state that it is given: alpha x0 + sigma eps is x, at one time and at one time per example."""
    models.makes_its_state_again(_guided(guidance))


@suite.check
def quantities_agree(guidance: Guidance) -> None:
    """Predicts score = -eps / sigma, v = alpha eps - sigma x0 and velocity = alpha' x0 + sigma' eps."""
    models.quantities_agree(_guided(guidance))


@suite.check
def times_agree(guidance: Guidance) -> None:
    """Predicts the same for one time as a number, as a tensor (), and as one time per example, (B,)."""
    models.times_agree(_guided(guidance))


@suite.check
def batch_independent(guidance: Guidance) -> None:
    """Predicts the same for an example alone, in another place, and beside huge neighbours."""
    models.batch_independent(_guided(guidance))


@suite.check
def input_untouched(guidance: Guidance) -> None:
    """Leaves the state, the times and the conditions as they are."""
    models.input_untouched(_guided(guidance))


@suite.check
def deterministic(guidance: Guidance) -> None:
    """Predicts the same twice and draws nothing from the global generator."""
    models.deterministic(_guided(guidance))


@suite.check
def own_conditions(guidance: Guidance) -> str:
    """Knows the same of a sample whatever other samples it is asked about with, and tells it batch first."""
    shape = _guided(guidance).event_shape
    together = _conditions(guidance, shape, range(6))
    if not together:
        raise NotApplicable("it needs to know nothing of a sample")
    for index in ([4], [3, 0, 3]):
        alone = _conditions(guidance, shape, index)
        expect(
            alone.keys() == together.keys(), f"tells {sorted(alone)} of samples {index}, of others {sorted(together)}"
        )
        for name, value in alone.items():
            expect(len(value) == len(index), f"{name} has {len(value)} rows for {len(index)} samples")
            close(value.double(), together[name][index].double(), f"{name} of samples {index}", atol=1e-12)
    return ", ".join(together)


@suite.check
def evaluations(guidance: Guidance) -> str:
    """Evaluates the model as often as it claims."""
    claimed = guidance.claims.evaluations
    if claimed is None:
        raise NotApplicable("it claims no number of evaluations")
    shape = _guided(guidance).event_shape
    counted = Counted(_Classes(VP(), shape))
    guided = guidance.wrap(counted)
    x, cond = normal(_B, *shape, seed=1), _cond(guidance, shape, range(_B))
    for t in (0.3, torch.linspace(0.1, 0.9, _B, dtype=torch.float64)):
        before = counted.calls
        with torch.no_grad():
            guided(x, t, cond)
        measured = counted.calls - before
        expect(measured == claimed, f"claims {claimed} evaluations per call, measured {measured}")
    return f"{claimed} evaluations per call"


@suite.check
def neutral(guidance: Guidance) -> str:
    """Leaves the model as it is at the values that it claims to be neutral."""
    values = guidance.claims.neutral
    if values is None:
        raise NotApplicable("it claims no neutral values")
    said = ", ".join(f"{name} = {value}" for name, value in values.items())
    off = dataclasses.replace(guidance, **values)  # type: ignore[type-var]
    guided = _guided(off)
    model = _Classes(guided.perturbation, guided.event_shape)
    t = torch.tensor([0.05, 0.3, 0.6, 1.0], dtype=torch.float64)
    x, cond = normal(_B, *guided.event_shape, seed=1), _cond(off, guided.event_shape, range(_B))
    with torch.no_grad():
        expected = model(x, t, _labels(_B)).eps
        found = guided(x, t, cond).eps
    close(found, expected, f"eps with {said}, where the model should be left as it is,", atol=1e-9)
    return said


@suite.check(over=CONTINUOUS)
def law(guidance: Guidance, perturbation: Perturbation) -> str:
    """Gives Gaussian data the law that it should have, with no more bias than it claims."""
    bias = guidance.claims.bias
    prior, exact = _posterior(guidance, perturbation)
    if bias is None:
        expect(exact is None, "says which law it should give, and claims no bias: claim one, 0 if it is exact")
        raise NotApplicable("it claims no law")
    if exact is None:
        raise CheckFailed(f"claims a bias of {bias:g} and does not say which law it should give: write `law`")
    expect(exact.event_shape == prior.event_shape, f"says that {prior.event_shape} becomes {exact.event_shape}")
    expect(exact.perturbation == perturbation, "gives a law that is seen through another perturbation")
    guided = guidance.wrap(prior)
    if bias == 0:
        t = torch.linspace(max(perturbation.t_min, 1e-3), 1.0, 8, dtype=torch.float64)
        x = perturbation.perturb(normal(8, *prior.event_shape, seed=1), t, normal(8, *prior.event_shape, seed=2))
        with torch.no_grad():
            found, expected = guided(x, t, _cond(guidance, prior.event_shape, [0] * 8)).eps, exact(x, t).eps
        off = (found - expected).abs().flatten(1).amax(1) / expected.abs().flatten(1).amax(1)
        worst = int(off.argmax())
        expect(
            float(off[worst]) < 1e-6,
            f"claims to be exact, and its eps at t = {t[worst]:.3g} is off by {float(off[worst]):.2g} of the law's",
        )
        return "exact"
    measured = _bias(guidance, guided, exact)
    expect(measured <= bias + _SLACK, f"claims a bias of {bias:g} standard deviations, measured {measured:.3g}")
    return f"claims a bias of {bias:g} standard deviations, measured {measured:.3g}"


def _posterior(guidance: Guidance, perturbation: Perturbation) -> tuple[Gaussian, Gaussian | None]:
    """Gaussian data of the first event shape that the guidance takes, and the law that it should give."""
    shape = _guided(guidance).event_shape
    prior = correlated(perturbation, shape)
    cond = _conditions(guidance, shape, [0])
    return prior, guidance.law(prior, cond) if cond else guidance.law(prior)


def _bias(guidance: Guidance, guided: ScoreModel, exact: Gaussian) -> float:
    """Error of the mean at the end of the guided flow, in standard deviations of the exact law there."""
    p, d = guided.perturbation, prod(exact.event_shape)
    # up to three dimensions by a product rule, beyond by two points along each axis, exact for what is quadratic
    if d <= 3:
        rule = product([normal_rule(5)] * d)
    else:
        axes = d**0.5 * torch.eye(d, dtype=torch.float64)
        rule = Rule(torch.cat([axes, -axes]), torch.full((2 * d,), 0.5 / d, dtype=torch.float64))
    ends = torch.tensor([1.0, max(p.t_min, 1e-3)], dtype=torch.float64)
    mean, covariance = exact.marginal(1.0)
    x = (mean + rule.points @ torch.linalg.cholesky(covariance).T).reshape(-1, *exact.event_shape)
    high, low = p.log_snr(ends).tolist()
    cond = _cond(guidance, exact.event_shape, [0] * len(x))
    times = p.time(torch.linspace(high, low, 2 * _STEPS + 1, dtype=torch.float64)).tolist()
    with torch.no_grad():
        for t, middle, s in zip(times[:-2:2], times[1:-1:2], times[2::2], strict=True):
            half = _along(p, x, t, middle, guided(x, t, cond).x0)
            x = _along(p, x, t, s, guided(half, middle, cond).x0)
    mean, covariance = exact.marginal(times[-1])
    error = rule.weights @ x.flatten(1) - mean
    return float((error / covariance.diagonal().sqrt()).abs().max())


def _labels(n: int) -> dict[str, Tensor]:
    return {"label": torch.arange(n) % _CLASSES}


def _conditions(guidance: Guidance, event_shape: tuple[int, ...], index: Sequence[int]) -> dict[str, Tensor]:
    """What the guidance must know of these samples, of data without transforms."""
    subject = Subject(DataSpec(event_shape, classes=_CLASSES), data=_Measurable(event_shape))
    return dict(guidance.conditions(subject, index))


def _cond(guidance: Guidance, event_shape: tuple[int, ...], index: Sequence[int]) -> dict[str, Tensor]:
    """Labels and conditions of these samples."""
    return {**_labels(len(index)), **_conditions(guidance, event_shape, index)}


class _Measurable(DataSource):
    """A few examples of any event shape, the same ones every time."""

    transforms: tuple[Transform, ...] = ()

    def __init__(self, event_shape: tuple[int, ...]) -> None:
        self._event_shape = event_shape

    def open(self, split: Split = "train") -> Examples:
        return _Few(self._event_shape, 31 if split == "train" else 32)


class _Few(Examples):
    def __init__(self, event_shape: tuple[int, ...], seed: int) -> None:
        self.event_shape = event_shape
        self._x = normal(8, *event_shape, seed=seed).float()

    def __len__(self) -> int:
        return len(self._x)

    def fetch(self, index: Sequence[int]) -> Batch:
        return Batch(self._x[list(index)], {})


def _along(p: Perturbation, x: Tensor, t: float, s: float, x0: Tensor) -> Tensor:
    """The probability flow from t to s with x0 held; twice, with x0 from the middle, it is of second order."""
    (alpha, sigma), (alpha_s, sigma_s) = p.scales(t, x), p.scales(s, x)
    return sigma_s / sigma * x + (alpha_s - alpha * sigma_s / sigma) * x0


class _Classes(ScoreModel):
    """Data of three classes, each with a law of its own; without a label, or with one beyond, their mixture."""

    def __init__(self, perturbation: Perturbation, event_shape: tuple[int, ...]) -> None:
        means = normal(_CLASSES, *event_shape, seed=21)
        variances = torch.tensor([0.2, 0.6, 1.2], dtype=torch.float64)
        weights = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
        self._laws = [Gaussian(perturbation, m, v) for m, v in zip(means, variances, strict=True)]
        self._laws.append(Mixture(perturbation, weights, means, variances))  # type: ignore[arg-type]
        self._perturbation = perturbation

    @property
    def perturbation(self) -> Perturbation:
        return self._perturbation

    def __call__(self, x: Tensor, t: Tensor | float, cond: Cond = None) -> Prediction:
        label = torch.full((len(x),), _CLASSES) if cond is None or "label" not in cond else cond["label"]
        each = torch.stack([law(x, t).eps for law in self._laws])
        eps = each[label.clamp(max=_CLASSES), torch.arange(len(x))]
        return Prediction(x, *self._perturbation.scales(t, x), eps=eps, rates=rates_at(self._perturbation, t, x))


class _Guided(ScoreModel):
    """A guided model that tells its event shape and is to be called with labels.

    Raises:
        ConfigError: If the guidance does not take the event shape.
    """

    def __init__(self, guidance: Guidance, event_shape: tuple[int, ...]) -> None:
        self.event_shape = event_shape
        self._guidance = guidance
        self._model = guidance.wrap(_Classes(VP(), event_shape))
        with torch.no_grad():
            self(torch.zeros(1, *event_shape, dtype=torch.float64), 0.5, self.conditions(1))

    @property
    def perturbation(self) -> Perturbation:
        return self._model.perturbation

    def conditions(self, n: int) -> dict[str, Tensor]:
        """What it is called with, for n examples."""
        return _cond(self._guidance, self.event_shape, range(n))

    def __call__(self, x: Tensor, t: Tensor | float, cond: Cond = None) -> Prediction:
        if cond is None:
            raise ConfigError("A guided model is checked with labels.")
        return self._model(x, t, cond)


def _guided(guidance: Guidance) -> _Guided:
    """On the first event shape that the guidance takes.

    Raises:
        NotApplicable: If it takes none.
    """
    reason = ""
    for shape in _SHAPES:
        try:
            return _Guided(guidance, shape)
        except ConfigError as error:
            reason = reason or str(error)
    shapes = ", ".join(map(str, _SHAPES))
    raise NotApplicable(f"it takes none of the event shapes {shapes}; it refuses the first: {reason}")
