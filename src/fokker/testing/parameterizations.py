"""What every Parameterization should do.

Its own target stands for the answer of a perfect network, so what is read from it must be the truth.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from math import cos, pi, sin
from typing import Any

import torch
from torch import Tensor

from fokker.errors import ConfigError, FokkerError, SingularError
from fokker.parameterization import Parameterization
from fokker.perturbation import Perturbation, Scale, expand
from fokker.prediction import Prediction
from fokker.testing.check import NotApplicable, Suite, expect, refused
from fokker.testing.compare import close, same
from fokker.testing.worlds import EVENT_SHAPES, PERTURBATIONS, normal

__all__ = ["suite"]

_QUANTITIES = ("x0", "eps", "score", "v", "velocity")


@dataclass(frozen=True, eq=False)
class _Scene:
    """Noisy data with everything that a parameterization is told of it, and its truth."""

    x0: Tensor
    eps: Tensor
    alpha: Scale
    sigma: Scale
    d_alpha: Scale
    d_sigma: Scale

    @property
    def x(self) -> Tensor:
        return self.alpha * self.x0 + self.sigma * self.eps

    def rates(self) -> tuple[Scale, Scale]:
        return self.d_alpha, self.d_sigma

    def truth(self, name: str) -> Tensor:
        return {
            "x0": lambda: self.x0,
            "eps": lambda: self.eps,
            "score": lambda: self.eps / -self.sigma,
            "v": lambda: self.alpha * self.eps - self.sigma * self.x0,
            "velocity": lambda: self.d_alpha * self.x0 + self.d_sigma * self.eps,
        }[name]()

    def cast(self, dtype: torch.dtype) -> "_Scene":
        scales = [c.to(dtype) if isinstance(c, Tensor) else c for c in (self.alpha, self.sigma, *self.rates())]
        return _Scene(self.x0.to(dtype), self.eps.to(dtype), *scales)

    def rows(self, part: slice) -> "_Scene":
        scales = [c[part] if isinstance(c, Tensor) else c for c in (self.alpha, self.sigma, *self.rates())]
        return _Scene(self.x0[part], self.eps[part], *scales)

    def target(self, read: Parameterization) -> Tensor:
        return read.target(self.x0, self.eps, self.alpha, self.sigma, self.rates)

    def predict(self, read: Parameterization, output: Tensor) -> Prediction:
        return read.predict(output, self.x, self.alpha, self.sigma, self.rates)


def _observe(read: Parameterization) -> list[Any]:
    seen: list[Any] = []
    for angle in (0.4, 1.2):
        scene = _on_circle(angle)
        output = scene.eps.sin()
        try:
            seen += [read.inputs(scene.x, scene.alpha, scene.sigma), scene.predict(read, output).x0, scene.target(read)]
        except FokkerError as error:
            seen.append(str(error))
    return seen


suite = Suite(Parameterization, observe=_observe)


@suite.check(over=PERTURBATIONS)
def round_trip(read: Parameterization, p: Perturbation) -> None:
    """Reads its own target as the truth: x0, eps, score, v and velocity, for data of any shape."""
    for scene in _scenes(p):
        output = refused(partial(scene.target, read))
        prediction = scene.predict(read, output)
        for name in _QUANTITIES:
            expected = scene.truth(name)
            per = "each" if isinstance(scene.alpha, Tensor) else "all"
            what = f"{name} read from the target (one time for {per}, shape {tuple(scene.x.shape)})"
            close(getattr(prediction, name), expected, what, atol=1e-8 * _size(expected))


@suite.check(over=PERTURBATIONS)
def scales(read: Parameterization, p: Perturbation) -> None:
    """Does the same with one time for all examples, as floats, as with one time for each, as tensors."""
    x0, eps = normal(3, 2, 4, seed=1), normal(3, 2, 4, seed=2)
    for t in _times(p):
        one, each = _scene(p, x0, eps, t), _scene(p, x0, eps, t.expand(3))
        output = refused(partial(one.target, read))
        size = 1e-9 * _size(output)
        close(each.target(read), output, "the target with a time for each", atol=size)
        found, expected = (read.inputs(s.x, s.alpha, s.sigma) for s in (each, one))
        close(found, expected, "the network's input with a time for each", atol=1e-9 * _size(expected))
        found, expected = (s.predict(read, output).x0 for s in (each, one))
        close(found, expected, "x0 with a time for each", atol=1e-8 * _size(expected))


@suite.check
def ends(read: Parameterization) -> str:
    """Answers at sigma = 0 and at alpha = 0 with finite numbers that are right, or refuses with a SingularError."""
    told = []
    for where, angle, name in (("sigma = 0", 0.0, "x0"), ("alpha = 0", pi / 2, "eps")):
        for each in (False, True):
            scene = _on_circle(angle, each=each)
            try:
                output = scene.target(read)
                _expect_finite(output, f"the target at {where}")
                _expect_finite(read.inputs(scene.x, scene.alpha, scene.sigma), f"the network's input at {where}")
                prediction = scene.predict(read, output)
                for quantity in _QUANTITIES:
                    try:
                        value = getattr(prediction, quantity)
                    except SingularError:
                        continue
                    _expect_finite(value, f"{quantity} at {where}")
                close(getattr(prediction, name), scene.truth(name), f"{name} at {where}", atol=1e-9)
                told.append(f"regular at {where}")
            except (SingularError, ConfigError):
                told.append(f"refuses {where}")
            except ZeroDivisionError:
                expect(False, f"divides by zero at {where}; raise SingularError where something does not exist")
    return ", ".join(dict.fromkeys(told))


@suite.check
def without_noise(read: Parameterization) -> None:
    """Reads an output as the same score however little noise there is, if it claims to do without."""
    if not read.without_noise:
        raise NotApplicable("it claims no such thing: a noise level sets the units of its output")
    x, output = normal(3, 2, 4, seed=1), normal(3, 2, 4, seed=2)
    scores = [read.predict(output, x, 1.0, sigma).score for sigma in (1e-3, 1e-6)]
    close(scores[1], scores[0], "the score read at sigma = 1e-6, where there is another at 1e-3,", rtol=1e-6)


@suite.check
def single_precision(read: Parameterization) -> str:
    """Keeps its digits in float32, with sigma and alpha down to 1e-4: target, x0 near the data, eps near the prior."""
    worst = 0.0
    for angle, names in ((1e-4, ("x0",)), (0.8, ("x0", "eps")), (pi / 2 - 1e-4, ("eps",))):
        scene = _on_circle(angle)
        single = scene.cast(torch.float32)
        target = refused(partial(scene.target, read))
        output = single.target(read)
        expect(output.dtype == torch.float32, f"the target of float32 data is {output.dtype}")
        where = f"at alpha = {scene.alpha:.4g}, sigma = {scene.sigma:.4g} in single precision"
        close(output, target, f"the target {where}", atol=1e-4 * _size(target))
        worst = max(worst, float((output - target).abs().max()) / _size(target))
        prediction = single.predict(read, output)
        for name in names:
            value = getattr(prediction, name)
            expect(value.dtype == torch.float32, f"{name} of float32 data is {value.dtype}")
            close(value, scene.truth(name), f"{name} {where}", atol=2e-5)
    return f"target right to {worst:.1g}"


@suite.check
def untouched(read: Parameterization) -> None:
    """Leaves the noisy data, the output and the scales as they are."""
    for each in (False, True):
        scene = _on_circle(0.8, each=each)
        x, output = scene.x, refused(partial(scene.target, read)).clone()
        names = ("the noisy data", "the output", "x0", "eps", "alpha", "sigma")
        given = (x, output, scene.x0, scene.eps, scene.alpha, scene.sigma)
        before = [torch.as_tensor(v).clone() for v in given]
        read.inputs(x, scene.alpha, scene.sigma)
        scene.target(read)
        prediction = read.predict(output, x, scene.alpha, scene.sigma, scene.rates)
        for quantity in _QUANTITIES:
            getattr(prediction, quantity)
        for name, value, old in zip(names, given, before, strict=True):
            same(torch.as_tensor(value), old, f"after reading, {name}")


@suite.check
def gradients(read: Parameterization) -> None:
    """Lets gradients through to the network's output, from x0 and from eps."""
    scene = _on_circle(0.8)
    target = refused(partial(scene.target, read))
    for name in ("x0", "eps"):
        output = target.clone().requires_grad_()
        value = getattr(scene.predict(read, output), name)
        expect(value.requires_grad, f"{name} has no gradient with respect to the output")
        (gradient,) = torch.autograd.grad(value.square().sum(), output)
        ok = bool(gradient.isfinite().all()) and bool((gradient != 0).any())
        expect(ok, f"the gradient of |{name}|^2 with respect to the output is zero or not finite")


@suite.check
def each_on_its_own(read: Parameterization) -> None:
    """Treats every example of a batch as it would alone."""
    p, t = PERTURBATIONS["vp"], torch.tensor([0.05, 0.4, 0.9], dtype=torch.float64)
    batch = _scene(p, normal(3, 2, 4, seed=1), normal(3, 2, 4, seed=2), t)
    output = refused(partial(batch.target, read))
    inputs = read.inputs(batch.x, batch.alpha, batch.sigma)
    x0 = batch.predict(read, output).x0
    for i in range(3):
        row = slice(i, i + 1)
        alone = batch.rows(row)
        close(alone.target(read), output[row], "the target of an example alone", atol=1e-9 * _size(output))
        close(read.inputs(alone.x, alone.alpha, alone.sigma), inputs[row], "the input of an example alone", atol=1e-9)
        found = alone.predict(read, output[row]).x0
        close(found, x0[row], "x0 of an example alone", atol=1e-9 * _size(x0))


def _on_circle(angle: float, *, each: bool = False) -> _Scene:
    """alpha = cos, sigma = sin, exactly 0 and 1 at both ends; the clock is the angle."""
    alpha, sigma = (0.0, 1.0) if angle == pi / 2 else (cos(angle), sin(angle))
    scales: list[Scale] = [alpha, sigma, -sigma, alpha]
    if each:
        scales = [torch.full((3, 1, 1), float(c), dtype=torch.float64) for c in scales]
    return _Scene(normal(3, 2, 4, seed=1), normal(3, 2, 4, seed=2), *scales)


def _scene(p: Perturbation, x0: Tensor, eps: Tensor, t: Tensor) -> _Scene:
    rates = p.rates(t)
    made = [float(c) for c in rates] if t.ndim == 0 else [expand(c, x0) for c in rates]
    return _Scene(x0, eps, *p.scales(t, x0), *made)


def _times(p: Perturbation) -> Tensor:
    return torch.linspace(max(p.t_min, 1e-3), 1, 4, dtype=torch.float64)


def _scenes(p: Perturbation) -> Iterator[_Scene]:
    for t in _times(p):
        yield _scene(p, normal(2, 3, seed=1), normal(2, 3, seed=2), t)
    for shape in EVENT_SHAPES:
        yield _scene(p, normal(4, *shape, seed=1), normal(4, *shape, seed=2), _times(p))


def _size(x: Tensor) -> float:
    return float(x.abs().max())


def _expect_finite(x: Tensor, what: str) -> None:
    bad = ~x.isfinite()
    if bool(bad.any()):
        expect(False, f"{what} is {x[bad][0].item():g}; raise SingularError where it does not exist")
