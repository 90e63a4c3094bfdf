"""Guidances with one defect each, made of three sound ones: two of a measurement, and one of classes."""

import dataclasses
from typing import Annotated

import torch
from annotated_types import Gt

from fokker.component import component
from fokker.errors import ConfigError
from fokker.exact import Gaussian
from fokker.guidance import Guidance, GuidanceClaims
from fokker.model import ScoreModel
from fokker.perturbation import VP
from fokker.prediction import Prediction


class Guided(ScoreModel):
    def __init__(self, model, guidance):
        self.model, self.guidance = model, guidance

    @property
    def perturbation(self):
        return self.model.perturbation

    def __call__(self, x, t, cond=None):
        return self.guidance.predict(self.model, x, t, cond)


@component
class Sum(Guidance):
    """The sum of all numbers of an example was measured, with an error: y = 1 . x0 + error n.

        score + J^T 1 (y - 1 . x0) / (error^2 + 1^T C 1),    C = (sigma^2 / alpha) J,  J = d x0 / d x

    with x0 the expected data and C its covariance given x. On Gaussian data C does not depend on x, and this is exact.

    Args:
        y: What was measured.
        error: Standard deviation of the error.
        weight: Factor of what is added to the score.
    """

    y: float = 1.0
    error: Annotated[float, Gt(0)] = 0.5
    weight: float = 1.0

    @property
    def claims(self):
        return GuidanceClaims(neutral={"weight": 0.0}, bias=0.0 if self.weight == 1 else None)

    def wrap(self, model):
        return Guided(model, self)

    def predict(self, model, x, t, cond):
        with torch.enable_grad():
            x = self.leaf(x)
            q = model(x, t, cond)
            total = q.x0.flatten(1).sum(1)
            (slope,) = torch.autograd.grad(total.sum(), x)
        flat = slope.flatten(1)
        spread = torch.as_tensor(q.sigma**2 / q.alpha, dtype=x.dtype).reshape(-1)
        variance = self.noise_variance() + self.spread(spread, flat)
        pull = self.residual(total.detach()) / variance
        pull = self.scaled(pull).reshape(-1, *[1] * (x.ndim - 1)) * slope
        return self.answer(q, x.detach(), self.weight * pull)

    def leaf(self, x):
        return x.detach().requires_grad_()

    def noise_variance(self):
        return self.error**2

    def spread(self, spread, flat):
        return spread * flat.sum(1)

    def residual(self, total):
        return self.y - total

    def scaled(self, pull):
        return pull

    def answer(self, q, x, pull):
        return Prediction(x, q.alpha, q.sigma, eps=q.eps.detach() - q.sigma * pull, rates=q.rates)

    def law(self, prior):
        if self.weight != 1:
            return None
        row = prior.covariance.sum(0)
        gain = row / (row.sum() + self.error**2)
        mean = prior.mean + gain * (self.y - prior.mean.sum())
        covariance = prior.covariance - torch.outer(gain, row)
        covariance = (covariance + covariance.T) / 2
        return Gaussian(prior.perturbation, mean.reshape(prior.event_shape), covariance)


@component
class Approximate(Sum):
    __doc__ = Sum.__doc__

    @property
    def claims(self):
        return GuidanceClaims(neutral={"weight": 0.0}, bias=0.07 if self.weight == 1 else None)

    def spread(self, spread, flat):
        # C taken for the variance of noise on data of unit size
        return flat.shape[1] * spread / (1 + spread)


@component
class ClassifierFree(Guidance):
    """Away from the mixture of all classes, and beyond the class: eps = (1 - weight) eps_all + weight eps_class.

    Args:
        weight: 1 is the class itself.
    """

    weight: float = 3.0

    @property
    def claims(self):
        return GuidanceClaims(evaluations=2, neutral={"weight": 1.0})

    def wrap(self, model):
        return Guided(model, self)

    def predict(self, model, x, t, cond):
        if cond is None or "label" not in cond:
            raise ConfigError("ClassifierFree needs labels; train with train.labels=true.")
        rest = {name: value for name, value in cond.items() if name != "label"} or None
        every, one = model(x, t, rest).eps, model(x, t, cond)
        return self.answer(x, one, self.mixed(every, one.eps))

    def mixed(self, every, one):
        return every + self.weight * (one - every)

    def answer(self, x, one, eps):
        return Prediction(x, one.alpha, one.sigma, eps=eps, rates=one.rates)


@component
class Told(Sum):
    """The sum of all numbers of a held-out example was measured, of sample i that of example i modulo their number.

    Args:
        y: What was measured where nothing else is told.
        error: Standard deviation of the error.
        weight: Factor of what is added to the score.
    """

    def conditions(self, subject, index):
        examples = subject.data.open("test")
        x = examples.fetch([i % len(examples) for i in self.which(index)]).x.double()
        return {f"{self!r}.y": self.told(x.flatten(1).sum(1))}

    def which(self, index):
        return index

    def told(self, y):
        return y

    def predict(self, model, x, t, cond):
        told = dataclasses.replace(self, y=0.0)
        told.__dict__["y"] = cond[f"{self!r}.y"]
        return Sum.predict(told, model, x, t, {"label": cond["label"]})

    def law(self, prior, cond):
        return Sum.law(dataclasses.replace(self, y=float(cond[f"{self!r}.y"][0])), prior)


def mutant(sound, **methods):
    return type("Mutant", (sound,), {"__doc__": sound.__doc__, **methods})()


def flattened(self, q, x, pull):
    return Prediction(x, q.alpha, q.sigma, eps=(q.eps - q.sigma * pull).flatten(1), rates=q.rates)


class OwnPerturbation(Guided):
    perturbation = VP()


def wrapped_otherwise(self, model):
    return OwnPerturbation(model, self)


def at_another_state(self, model, x, t, cond):
    # a step along the gradient, and the prediction of where it leads
    return model(x + 0.1 * (self.y - x), t, cond)


def without_rates(self, x, one, eps):
    return Prediction(x, one.alpha, one.sigma, eps=eps)


def first_time(self, model, x, t, cond):
    early = t if isinstance(t, float) else float(t.flatten()[0]) + 0.1 * t.ndim
    return ClassifierFree.predict(self, model, x, early, cond)


def batch_norm(self, pull):
    # the step of DPS is divided by the norm of the residual: here that of the whole batch
    return pull / pull.norm()


def the_input_itself(self, x):
    return x.requires_grad_()


def hutchinson(self, spread, flat):
    return spread * (flat.sum(1) + 0.1 * torch.randn(len(flat), dtype=flat.dtype))


def double(self, pull):
    return pull.double()


def one_more(self, every, one):
    # the other convention: (1 + w) eps_class - w eps_all
    return one + self.weight * (one - every)


def claims_one(self):
    return dataclasses.replace(ClassifierFree.claims.fget(self), evaluations=1)


def other_sign(self, total):
    return total - self.y


def deviation_for_variance(self):
    return self.error


def flattering(self):
    return dataclasses.replace(Approximate.claims.fget(self), bias=0.01)


def lawless(self, prior):
    return None


def two(self, every, one):
    return every + 2 * (one - every)


def by_position(self, index):
    return range(len(index))


def centred(self, y):
    return y - y.mean()


MUTANTS = {
    "measures by the place in the batch": (Told(), mutant(Told, which=by_position), "own-conditions"),
    "measures what is left of the batch's mean": (Told(), mutant(Told, told=centred), "own-conditions"),
    "flattens its answer": (Sum(), mutant(Sum, answer=flattened), "event-shape[3x17x23]"),
    "answers in double precision": (Sum(), mutant(Sum, scaled=double), "event-shape[2]"),
    "a perturbation of its own": (Sum(), mutant(Sum, wrap=wrapped_otherwise), "same-perturbation"),
    "predicts at another state": (Sum(), mutant(Sum, predict=at_another_state), "makes-its-state-again"),
    "forgets the rates": (ClassifierFree(), mutant(ClassifierFree, answer=without_rates), "quantities-agree"),
    "the first time for all": (ClassifierFree(), mutant(ClassifierFree, predict=first_time), "times-agree"),
    "divides by the norm over the batch": (Sum(), mutant(Sum, scaled=batch_norm), "batch-independent"),
    "asks for gradients on its input": (Sum(), mutant(Sum, leaf=the_input_itself), "input-untouched"),
    "probes of its own": (Sum(), mutant(Sum, spread=hutchinson), "deterministic"),
    "claims half of its evaluations": (
        ClassifierFree(),
        mutant(ClassifierFree, claims=property(claims_one)),
        "evaluations",
    ),
    "another convention of the weight": (ClassifierFree(), mutant(ClassifierFree, mixed=one_more), "neutral"),
    "the likelihood's sign": (Sum(), mutant(Sum, residual=other_sign), "law[vp]"),
    "a deviation for a variance": (Sum(), mutant(Sum, noise_variance=deviation_for_variance), "law[ve]"),
    "claims less bias than it has": (Approximate(), mutant(Approximate, claims=property(flattering)), "law[cosine]"),
    "a bias of no law": (Sum(), mutant(Sum, law=lawless), "law[sub-vp]"),
    "ignores its weight": (ClassifierFree(), mutant(ClassifierFree, mixed=two), "field[weight]"),
}
