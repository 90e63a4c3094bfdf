"""Objectives with one defect each, made of small sound ones of every family."""

from contextlib import nullcontext
from math import sqrt
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Gt

from fokker.component import component
from fokker.errors import ConfigError
from fokker.objective import Objective, weighted_square
from fokker.weighting import Simple, Weighting


class Uniform(Objective):
    """Times uniform in [t_min, 1]."""

    def times(self, perturbation, u):
        return perturbation.t_min + (1 - perturbation.t_min) * u


@component
class Denoise(Uniform):
    """|eps - eps_model|^2, weighted.

    Args:
        weighting: The factor of the squared error of x0.
    """

    weighting: Weighting = Simple()

    def loss(self, model, x0, t, noise, cond=None):
        eps = noise(x0)
        prediction = model(model.perturbation.perturb(x0, t, eps), t, cond)
        return weighted_square(self.weighting, model.perturbation, prediction, x0, eps, t)


@component
class Absolute(Uniform):
    """|eps - eps_model|, summed over dimensions: not quadratic in the score, and least at the median."""

    def loss(self, model, x0, t, noise, cond=None):
        eps = noise(x0)
        prediction = model(model.perturbation.perturb(x0, t, eps), t, cond)
        return (self.factor() * prediction.eps - eps).abs().flatten(1).sum(1)

    def factor(self):
        return 1.0


@component
class Flow(Uniform):
    """|velocity - velocity_model|^2 (flow matching)."""

    def loss(self, model, x0, t, noise, cond=None):
        eps = noise(x0)
        p = model.perturbation
        prediction = model(p.perturb(x0, t, eps), t, cond)
        d_alpha, d_sigma = self.rates(p, t)
        target = expand(d_alpha, x0) * x0 + expand(d_sigma, x0) * eps
        return (prediction.velocity - target).flatten(1).square().sum(1)

    def rates(self, p, t):
        return p.rates(t)


@component
class Classify(Uniform):
    """-log p(y | x_t)."""

    teaches: ClassVar[Literal["data", "classes"]] = "classes"

    def loss(self, model, x0, t, noise, cond):
        logits = model.answer(model.perturbation.perturb(x0, t, noise(x0)), t, self.told(cond))
        return -self.tempered(logits).log_softmax(1).gather(1, cond["label"][:, None]).squeeze(1)

    def told(self, cond):
        return None

    def tempered(self, logits):
        return logits


def expand(c, x):
    return c.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1))


@component
class Explicit(Uniform):
    """sigma^2 (|s|^2 / 2 + tr(ds / dx)) at the noisy state, of up to 500 numbers (Hyvarinen, 2005)."""

    differentiates: ClassVar[bool] = True

    def loss(self, model, x0, t, noise, cond=None):
        if x0[0].numel() > 500:
            raise ConfigError(f"Explicit takes up to 500 dimensions, got {x0[0].numel()}; use sliced score matching.")
        p = model.perturbation
        x = p.perturb(x0, t, noise(x0))
        with torch.enable_grad():
            x = self.leaf(x)
            score = model(x, t, cond).score
            trace = torch.zeros_like(score.flatten(1)[:, 0])
            for i, column in enumerate(score.flatten(1).unbind(1)):
                (row,) = torch.autograd.grad(column.sum(), x, create_graph=True)
                trace = trace + row.flatten(1)[:, i]
        return p.sigma(t).square().to(x.dtype) * (self.half() * score.flatten(1).square().sum(1) + trace)

    def half(self):
        return 0.5

    def leaf(self, x):
        return x.detach().requires_grad_()


@component
class SlicedVR(Uniform):
    """sigma^2 (|s|^2 / 2 + v . d(v . s) / dx) at the noisy state (Song et al., 2019).

    Args:
        projection: The law of v, of unit covariance.
        projections: Number of v per example.
    """

    projection: Literal["rademacher", "normal", "sphere"] = "rademacher"
    projections: Annotated[int, Gt(0)] = 1

    differentiates: ClassVar[bool] = True

    def loss(self, model, x0, t, noise, cond=None):
        p = model.perturbation
        x = p.perturb(x0, t, noise(x0))
        with self.gradients():
            x = x.detach().requires_grad_()
            score = model(x, t, cond).score
            square = score.flatten(1).square().sum(1) / 2
            for _ in range(self.projections):
                v = self.draw(x.detach(), noise)
                (pushed,) = torch.autograd.grad((v * score).sum(), x, create_graph=True)
                square = square + (v * pushed).flatten(1).sum(1) / self.projections
        return p.sigma(t).square().to(x.dtype) * square

    def gradients(self):
        return torch.enable_grad()

    def draw(self, x, noise):
        if self.projection == "rademacher":
            return noise.rademacher(x)
        v = noise(x)
        return v if self.projection == "normal" else self.on_sphere(v)

    def on_sphere(self, v):
        return v * sqrt(v[0].numel()) / expand(v.flatten(1).norm(dim=1), v)


def mutant(sound, *args, **methods):
    """The sound one with these methods."""
    return type("Mutant", (sound,), {"__doc__": sound.__doc__, **methods})(*args)


def from_zero(self, perturbation, u):
    return u


def stratified(self, perturbation, u):
    # spreads the times of a batch evenly, so that each depends on all
    return Uniform.times(self, perturbation, (u.argsort().argsort() + u) / len(u))


def averaged(self, model, x0, t, noise, cond=None):
    return Denoise.loss(self, model, x0, t, noise, cond).mean()


def detached(self, model, x0, t, noise, cond=None):
    with torch.no_grad():
        return Denoise.loss(self, model, x0, t, noise, cond)


def tiny_times_huge(self, model, x0, t, noise, cond=None):
    # the two factors cancel, unless one of them has underflowed
    factor = model.perturbation.sigma(t).to(x0.dtype) ** 24
    return Denoise.loss(self, model, x0, t, noise, cond) * factor / factor


def pictures_only(self, model, x0, t, noise, cond=None):
    eps = noise(x0)
    prediction = model(model.perturbation.perturb(x0, t, eps), t, cond)
    return (prediction.eps - eps).square().sum(-1)


def global_noise(self, model, x0, t, noise, cond=None):
    eps = torch.randn_like(x0)
    prediction = model(model.perturbation.perturb(x0, t, eps), t, cond)
    return weighted_square(self.weighting, model.perturbation, prediction, x0, eps, t)


def leaf_of_the_input(self, model, x0, t, noise, cond=None):
    return Explicit.loss(self, model, x0.requires_grad_(), t, noise, cond)


def backward_inside(self, model, x0, t, noise, cond=None):
    loss = Denoise.loss(self, model, x0, t, noise, cond)
    if loss.requires_grad:
        loss.mean().backward(retain_graph=True)
    return loss


def nothing_switched(self):
    return nullcontext()


def normalised(self, model, x0, t, noise, cond=None):
    loss = Denoise.loss(self, model, x0, t, noise, cond)
    return loss / loss.detach().mean()


def drawn_for_nothing(self, model, x0, t, noise, cond=None):
    loss = Denoise.loss(self, model, x0, t, noise, cond)
    return loss + 0.0 * noise(x0).flatten(1).sum(1)


def forgets_cond(self, model, x0, t, noise, cond=None):
    return Denoise.loss(self, model, x0, t, noise)


def twice(self, model, x0, t, noise, cond=None):
    weight = self.weighting(model.perturbation, t).to(x0.dtype)
    return weight * Denoise.loss(self, model, x0, t, noise, cond)


def other_sign(self, model, x0, t, noise, cond=None):
    eps = noise(x0)
    prediction = model(model.perturbation.perturb(x0, t, -eps), t, cond)
    return weighted_square(self.weighting, model.perturbation, prediction, x0, eps, t)


def whole_square(self):
    return 1.0


def unit_sphere(self, v):
    # of length 1 where the covariance should be 1
    return v / expand(v.flatten(1).norm(dim=1), v)


def uniform_projection(self, x, noise):
    return 2 * noise.uniform(x) - 1


def slow_clock(self, p, t):
    d_alpha, d_sigma = p.rates(t)
    return d_alpha, d_sigma / 2


def shrunk(self):
    return 0.9


def pulled(self, model, x0, t, noise, cond=None):
    # a regulariser that does not vanish at the data's own score
    eps = noise(x0)
    prediction = model(model.perturbation.perturb(x0, t, eps), t, cond)
    pull = (prediction.eps * prediction.x.sin()).flatten(1).sum(1)
    return weighted_square(self.weighting, model.perturbation, prediction, x0, eps, t) + 0.1 * pull


def told_the_class(self, cond):
    return cond


def sharpened(self, logits):
    return 1.1 * logits


MUTANTS = {
    "trains at times before t_min": (Denoise(), mutant(Denoise, times=from_zero), "times[vp]"),
    "times that depend on each other": (Denoise(), mutant(Denoise, times=stratified), "times[ve]"),
    "averages over the batch": (Denoise(), mutant(Denoise, loss=averaged), "finite-losses[vp]"),
    "cannot be differentiated": (Denoise(), mutant(Denoise, loss=detached), "finite-losses[betas]"),
    "underflows in single precision": (Denoise(), mutant(Denoise, loss=tiny_times_huge), "finite-losses[sigmas]"),
    "sums over the last dimension alone": (Denoise(), mutant(Denoise, loss=pictures_only), "event-shape[3x17x23]"),
    "noise from the global generator": (Denoise(), mutant(Denoise, loss=global_noise), "replayable"),
    "asks for gradients on its input": (Explicit(), mutant(Explicit, loss=leaf_of_the_input), "input-untouched"),
    "goes backward by itself": (Denoise(), mutant(Denoise, loss=backward_inside), "input-untouched"),
    "needs gradients switched on": (SlicedVR(), mutant(SlicedVR, gradients=nothing_switched), "without-gradients"),
    "keeps its derivatives to itself": (Explicit(), mutant(Explicit, differentiates=False), "differentiates"),
    "divides by the mean over the batch": (Denoise(), mutant(Denoise, loss=normalised), "examples-independent"),
    "draws what it does not use": (Denoise(), mutant(Denoise, loss=drawn_for_nothing), "draws-are-used"),
    "forgets the conditions": (Denoise(), mutant(Denoise, loss=forgets_cond), "conditions-are-passed-on"),
    "tells the class": (Classify(), mutant(Classify, told=told_the_class), "conditions-are-passed-on"),
    "sharpened logits": (Classify(), mutant(Classify, tempered=sharpened), "optimum-on-two-classes[vp]"),
    "a weighting applied twice": (Denoise(), mutant(Denoise, loss=twice), "weighting-is-applied-once"),
    "the sign of eps": (Denoise(), mutant(Denoise, loss=other_sign), "optimum-on-gaussian-data[vp]"),
    "a square without its half": (
        Explicit(),
        mutant(Explicit, half=whole_square),
        "optimum-on-gaussian-data[ve]",
    ),
    "VR with unit vectors": (
        SlicedVR("sphere"),
        mutant(SlicedVR, "sphere", on_sphere=unit_sphere),
        "optimum-on-gaussian-data[sub-vp]",
    ),
    "VR with uniform projections": (
        SlicedVR("normal"),
        mutant(SlicedVR, "normal", draw=uniform_projection),
        "optimum-on-gaussian-data[cosine]",
    ),
    "half of sigma' in the target": (Flow(), mutant(Flow, rates=slow_clock), "optimum-on-gaussian-data[betas]"),
    "absolute errors, shrunk": (
        Absolute(),
        mutant(Absolute, factor=shrunk),
        "optimum-on-gaussian-data[sigmas]",
    ),
    "a term that pulls along sin x": (Denoise(), mutant(Denoise, loss=pulled), "optimum-on-two-modes[vp]"),
}
