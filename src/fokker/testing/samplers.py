"""What every sampler should do.

On Gaussian data the score, the probability flow and every marginal are formulas, so a sampler's order, its law and its
evaluations are measurements, exact and free of chance.
"""

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fokker.errors import SingularError
from fokker.model import Counted, ScoreModel
from fokker.noise import SilentEnd, Zero
from fokker.perturbation import VE, VP, Perturbation
from fokker.prediction import Prediction
from fokker.sampler import Sampler, trajectory
from fokker.testing.check import CheckFailed, NotApplicable, Suite, expect, refused
from fokker.testing.compare import close, same
from fokker.testing.moments import affine_map
from fokker.testing.order import Convergence, measure_order, measure_strong_order, measure_weak_order, uneven
from fokker.testing.runs import Tape, Watched, descent, end, per_sample, start, states
from fokker.testing.stationary import stays_in_place
from fokker.testing.worlds import (
    CONTINUOUS,
    PERTURBATIONS,
    WITHOUT_NOISE,
    gaussian,
    mixture,
    normal,
    overlapping,
    point_mass,
)

__all__ = ["suite"]

_BATCH = 5
_SLACK = 0.25
"""How far below its claim a measured order may lie: the slope between the two finest grids has not quite settled."""


def _observe(sampler: Sampler) -> list[Any]:
    found: list[Any] = [sampler.claims]
    for p in (VP(), VE()):
        x, grid = start(p, descent(), _BATCH, 2), descent()
        found.append(end(sampler, mixture(p), x, grid, per_sample(x)))
    return found


suite = Suite(Sampler, observe=_observe)


@suite.check(over=PERTURBATIONS)
def follows_the_grid(sampler: Sampler, p: Perturbation) -> None:
    """Yields the start untouched, then one state for every further time of its levels, the last one included."""
    x, grid = start(p, descent(), _BATCH, 2), descent()
    found = states(sampler, mixture(p), x, grid, per_sample(x))
    times = [float(torch.as_tensor(s.t, dtype=torch.float64).max()) for s in found]
    levels = sampler.levels(grid).tolist()
    expect(times == levels, f"yields the times {_short(times)} where its levels are {_short(levels)}")
    same(found[0].x, x, "the first state")
    shapes = {tuple(s.x.shape) for s in found}
    expect(shapes == {(_BATCH, 2)}, f"yields states of the shapes {sorted(shapes)} for a start of shape {(_BATCH, 2)}")


@suite.check(over=WITHOUT_NOISE)
def without_noise(sampler: Sampler, p: Perturbation) -> str:
    """Gets somewhere where there is no noise, if it claims to do without."""
    if not sampler.claims.without_noise:
        raise NotApplicable("it claims no such thing: it goes from noise to data, or takes its steps from the noise")
    x, grid = normal(_BATCH, 2), descent()
    far = end(sampler, mixture(p), x, grid, per_sample(x)) - x
    expect(bool(far.isfinite().all()), "ends in states that are not finite")
    moved = float(far.square().mean().sqrt())
    expect(moved > 1e-3, f"moves by {moved:.2g} of the data's width: there is nothing for it to do")
    return f"moves by {moved:.2g} of the data's width"


@suite.check
def replayable(sampler: Sampler) -> None:
    """Gives the same states bit for bit from the same start and noise."""
    p, grid = VP(), descent()
    x = start(p, grid, _BATCH, 2)
    first, second = (states(sampler, mixture(p), x, grid, per_sample(x)) for _ in range(2))
    for k, (a, b) in enumerate(zip(first, second, strict=True)):
        same(b.x, a.x, f"state {k} of a second run")


@suite.check
def global_generators_untouched(sampler: Sampler) -> None:
    """Draws from `noise` alone: the global generators neither change nor matter."""
    p, grid = VP(), descent()
    x = start(p, grid, _BATCH, 2)
    ends = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
        ends.append(end(sampler, mixture(p), x, grid, per_sample(x)))
        after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
        for name, a, b in zip(("torch", "random", "numpy"), before, after, strict=True):
            equal = torch.equal(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else a == b
            expect(equal, f"draws from the global generator of {name}")
    same(ends[1], ends[0], "the end after another torch.manual_seed")


@suite.check
def inputs_untouched(sampler: Sampler) -> None:
    """Leaves the start, the grid and the states that it has yielded as they are."""
    p, grid = VP(), descent()
    x = start(p, grid, _BATCH, 2)
    kept_x, kept_grid, noise = x.clone(), grid.clone(), per_sample(x)
    kept, live = [], []
    for state in trajectory(mixture(p), sampler, grid, noise, x, final="none"):
        live.append(state.x)
        kept.append(state.x.clone())
    same(x, kept_x, "the start after the run")
    same(grid, kept_grid, "the grid after the run")
    for k, (a, b) in enumerate(zip(live, kept, strict=True)):
        same(a, b, f"state {k}, once yielded,")


@suite.check
def stateless(sampler: Sampler) -> None:
    """Remembers nothing: a run between two others, or interleaved with another, changes neither."""
    p, grid, other = VP(), descent(), descent(steps=9, first=0.8, last=0.3)
    x, y = start(p, grid, _BATCH, 2), start(p, other, 3, 2, seed=4)
    model = mixture(p)
    alone = states(sampler, model, x, grid, per_sample(x)), states(sampler, model, y, other, per_sample(y))
    again = states(sampler, model, x, grid, per_sample(x))
    same(again[-1].x, alone[0][-1].x, "the end of a run after another run")
    runs = (
        trajectory(model, sampler, grid, per_sample(x), x, final="none"),
        trajectory(model, sampler, other, per_sample(y), y, final="none"),
    )
    ends = [x, y]
    running = [0, 1]
    while running:
        for i in list(running):
            state = next(runs[i], None)
            if state is None:
                running.remove(i)
            else:
                ends[i] = state.x
    for i in (0, 1):
        same(ends[i], alone[i][-1].x, "the end of a run interleaved with another")


@suite.check
def batch_independent(sampler: Sampler) -> str:
    """Sample i is sample i: alone, in another order, among others, or beside one that is not finite."""
    p, grid = VP(), descent()
    x = start(p, grid, _BATCH, 2)
    model = mixture(p)
    whole = end(sampler, model, x, grid, per_sample(x))
    shared = sampler.claims.shared_steps
    tolerance = 1e-3 if shared else 1e-9
    for rows in ([3], [1, 2], [4, 0, 3, 1, 2]):
        part = end(sampler, model, x[rows], grid, per_sample(x[rows], rows))
        close(part, whole[rows], f"the end of samples {rows} in a batch of their own", rtol=tolerance, atol=tolerance)
    if shared:
        return "to 1e-3: claims steps that a batch shares"
    broken = x.clone()
    broken[2] = torch.nan
    rows = [0, 1, 3, 4]
    beside = end(sampler, model, broken, grid, per_sample(x))
    close(beside[rows], whole[rows], "the end beside a sample that is not finite", rtol=tolerance, atol=tolerance)
    return ""


@suite.check
def any_event_shape(sampler: Sampler) -> None:
    """Does the same to the same numbers whatever the shape of an example."""
    p, grid = VP(), descent()
    x = start(p, grid, _BATCH, 12)
    flat = end(sampler, mixture(p, (12,)), x, grid, _Shaped((12,)))
    for shape in ((3, 4), (1, 2, 3, 2), (2, 1, 1, 2, 3)):
        found = end(sampler, mixture(p, shape), x.reshape(-1, *shape), grid, _Shaped(shape))
        expect(found.shape == (_BATCH, *shape), f"turns the event shape {shape} into {tuple(found.shape[1:])}")
        close(found.flatten(1), flat, f"the end of examples of shape {shape}", rtol=1e-9, atol=1e-9)


@suite.check
def evaluations(sampler: Sampler) -> str:
    """Evaluates the model as often as it claims."""
    claims = sampler.claims
    if claims.evaluations is None:
        raise NotApplicable("it claims no number of evaluations")
    p = VP()
    for steps in (1, 6):
        grid = descent(steps)
        x = start(p, grid, _BATCH, 2)
        counted = Counted(mixture(p))
        end(sampler, counted, x, grid, per_sample(x))
        claimed = steps * claims.evaluations + claims.at_end
        expect(
            counted.calls == claimed,
            f"claims {claims.evaluations} evaluations a step and {claims.at_end} at the end, {claimed} for {steps} "
            f"steps; makes {counted.calls}",
        )
    return f"{claims.evaluations} a step" + (f", {claims.at_end} at the end" if claims.at_end else "")


@suite.check
def asks_within_time(sampler: Sampler) -> None:
    """Asks the model about times in [0, 1] only, down to the very end of the grid."""
    for p in CONTINUOUS.values():
        grid = descent(first=1.0, last=max(p.t_min, 1e-3))
        x = start(p, grid, _BATCH, 2)
        watched = Watched(mixture(p))
        end(sampler, watched, x, grid, per_sample(x))
        if watched.times:
            low, high = float(torch.cat(watched.times).min()), float(torch.cat(watched.times).max())
            expect(0 <= low and high <= 1, f"asks about times from {low:.6g} to {high:.6g}")


@suite.check
def passes_conditions_on(sampler: Sampler) -> None:
    """Hands the conditions on to the model at every evaluation, row by row."""
    p, grid = VP(), descent()
    x = start(p, grid, _BATCH, 2)
    watched = Watched(mixture(p))
    end(sampler, watched, x, grid, per_sample(x), {"label": torch.arange(_BATCH)})
    for size, cond in zip(watched.sizes, watched.conds, strict=True):
        expect(cond is not None and set(cond) == {"label"}, "evaluates the model without the conditions that it got")
        assert cond is not None
        expect(
            len(cond["label"]) == size,
            f"evaluates {size} rows with the conditions of {len(cond['label'])}",
        )


@suite.check
def draws_as_claimed(sampler: Sampler) -> str:
    """Draws noise if it claims to be stochastic, uses every draw, and draws none otherwise."""
    p, grid = VP(), descent(4)
    x = start(p, grid, _BATCH, 2)
    tape = Tape()
    whole = end(sampler, mixture(p), x, grid, tape)
    if not sampler.claims.stochastic:
        expect(tape.count == 0, f"claims to be deterministic and draws {tape.count} times in 4 steps")
        return "none"
    expect(tape.count > 0, "claims to be stochastic and draws nothing")
    for k in range(0, tape.count, 1 + tape.count // 64):  # an adaptive sampler's are many: some of them
        wiped = end(sampler, mixture(p), x, grid, Tape(wiped=[k]))
        expect(not torch.equal(wiped, whole), f"draw {k + 1} of {tape.count} has no effect: it should not be drawn")
    return f"{tape.count} in 4 steps"


@suite.check
def silent_end(sampler: Sampler) -> None:
    """Takes the noise of its very last update from `noise.final`, so that the end can be a mean."""
    if not sampler.claims.stochastic:
        raise NotApplicable("it claims to draw nothing")
    if sampler.claims.own_steps or sampler.claims.shared_steps:
        raise NotApplicable("it claims steps of its own choice: its last update is not the batch's last draw")
    p, grid = VP(), descent(4)
    x = start(p, grid, _BATCH, 2)
    if sampler.claims.quiet_end:
        whole, silent = (end(sampler, mixture(p), x, grid, noise) for noise in (Tape(), SilentEnd(Tape())))
        same(silent, whole, "the end without the last noise, where it claims that there is none,")
        order = _Order()
        end(sampler, _Asked(mixture(p), order), x, grid, order)
        expect(not order.drawn_last, "claims a quiet end and evaluates nothing after its last draw")
        return
    tape = Tape()
    drawn = refused(lambda: [tape.count for _ in trajectory(mixture(p), sampler, grid, tape, x, final="none")])
    silent = end(sampler, mixture(p), x, grid, SilentEnd(Tape()))
    # one that draws nothing in its last step, as where churn ends early, has nothing to silence
    wiped = end(sampler, mixture(p), x, grid, Tape(wiped=[drawn[-1] - 1] if drawn[-1] > drawn[-2] else []))
    close(silent, wiped, "the end without the last noise", rtol=1e-12, atol=1e-12)


@suite.check(over=PERTURBATIONS)
def finite_in_float32(sampler: Sampler, p: Perturbation) -> str:
    """Stays finite and near its float64 self in float32, from t = 1 down to t_min, in float32 throughout."""
    grid = torch.linspace(1.0, p.t_min, 13, dtype=torch.float64)
    x = start(p, grid, _BATCH, 2)
    wide = states(sampler, mixture(p), x, grid, Tape())
    narrow = states(sampler, mixture(p), x.float(), grid, Tape())
    for state in narrow:
        expect(state.x.dtype == torch.float32, f"turns a start in float32 into {state.x.dtype}")
        time = float(torch.as_tensor(state.t).max())
        expect(bool(state.x.isfinite().all()), f"is not finite in float32 at t = {time:g}")
    if sampler.claims.own_steps and sampler.claims.stochastic:
        return "finite; steps of its own, which rounding decides, draw other noise"
    scale = float(wide[-1].x.abs().max())
    close(narrow[-1].x, wide[-1].x, "the end in float32", rtol=1e-2, atol=1e-2 * scale)
    return ""


@suite.check(over={name: PERTURBATIONS[name] for name in ("vp", "betas")})
def finite_on_clean_data(sampler: Sampler, p: Perturbation) -> str:
    """Stays finite down to clean data, where sigma is 0 and the log-SNR infinite, or refuses to go there."""
    grid = torch.linspace(0.9, 0.0, 7, dtype=torch.float64)
    x = start(p, grid, _BATCH, 2)
    try:
        found = states(sampler, mixture(p), x, grid, Tape())
    except SingularError as error:
        return f"refused: {error}"
    for state in found:
        time = float(torch.as_tensor(state.t).max())
        expect(bool(state.x.isfinite().all()), f"is not finite at t = {time:g}, on the way to t = 0, where sigma is 0")
    return ""


@suite.check(over=CONTINUOUS)
def order(sampler: Sampler, p: Perturbation) -> str:
    """Converges to the exact probability flow with the order that it claims."""
    if sampler.claims.order is None:
        raise NotApplicable("it claims no order on the probability flow")
    return _at_least(sampler.claims.order, measure_order(sampler, gaussian(p)), "order")


@suite.check(over={"vp": VP(), "ve": VE()})
def order_on_uneven_steps(sampler: Sampler, p: Perturbation) -> str:
    """Keeps its order where neighbouring steps differ, however small they are."""
    claims = sampler.claims
    thirds = (15, 30, 60, 120)  # whole repetitions of the three lengths
    if claims.order is not None:
        found = measure_order(sampler, gaussian(p), steps=thirds, spacing=uneven)
        return _at_least(claims.order, found, "order")
    if claims.weak_order is not None:
        found = measure_weak_order(sampler, gaussian(p), steps=thirds, spacing=uneven)
        return _at_least(claims.weak_order, found, "weak order")
    raise NotApplicable("it claims no order")


@suite.check(over=CONTINUOUS)
def accuracy(sampler: Sampler, p: Perturbation) -> str:
    """Follows the exact probability flow with the accuracy that it claims for steps of its own choice."""
    claimed = sampler.claims.accuracy
    if claimed is None:
        raise NotApplicable("it claims no accuracy of its own, apart from an order")
    model, grid = gaussian(p), descent(2)
    mean, covariance = model.marginal(float(grid[0]))
    x = mean + normal(_BATCH, len(mean)) * covariance.diagonal().sqrt()
    exact = model.flow(x, float(grid[0]), float(grid[-1]))
    size = max(float(x.norm()), float(exact.norm()))
    error = float((end(sampler, model, x, grid, Zero()) - exact).norm()) / size
    text = f"claims an accuracy of {claimed:.2g}, measured {error:.2g}"
    if not error <= claimed:
        raise CheckFailed(text)
    return text


@suite.check(over=CONTINUOUS)
def weak_order(sampler: Sampler, p: Perturbation) -> str:
    """Has a law whose mean and covariance converge to the true ones with the order that it claims."""
    if sampler.claims.weak_order is None:
        raise NotApplicable("it claims no weak order")
    return _at_least(sampler.claims.weak_order, measure_weak_order(sampler, gaussian(p)), "weak order")


@suite.check(over={"vp": VP(), "ve": VE()})
def strong_order(sampler: Sampler, p: Perturbation) -> str:
    """Converges along one Brownian path with the order that it claims."""
    if sampler.claims.strong_order is None:
        raise NotApplicable("it claims no strong order")
    return _at_least(sampler.claims.strong_order, measure_strong_order(sampler, overlapping(p)), "strong order")


@suite.check(over=PERTURBATIONS)
def stationary(sampler: Sampler, p: Perturbation) -> str:
    """Leaves the law at its one time in place, up to the square of its step, if it claims so."""
    if not sampler.claims.stationary:
        raise NotApplicable("it does not claim to leave a law in place")
    return stays_in_place(sampler, p, lambda t: torch.tensor([1.0, t], dtype=torch.float64))


@suite.check(over=PERTURBATIONS)
def exact_on_a_point_mass(sampler: Sampler, p: Perturbation) -> None:
    """Carries the law of a single data point along without error, in however few steps, if it claims so."""
    if not sampler.claims.exact_on_point_mass:
        raise NotApplicable("it does not claim to be exact on a point mass")
    model, grid = point_mass(p), descent(3)
    (a, s), (b, r) = ((float(p.alpha(t)), float(p.sigma(t))) for t in (grid[0], grid[-1]))
    point = model.means[0]
    if not sampler.claims.stochastic:
        z = normal(_BATCH, 2)
        found = end(sampler, model, a * point + s * z, grid, Zero())
        close(found, b * point + r * z, "the end on a point mass", rtol=1e-7, atol=1e-7)
        return
    eye = torch.eye(2, dtype=torch.float64)
    mean, covariance = affine_map(sampler, model, grid).push(a * point, s**2 * eye)
    close(mean, b * point, "the mean of the law on a point mass", rtol=1e-7, atol=1e-7)
    close(covariance, r**2 * eye, "the covariance of the law on a point mass", rtol=1e-7, atol=1e-7 * r**2)


@suite.check
def schedule_invariant(sampler: Sampler) -> None:
    """Depends on the log-SNRs of the grid alone, up to the scale of the states, if it claims so."""
    if not sampler.claims.schedule_invariant:
        raise NotApplicable("it does not claim to be invariant")
    vp, ve, grid = VP(), VE(sigma_min=1e-3, sigma_max=1e3), descent()  # ve reaches all log-SNRs of vp
    there = ve.time(vp.log_snr(grid))
    alphas = vp.alpha(grid)
    x = start(vp, grid, _BATCH, 2)
    mine = end(sampler, mixture(vp), x, grid, Tape()) / alphas[-1]
    others = end(sampler, mixture(ve), x / alphas[0], there, Tape())
    close(mine, others, "the end on vp, scaled by 1 / alpha, against ve at the same log-SNRs", rtol=1e-6, atol=1e-6)


def _at_least(claimed: float, found: Convergence, what: str) -> str:
    scale = max(found.errors)
    if scale < 1e-12:
        return f"claims {what} {claimed:g}, exact here"
    pairs = zip(found.local_orders, found.errors[1:], strict=True)
    above_rounding = [slope for slope, error in pairs if error > 1e-12]
    measured = above_rounding[-1] if above_rounding else float("inf")
    text = f"claims {what} {claimed:g}, measured {measured:.2f}"
    if not measured > claimed - _SLACK:
        raise CheckFailed(text)
    return text


def _short(times: list[float]) -> str:
    return "[" + ", ".join(f"{t:.4g}" for t in times) + "]"


class _Order(Tape):
    """A tape that knows whether the last thing that happened was a draw."""

    drawn_last = False

    def _next(self, draw: Tensor) -> Tensor:
        self.drawn_last = True
        return super()._next(draw)


class _Asked(Watched):
    """A model that tells an `_Order` when it is asked."""

    def __init__(self, model: ScoreModel, order: _Order) -> None:
        super().__init__(model)
        self._order = order

    def __call__(self, x: Tensor, t: Tensor | float, cond: Mapping[str, Tensor] | None = None) -> Prediction:
        self._order.drawn_last = False
        return super().__call__(x, t, cond)


class _Shaped(Tape):
    """The same numbers for every event shape."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self._shape = shape

    def __call__(self, x: Tensor, t: Tensor | float | None = None, s: Tensor | float | None = None) -> Tensor:
        return super().__call__(self._flat(x)).reshape(x.shape)

    def integral(
        self, x: Tensor, t: Tensor | float | None = None, s: Tensor | float | None = None
    ) -> tuple[Tensor, Tensor]:
        z, y = super().integral(self._flat(x))
        return z.reshape(x.shape), y.reshape(x.shape)

    def _flat(self, x: Tensor) -> Tensor:
        asked = tuple(x.shape[1:])
        expect(asked == self._shape, f"asks for noise of shape {asked} for examples of shape {self._shape}")
        return x.flatten(1)

    def uniform(self, x: Tensor) -> Tensor:
        return super().uniform(x.flatten(1)).reshape(x.shape)
