"""What every Objective should do.

Where it is least is found without Monte Carlo, see `fokker.testing.optimum`. Times are those that the objective itself
makes of uniform numbers.
"""

import dataclasses
from collections.abc import Mapping
from functools import partial
from math import prod

import torch
from torch import Tensor, nn

from fokker.label import Time
from fokker.model import NetworkModel, ScoreModel
from fokker.noise import Noise, PerSample, Seeded
from fokker.objective import Objective
from fokker.parameterization import Eps
from fokker.perturbation import Perturbation
from fokker.testing.check import NotApplicable, Suite, expect, refused
from fokker.testing.compare import close, same
from fokker.testing.expectation import Draw, Handed, Logged
from fokker.testing.optimum import AffineWorld, NotQuadratic, TwoClasses, TwoModes, choices_of_nodes, normals
from fokker.testing.worlds import EVENT_SHAPES, PERTURBATIONS, WITHOUT_NOISE, normal
from fokker.weighting import EDMWeight, MinSNR, Simple, Weighting

__all__ = ["suite"]

_EVENT, _CLASSES = (4,), 3
Cond = Mapping[str, Tensor] | None

_EVERYWHERE = {**PERTURBATIONS, **WITHOUT_NOISE}
_LAST = 1 - 2**-53
"""The largest of the numbers that times are made of."""


class _Backbone(nn.Module):
    """A small smooth network for any event, told the time and the class.

    It remembers whether gradients were asked for in the data, and whether it was told a class.

    Args:
        event_shape: Shape of its input.
        dtype: Of its parameters.
        classes: Number of its outputs, if they are not those of its input.
    """

    def __init__(self, event_shape: tuple[int, ...], dtype: torch.dtype, classes: int | None) -> None:
        super().__init__()
        d = prod(event_shape)
        self.asked = self.told = False
        self.inner = nn.Parameter(normal(d, 3, seed=4).to(dtype) / d**0.5)
        self.outer = nn.Parameter(normal(3, d if classes is None else classes, seed=5).to(dtype))
        self._classes = classes

    def forward(self, x: Tensor, label: Tensor, cond: Mapping[str, Tensor] | None = None) -> Tensor:
        self.asked |= x.requires_grad
        told = label
        if cond is not None and "label" in cond:
            self.told, told = True, label + cond["label"]
        out = (x.flatten(1) @ self.inner + told[:, None]).tanh() @ self.outer
        return out.view_as(x) if self._classes is None else out


def _network(
    objective: Objective, p: Perturbation, event_shape: tuple[int, ...] = _EVENT, dtype: torch.dtype = torch.float64
) -> NetworkModel:
    classes = _CLASSES if objective.teaches == "classes" else None
    return NetworkModel(_Backbone(event_shape, dtype, classes), p, Eps(), Time())


def _cond(objective: Objective, n: int) -> dict[str, Tensor] | None:
    """Classes of n examples, if it teaches them; others are checked without."""
    return {"label": torch.arange(n) % _CLASSES} if objective.teaches == "classes" else None


def _observe(objective: Objective) -> list[object]:
    u = torch.linspace(0, _LAST, 9, dtype=torch.float64)
    found: list[object] = []
    accepted = _accepted(objective)
    for p in accepted[:1] + accepted[1:][-1:]:  # one without and one with levels, if it takes both
        t = objective.times(p, u)
        cond = {"label": torch.arange(9) % 3}
        found += [t, objective.loss(_network(objective, p), normal(9, *_EVENT), t, Seeded(0), cond).detach()]
    return found


suite = Suite(Objective, observe=_observe)


@suite.check(over=_EVERYWHERE)
def times(objective: Objective, perturbation: Perturbation) -> None:
    """Makes of each uniform number a time from t_min to 1, float64, whatever the other numbers are."""
    u = torch.cat([torch.linspace(0, _LAST, 41, dtype=torch.float64) ** power for power in (1, 3)])
    kept, state = u.clone(), torch.get_rng_state()
    t = _times(objective, perturbation, u)
    expect(t.shape == u.shape, f"gives {tuple(t.shape)} times for {tuple(u.shape)} numbers")
    expect(t.dtype == torch.float64, f"gives times of {t.dtype}")
    low, high, t_min = float(t.min()), float(t.max()), perturbation.t_min
    expect(t_min <= low and high <= 1, f"gives times from {low:g} to {high:g} for t_min = {t_min:g}")
    same(u, kept, "u after the call")
    expect(torch.equal(torch.get_rng_state(), state), "draws times from the global generator")
    alone = torch.cat([objective.times(perturbation, u[i : i + 1]) for i in range(len(u))])
    close(alone, t, "the time of a number alone", rtol=1e-12, atol=1e-15)


@suite.check(over=_EVERYWHERE)
def finite_losses(objective: Objective, perturbation: Perturbation) -> None:
    """Gives a finite loss per example, (B,), and finite gradients of the model's parameters, in float32 and float64."""
    u = torch.tensor([0.0, 0.1, 0.5, 0.9, _LAST], dtype=torch.float64)
    t = _times(objective, perturbation, u)
    for dtype in (torch.float64, torch.float32):
        model = _network(objective, perturbation, dtype=dtype)
        x0 = normal(len(t), *_EVENT).to(dtype)
        loss = refused(partial(objective.loss, model, x0, t, Seeded(0), _cond(objective, len(t))))
        _check_loss(loss, x0)
        expect(loss.requires_grad, "gives a loss that cannot be differentiated in the model's parameters")
        loss.sum().backward()
        for name, parameter in model.backbone.named_parameters():
            expect(parameter.grad is not None, f"gives the parameter {name} no gradient")
            finite = bool(parameter.grad.isfinite().all())  # type: ignore[union-attr]
            expect(finite, f"gives the parameter {name} a gradient that is not finite, in {dtype}")


@suite.check(over={"x".join(map(str, shape)): shape for shape in EVENT_SHAPES})
def event_shape(objective: Objective, shape: tuple[int, ...]) -> None:
    """Gives a finite loss per example, (B,), of events of this shape."""
    p, t = _some(objective, 3)
    x0 = normal(3, *shape)
    noise, cond = PerSample(0, range(3), shape), _cond(objective, 3)
    _check_loss(refused(lambda: objective.loss(_network(objective, p, shape), x0, t, noise, cond)), x0)


@suite.check
def replayable(objective: Objective) -> None:
    """Gives the same loss for the same noise, and leaves the global generator alone."""
    p, t = _some(objective, 6)
    model, x0 = _network(objective, p), normal(6, *_EVENT)
    torch.manual_seed(1)
    first, state = _loss(objective, model, x0, t), torch.get_rng_state()
    torch.manual_seed(2)
    same(_loss(objective, model, x0, t), first, "the loss with the same noise and another global seed")
    torch.manual_seed(1)
    expect(torch.equal(torch.get_rng_state(), state), "draws from the global generator")


@suite.check
def input_untouched(objective: Objective) -> None:
    """Leaves the data, the times, the conditions and the model's parameters as they are, without gradients."""
    p, t = _some(objective, 6)
    model, x0, cond = _network(objective, p), normal(6, *_EVENT), {"label": torch.arange(6) % _CLASSES}
    kept = x0.clone(), t.clone(), cond["label"].clone()
    weights = {name: value.clone() for name, value in model.backbone.state_dict().items()}
    objective.loss(model, x0, t, _noise(range(6)), cond)
    for name, now, before in zip(("x0", "t"), (x0, t), kept, strict=False):
        same(now, before, f"{name} after the call")
        expect(not now.requires_grad and now.grad is None, f"leaves {name} with gradients asked for")
    expect(list(cond) == ["label"], "adds to, or takes from, the conditions")
    same(cond["label"], kept[2], "the labels after the call")
    for name, parameter in model.backbone.named_parameters():
        same(parameter.detach(), weights[name], f"the parameter {name} after the call")
        expect(parameter.grad is None, f"leaves a gradient on the parameter {name}: use torch.autograd.grad")


@suite.check
def without_gradients(objective: Objective) -> None:
    """Gives the same loss under torch.no_grad and for a model whose parameters take no gradient, as in validation."""
    p, t = _some(objective, 6)
    model, x0 = _network(objective, p), normal(6, *_EVENT)
    expected = _loss(objective, model, x0, t)
    with torch.no_grad():
        found = _loss(objective, model, x0, t)
        expect(not torch.is_grad_enabled(), "leaves gradients switched on")
    close(found, expected, "the loss under torch.no_grad", rtol=1e-9, atol=1e-12)
    model.backbone.requires_grad_(False)
    close(_loss(objective, model, x0, t), expected, "the loss of a frozen model", rtol=1e-9, atol=1e-12)


@suite.check
def differentiates(objective: Objective) -> str:
    """Says whether it differentiates the model's answers in the data."""
    p, t = _some(objective, 6)
    model = _network(objective, p)
    objective.loss(model, normal(6, *_EVENT), t, _noise(range(6)), _cond(objective, 6))
    if model.backbone.asked:
        expect(objective.differentiates, "asks for gradients in the data: say differentiates = True")
        return "it does"
    expect(not objective.differentiates, "says that it differentiates, and asks for no gradients in the data")
    return "it does not"


@suite.check
def examples_independent(objective: Objective) -> None:
    """Gives an example the same loss alone, in another place, and beside other examples."""
    n = 6
    p, t = _some(objective, n)
    model, x0, cond = _network(objective, p), normal(n, *_EVENT), {"label": torch.arange(n) % 3}

    def loss(index: list[int], data: Tensor) -> Tensor:
        here = {"label": cond["label"][index]}
        return objective.loss(model, data[index], t[index], _noise(index), here).detach()

    together = loss([*range(n)], x0)
    close(
        loss([3, 0, 5, 1, 4, 2], x0), together[[3, 0, 5, 1, 4, 2]], "the loss in another place", rtol=1e-9, atol=1e-12
    )
    for i in range(n):
        close(loss([i], x0), together[i : i + 1], "the loss of an example alone", rtol=1e-9, atol=1e-12)
    others = torch.cat([x0[:3], 10 * x0[3:]])
    close(loss([*range(n)], others)[:3], together[:3], "the loss beside other examples", rtol=1e-9, atol=1e-12)


@suite.check
def draws_are_used(objective: Objective) -> str:
    """Draws nothing without an effect on some loss."""
    n = 64
    p, t = _some(objective, n)
    model, x0, cond = _network(objective, p), normal(n, *_EVENT), {"label": torch.arange(n) % 3}
    logged = Logged(Seeded(0))
    expected = objective.loss(model, x0, t, logged, cond).detach()
    for k, draw in enumerate(logged.draws):
        changed = [*logged.draws[:k], draw.again(Seeded(1 + k)), *logged.draws[k + 1 :]]
        loss = objective.loss(model, x0, t, Handed(changed), cond).detach()
        shape = tuple(draw.value.shape[1:])
        expect(not torch.equal(loss, expected), f"draws {draw.kind} numbers {shape} and does not use them")
    return f"{len(logged.draws)} draws"


@suite.check
def conditions_are_passed_on(objective: Objective) -> None:
    """Passes the conditions on to the model, but for a class that it should find by itself."""
    n = 16
    p, t = _some(objective, n)
    model, x0 = _network(objective, p), normal(n, *_EVENT)
    losses = [objective.loss(model, x0, t, _noise(range(n)), {"label": torch.full((n,), k)}).detach() for k in (0, 1)]
    expect(not torch.equal(*losses), "gives the same loss whatever the class: the model does not get the conditions")
    if objective.teaches == "classes":
        expect(not model.backbone.told, "tells the model the class that it should find by itself")


@suite.check
def weighting_is_applied_once(objective: Objective) -> None:
    """Is proportional to its weighting, if it has one: losses under two of them are as the weights are."""
    names = [f.name for f in dataclasses.fields(objective) if isinstance(getattr(objective, f.name), Weighting)]  # type: ignore[arg-type]
    if not names:
        raise NotApplicable("it has no field that is a weighting")
    p, t = _some(objective, 6)
    model, x0 = _network(objective, p), normal(6, *_EVENT)
    for name in names:
        found = []
        for weighting in (Simple(), EDMWeight(), MinSNR(gamma=0.5)):
            other = refused(partial(dataclasses.replace, objective, **{name: weighting}))  # type: ignore[type-var]
            found.append((_loss(other, model, x0, t), weighting(p, t)))
        (loss, weight), *others = found
        for other_loss, other_weight in others:
            ratio, expected = other_loss / loss, other_weight / weight
            close(ratio, expected, f"the ratio of losses under two of {name}", rtol=1e-6)


@suite.check(over=_EVERYWHERE)
def optimum_on_gaussian_data(objective: Objective, perturbation: Perturbation) -> str | None:
    """Is least, among affine scores, at the exact score of Gaussian data."""
    _teaches_data(objective)
    kind = None
    for t in _some_times(objective, perturbation):
        world = AffineWorld(perturbation, t)
        draws = _draws(objective, world.family, world.family.exact.event_shape, t)
        loss = world.expectation(objective, draws)
        try:
            off = world.minimum(loss) / world.slope.repeat(3)
        except NotQuadratic:
            # with nodes symmetric in what the state does not tell of the noise, the gradient vanishes all the same
            turned = [world.expectation(objective, draws, noise=k) for k in normals(draws, (2,))]
            least = min((float(world.gradient(each).abs().max()) for each in turned), default=float("inf"))
            scale = float(world.gradient(loss, torch.full((6,), 1.5, dtype=torch.float64)).abs().max())
            expect(
                least < 1e-6 * scale,
                f"has a gradient of {least:.2g} at the exact score at t = {t:.4g}, where a wrong one has {scale:.2g}",
            )
            kind = "not quadratic in the score"
            continue
        worst = int(off.abs().argmax())
        place = ("the slope along x[0]", "the slope along x[1]", "the offset")[worst // 2]
        expect(
            float(off[worst].abs()) < 1e-6,
            f"is least at another score than the exact one at t = {t:.4g}: {place} of eps[{worst % 2}] is off by "
            f"{float(off[worst]):.3g} of the exact slope",
        )
        kind = "quadratic in the score"
    return kind


@suite.check(over=_EVERYWHERE)
def optimum_on_two_modes(objective: Objective, perturbation: Perturbation) -> None:
    """Is least at the exact score of data with two modes, among its changes by 1, x and sin x, if it is quadratic."""
    _teaches_data(objective)
    for t in _some_times(objective, perturbation):
        world = TwoModes(perturbation, t)
        draws = _draws(objective, world.family, world.family.exact.event_shape, t)
        found: list[Tensor] = []
        for nodes in choices_of_nodes(draws):
            try:
                off = world.minimum(world.expectation(objective, draws, nodes)) / world.slope
            except NotQuadratic:
                raise NotApplicable("its loss is not quadratic in the score, and may be least at another one") from None
            found.append(off)
            if float(off.abs().max()) < 1e-3:
                break
        else:
            a, b, c = min(found, key=lambda off: float(off.abs().max())).tolist()
            expect(False, f"is lowered at t = {t:.4g} by adding {a:.3g} + {b:.3g} x + {c:.3g} sin x to the exact score")


@suite.check(over=_EVERYWHERE)
def optimum_on_two_classes(objective: Objective, perturbation: Perturbation) -> None:
    """Is least at the exact probabilities of two classes, among changes by 1, x and sin x, if it teaches classes."""
    if objective.teaches != "classes":
        raise NotApplicable("it teaches no classes")
    for t in _some_times(objective, perturbation):
        world = TwoClasses(perturbation, t)
        draws = _draws(objective, world.model, (1,), t, {"label": torch.zeros(1, dtype=torch.int64)})
        loss = world.expectation(objective, draws)
        gradient, scale = world.gradient(loss), world.gradient(loss, 1.5)
        off = float(gradient.abs().max() / scale.abs().max())
        expect(
            off < 1e-3,
            f"has a gradient at the exact probabilities at t = {t:.4g} that is {off:.2g} of the one at wrong ones",
        )


def _teaches_data(objective: Objective) -> None:
    if objective.teaches != "data":
        raise NotApplicable(f"it teaches {objective.teaches}, not a score")


def _draws(
    objective: Objective, model: ScoreModel, event_shape: tuple[int, ...], t: float, cond: Cond = None
) -> list[Draw]:
    """What is drawn for one example."""
    logged = Logged(Seeded(0))
    x0 = torch.zeros(1, *event_shape, dtype=torch.float64)
    refused(lambda: objective.loss(model, x0, torch.full((1,), t, dtype=torch.float64), logged, cond))
    return logged.draws


def _accepted(objective: Objective) -> list[Perturbation]:
    """The perturbations that it does not refuse.

    Raises:
        NotApplicable: If it refuses all.
    """
    found, reason = [], ""
    for p in PERTURBATIONS.values():
        try:
            _some_times(objective, p)
        except NotApplicable as error:
            reason = reason or str(error)
        else:
            found.append(p)
    if not found:
        raise NotApplicable(f"it takes none of the perturbations {', '.join(PERTURBATIONS)}; {reason}")
    return found


def _some(objective: Objective, n: int) -> tuple[Perturbation, Tensor]:
    """The first perturbation that it takes, and times."""
    p = _accepted(objective)[0]
    return p, objective.times(p, torch.linspace(0.05, 0.95, n, dtype=torch.float64))


def _some_times(objective: Objective, p: Perturbation) -> list[float]:
    u = torch.tensor([0.05, 0.5, 0.95], dtype=torch.float64)
    return sorted(set(_times(objective, p, u).tolist()))


def _times(objective: Objective, p: Perturbation, u: Tensor) -> Tensor:
    """Its times, unless it does not take the perturbation."""
    if p.vanishing and not objective.without_noise:
        raise NotApplicable("it learns from noise, and there is none")
    t: Tensor = refused(lambda: objective.times(p, u))
    return t


def _noise(index: range | list[int]) -> Noise:
    return PerSample(0, index, _EVENT)


def _loss(objective: Objective, model: ScoreModel, x0: Tensor, t: Tensor) -> Tensor:
    return objective.loss(model, x0, t, _noise(range(len(x0))), _cond(objective, len(x0))).detach()


def _check_loss(loss: Tensor, x0: Tensor) -> None:
    expect(
        loss.shape == x0.shape[:1], f"gives losses {tuple(loss.shape)} for {len(x0)} examples of {tuple(x0.shape[1:])}"
    )
    expect(bool(loss.isfinite().all()), f"gives a loss that is not finite, in {x0.dtype}")
