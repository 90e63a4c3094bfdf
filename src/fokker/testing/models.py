"""What every ScoreModel should do, and what an exact one should.

A model is called with events of the shape that its attribute `event_shape` tells, as exact models do; without it, with
the first of some usual shapes that it takes. Times are those of the perturbation's levels where it has any.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fokker.exact import ExactModel
from fokker.model import ScoreModel
from fokker.noise import Seeded
from fokker.perturbation import Perturbation
from fokker.prediction import Prediction
from fokker.testing.check import CheckFailed, NotApplicable, Suite, expect
from fokker.testing.compare import close, same
from fokker.testing.worlds import EVENT_SHAPES, normal

__all__ = ["suite"]

_B = 4
_QUANTITIES = ("x0", "eps", "score", "v", "velocity")
_SHAPES = (*EVENT_SHAPES, (3,), (2, 6, 5), (1, 16, 16), (1, 28, 28), (3, 32, 32))
_DRAWS = 1024
_DIMENSIONS = 256
"""Of a Jacobian that is taken one dimension after another."""

suite = Suite(ScoreModel)


@dataclass(frozen=True, eq=False)
class _Call:
    """Noisy data that a model takes, with everything else that it is called with."""

    model: ScoreModel
    shape: tuple[int, ...]
    dtype: torch.dtype
    cond: dict[str, Tensor] = field(default_factory=dict)

    @property
    def perturbation(self) -> Perturbation:
        return self.model.perturbation

    @property
    def tolerance(self) -> float:
        return 1e-8 if self.dtype == torch.float64 else 2e-4

    def state(self, t: Tensor) -> Tensor:
        """About as large as data of unit size at times (B,), with this noise."""
        x0, eps = normal(len(t), *self.shape, seed=1), normal(len(t), *self.shape, seed=2)
        return self.perturbation.perturb(x0, t, eps).to(self.dtype)

    def __call__(self, x: Tensor, t: Tensor | float, rows: Tensor | slice = slice(None)) -> Prediction:
        with torch.no_grad():
            return self.model(x, t, {name: value[rows] for name, value in self.cond.items()} or None)


@suite.check
def makes_its_state_again(model: ScoreModel) -> None:
    """Predicts x0 and eps of which alpha x0 + sigma eps is x, at one time and at one time per example."""
    call = _call(model)
    for t in _one_and_each(call):
        x = call.state(_each(t))
        q = call(x, t)
        alpha, sigma = call.perturbation.scales(t, x)
        close(alpha * q.x0 + sigma * q.eps, x, f"alpha x0 + sigma eps {_at(t)}", atol=_atol(call, x))


@suite.check
def quantities_agree(model: ScoreModel) -> None:
    """Predicts score = -eps / sigma, v = alpha eps - sigma x0 and velocity = alpha' x0 + sigma' eps."""
    call = _call(model)
    p = call.perturbation
    for t in _one_and_each(call):
        x = call.state(_each(t))
        q = call(x, t)
        alpha, sigma = (torch.as_tensor(c, dtype=x.dtype) for c in p.scales(t, x))
        d_alpha, d_sigma = (
            c.reshape(alpha.shape).to(x.dtype) for c in p.rates(torch.as_tensor(t, dtype=torch.float64))
        )
        expected = {
            "score": (-q.eps / sigma, q.eps.abs() / sigma),
            "v": (alpha * q.eps - sigma * q.x0, alpha * q.eps.abs() + sigma * q.x0.abs()),
            "velocity": (d_alpha * q.x0 + d_sigma * q.eps, (d_alpha * q.x0).abs() + (d_sigma * q.eps).abs()),
        }
        for name, (value, terms) in expected.items():
            close(getattr(q, name), value, f"{name} {_at(t)}", atol=call.tolerance * float(terms.abs().max()))


@suite.check
def times_agree(model: ScoreModel) -> None:
    """Predicts the same for one time as a number, as a tensor (), and as one time per example, (B,)."""
    call = _call(model)
    for t in _times(call.perturbation, 3):
        each = torch.full((_B,), t, dtype=torch.float64)
        x = call.state(each)
        eps = call(x, each).eps
        for given, one in (("a number", t), ("a tensor ()", each[0])):
            close(call(x, one).eps, eps, f"eps at t = {t:.4g}, given as {given},", atol=_atol(call, eps))


@suite.check
def batch_independent(model: ScoreModel) -> None:
    """Predicts the same for an example alone, in another place, and beside huge neighbours."""
    call = _call(model)
    t = torch.tensor(_times(call.perturbation, _B), dtype=torch.float64)
    x = call.state(t)
    together = call(x, t).eps
    atol = 100 * _atol(call, together)
    order = torch.tensor([2, 0, 3, 1])
    close(call(x[order], t[order], order).eps, together[order], "eps of an example in another place", atol=atol)
    for i in range(_B):
        row = slice(i, i + 1)
        close(call(x[row], t[row], row).eps, together[row], "eps of an example alone", atol=atol)
    huge = torch.cat([x[:-1], 1e3 * x[-1:]])
    close(call(huge, t).eps[:-1], together[:-1], "eps beside a huge neighbour", atol=atol)


@suite.check
def input_untouched(model: ScoreModel) -> None:
    """Leaves the state, the times and the conditions as they are."""
    call = _call(model)
    t = torch.tensor(_times(call.perturbation, _B), dtype=torch.float64)
    x = call.state(t)
    kept = x.clone(), t.clone(), {name: value.clone() for name, value in call.cond.items()}
    q = call(x, t)
    for name in _QUANTITIES:
        getattr(q, name)
    same(x, kept[0], "x after the call")
    same(t, kept[1], "t after the call")
    expect(not x.requires_grad and x.grad is None, "leaves gradients on x")
    for name, value in call.cond.items():
        same(value, kept[2][name], f"the condition {name} after the call")


@suite.check
def deterministic(model: ScoreModel) -> None:
    """Predicts the same twice and draws nothing from the global generator."""
    call = _call(model)
    t = torch.tensor(_times(call.perturbation, _B), dtype=torch.float64)
    x, state = call.state(t), torch.get_rng_state()
    first = call(x, t).eps.clone()
    call(2 * x, t)
    same(call(x, t).eps, first, "eps of a second call")
    expect(torch.equal(torch.get_rng_state(), state), "draws from the global generator; is a network in training mode?")


@suite.check
def keeps_shape_and_precision(model: ScoreModel) -> str:
    """Predicts tensors of the shape, precision and device of its state."""
    calls = list(_calls(model))
    for call in calls:
        t = torch.tensor(_times(call.perturbation, _B), dtype=torch.float64)
        for n in (_B, 1):
            x = call.state(t[:n])
            q = call(x, t[:n], slice(n))
            for name in _QUANTITIES:
                value = getattr(q, name)
                expect(value.shape == x.shape, f"{name} has the shape {tuple(value.shape)} at x of {tuple(x.shape)}")
                expect(value.dtype == x.dtype, f"{name} is {value.dtype} at x of {x.dtype}")
                expect(value.device == x.device, f"{name} is on {value.device} at x on {x.device}")
    return f"{calls[0].shape} in {', '.join(str(c.dtype).removeprefix('torch.') for c in calls)}"


@suite.check
def finite_at_the_ends(model: ScoreModel) -> None:
    """Predicts finite numbers at the first and the last time, in each precision that it takes."""
    for call in _calls(model):
        p = call.perturbation
        knots = p.knots
        first = p.t_min if knots is None else float(knots[0])
        if not float(p.sigma(torch.tensor(first, dtype=torch.float64))):
            first = 1e-5  # without noise there may be no density
        for t in (first, 1.0):
            q = call(call.state(torch.full((_B,), t, dtype=torch.float64)), t)
            for name in ("x0", "eps", "score", "v"):
                finite = bool(getattr(q, name).isfinite().all())
                expect(finite, f"{name} is not finite at t = {t:g} in {str(call.dtype).removeprefix('torch.')}")


@suite.check
def score_is_the_gradient(model: ScoreModel) -> None:
    """If exact: its score, and the score that it predicts, are the gradient of its log-density."""
    exact = _exact(model)
    call = _call(exact)
    t = torch.tensor(_times(call.perturbation, _B), dtype=torch.float64)
    x = call.state(t).requires_grad_()
    (gradient,) = torch.autograd.grad(exact.log_prob(x, t).sum(), x)
    x = x.detach()
    atol = 1e-8 * float(gradient.abs().max())
    close(exact.score(x, t), gradient, "the score", atol=atol)
    close(call(x, t).score, gradient, "the predicted score", atol=atol)


@suite.check
def density_moves_with_the_flow(model: ScoreModel) -> None:
    """If exact: d log p / dt = -div u - u . score, with u the velocity that it predicts (continuity equation)."""
    exact = _exact(model)
    call = _call(exact)
    if math.prod(call.shape) > _DIMENSIONS:
        raise NotApplicable(f"its events have more than {_DIMENSIONS} dimensions; check it on smaller ones")
    h = 1e-4
    for t in _smooth_times(call.perturbation, h):
        x = call.state(torch.full((3,), t, dtype=torch.float64)).requires_grad_()
        velocity = exact(x, t).velocity
        columns = velocity.flatten(1).unbind(1)
        jacobian = [
            torch.autograd.grad(c.sum(), x, retain_graph=True)[0].flatten(1)[:, i] for i, c in enumerate(columns)
        ]
        with torch.no_grad():
            terms = (velocity * exact.score(x, t)).flatten(1).sum(1) + torch.stack(jacobian).sum(0)
            near, far = (exact.log_prob(x, t + s) - exact.log_prob(x, t - s) for s in (h, 2 * h))
            rate = (8 * near - far) / (12 * h)
        close(rate, -terms, f"d log p / dt at t = {t:.4g}", atol=1e-5 * (1 + float(terms.abs().max())))


@suite.check
def draws_have_its_law(model: ScoreModel) -> None:
    """If exact: over its draws, perturbed, the means of the score and of 1 + x score are 0 (Stein's identity)."""
    exact = _exact(model)
    shape, p = exact.event_shape, exact.perturbation
    x0 = exact.draw(_DRAWS, Seeded(0))
    expect(
        x0.shape == (_DRAWS, *shape), f"draws have the shape {tuple(x0.shape)} where {(_DRAWS, *shape)} was asked for"
    )
    expect(x0.dtype == torch.float64, f"draws are {x0.dtype} where float64 was asked for")
    same(exact.draw(_DRAWS, Seeded(0)), x0, "the draws of the same noise")
    eps = normal(_DRAWS, *shape, seed=3)
    for t in _times(p, 2, low=0.05, high=0.4):
        x = p.perturb(x0, torch.full((_DRAWS,), t, dtype=torch.float64), eps)
        score = torch.cat([exact.score(part, t) for part in x.split(32)]).flatten(1)
        for name, value in (("the score", score), ("1 + x score", 1 + x.flatten(1) * score)):
            error = value.std(0) / math.sqrt(_DRAWS)
            off = float((value.mean(0).abs() / error).max())
            expect(off < 6, f"the mean of {name} over draws is {off:.1f} standard errors from 0 at t = {t:.4g}")


def _exact(model: ScoreModel) -> ExactModel:
    if not isinstance(model, ExactModel):
        raise NotApplicable("it is no ExactModel: its score is not known otherwise")
    return model


def _call(model: ScoreModel) -> _Call:
    return next(_calls(model))


def _calls(model: ScoreModel) -> Iterator[_Call]:
    """In float64 and in float32, as far as the model takes them, on the first shape that it takes.

    Raises:
        CheckFailed: If it takes none.
    """
    known = getattr(model, "event_shape", None)
    first: Exception | None = None
    for shape in _SHAPES if known is None else (tuple(known),):
        found = False
        for dtype in (torch.float64, torch.float32):
            for cond in _conds(model, dtype):
                call = _Call(model, shape, dtype, cond)
                t = torch.tensor(_times(call.perturbation, _B), dtype=torch.float64)
                try:
                    call(call.state(t), t)
                except Exception as error:
                    first = first or error
                    continue
                found = True
                yield call
                break
        if found:
            return
    tried = ", ".join(map(str, _SHAPES if known is None else (known,)))
    raise CheckFailed(
        f"raises on events of the shapes {tried}, at first {first!r}; a model of other events tells their shape in its "
        "attribute event_shape"
    ) from first


def _conds(model: ScoreModel, dtype: torch.dtype) -> tuple[dict[str, Tensor], ...]:
    """What a model is called with besides the state, tried in this order; its own `conditions(n)` if it has some."""
    own = getattr(model, "conditions", None)
    if own is None:
        return {}, {"label": torch.zeros(_B, dtype=torch.int64)}
    return ({name: value.to(dtype) if value.is_floating_point() else value for name, value in own(_B).items()},)


def _times(perturbation: Perturbation, n: int, *, low: float = 0.23, high: float = 0.81) -> list[float]:
    """Times away from the ends, on levels where there are any."""
    knots = perturbation.knots
    times = torch.linspace(low, high, n, dtype=torch.float64)
    if knots is not None:
        times = knots[(times * (len(knots) - 1)).round().long()]
    found: list[float] = times.tolist()
    return found


def _smooth_times(perturbation: Perturbation, h: float) -> list[float]:
    """Times about which alpha and sigma are smooth: between levels where there are any."""
    knots = perturbation.knots
    if knots is None:
        return [0.3, 0.7]
    wide = [(a + b) / 2 for a, b in zip(knots.tolist(), knots.tolist()[1:], strict=False) if b - a > 8 * h and a > 0.1]
    if not wide:
        raise NotApplicable("the levels of its perturbation are too close to differentiate between them")
    return [wide[len(wide) // 3], wide[2 * len(wide) // 3]]


def _one_and_each(call: _Call) -> Iterator[Tensor | float]:
    times = _times(call.perturbation, _B)
    yield times[1]
    yield torch.tensor(times, dtype=torch.float64)


def _each(t: Tensor | float) -> Tensor:
    return t if isinstance(t, Tensor) else torch.full((_B,), t, dtype=torch.float64)


def _at(t: Tensor | float) -> str:
    return "at one time per example" if isinstance(t, Tensor) else f"at t = {t:.4g}"


def _atol(call: _Call, x: Tensor) -> float:
    return call.tolerance * (1 + float(x.abs().max()))
