from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import torch
from annotated_types import Gt

from fokker.component import component
from fokker.noise import Zero
from fokker.sampler import Claims, OneStep, Sampler, State, by_step
from fokker_ddpm.ancestral import Ancestral
from fokker_ddpm.ddim import DDIM
from fokker_ode.ode import ODE
from fokker_sde.euler_maruyama import EulerMaruyama
from fokker_sde.sra1 import SRA1
from fokker_smld.langevin import Langevin


def walk(self, model, x, grid, noise, cond=None):
    """The loop of a one-step method, for mutants that change something about it."""
    steps = by_step(self.coefficients(model.perturbation, grid[:-1], grid[1:]))
    times = grid.tolist()
    for k, (t, s) in enumerate(pairwise(times)):
        yield k, t, s, steps[k], noise.final if k == len(steps) - 1 else noise


@component
class Midpoint(OneStep):
    """Exponential midpoint rule (Lu et al., 2022, algorithm 1).

    Args:
        ratio: Place of the inner point, relative to the step of half the log-SNR.
    """

    ratio: Annotated[float, Gt(0)] = 0.5

    @property
    def claims(self):
        return Claims(order=2, evaluations=2, schedule_invariant=True, exact_on_point_mass=True)

    def coefficients(self, p, t, s):
        h = (p.log_snr(s) - p.log_snr(t)) / 2
        r = p.time(p.log_snr(t) + 2 * self.ratio * h)
        return {
            "r": r,
            "u_x": p.alpha(r) / p.alpha(t),
            "u_eps": -p.sigma(r) * (self.ratio * h).expm1(),
            "x": p.alpha(s) / p.alpha(t),
            "eps": -p.sigma(s) * h.expm1(),
            "curve": -p.sigma(s) * h.expm1() / (2 * self.ratio),
        }

    def step(self, model, x, t, s, c, noise, cond=None):
        first = model(x, t, cond).eps
        u = c["u_x"] * x + c["u_eps"] * first
        r = c["r"].flatten() if isinstance(c["r"], torch.Tensor) else c["r"]
        change = model(u, r, cond).eps - first
        return c["x"] * x + c["eps"] * first + c["curve"] * change


@component
class WholeInnerStep(Midpoint):
    """The inner state goes the whole step in eps and half of it in time."""

    def coefficients(self, p, t, s):
        c = super().coefficients(p, t, s)
        return {**c, "u_eps": 2 * c["u_eps"]}


@component
class TwoStep(Sampler):
    """Two-step exponential Adams-Bashforth."""

    @property
    def claims(self):
        return Claims(order=2)

    def ratio(self, h, k):
        return h[k] / (2 * h[k - 1])

    def trajectory(self, model, x, grid, noise, cond=None):
        p = model.perturbation
        steps = by_step(DDIM().coefficients(p, grid[:-1], grid[1:]))
        log_snr = p.log_snr(grid)
        h, times, old = log_snr.diff().tolist(), grid.tolist(), None
        yield State(times[0], x)
        for k, c in enumerate(steps):
            q = model(x, times[k], cond)
            scale = c["x0"] / p.scales(times[k], x)[0]
            slope = q.eps if old is None else q.eps + self.ratio(h, k) * (q.eps - old)
            x = scale * x + (c["eps"] - scale * p.scales(times[k], x)[1]) * slope
            old = q.eps
            yield State(times[k + 1], x)


@component
class RatioOfTheStepBefore(TwoStep):
    """The ratio of two steps, computed one step too early."""

    def ratio(self, h, k):
        return h[k - 1] / (2 * h[k - 2])


@component
class GlobalGenerator(Ancestral):
    """Draws with randn_like."""

    def step(self, model, x, t, s, c, noise, cond=None):
        return super().step(model, x, t, s, c, Zero(), cond) + c["z"] * torch.randn_like(x)


@component
class InPlace(DDIM):
    """Saves a tensor by writing into the state that it has yielded."""

    def trajectory(self, model, x, grid, noise, cond=None):
        yield State(float(grid[0]), x)
        x = x.clone()
        for _, t, s, c, source in walk(self, model, x, grid, noise):
            x.copy_(self.step(model, x, t, s, c, source, cond))
            yield State(s, x)


@component
class BatchNorms(EulerMaruyama):
    """Scales the score to unit norm over the whole batch, as Score SDE's corrector does with its step."""

    def step(self, model, x, t, s, c, noise, cond=None):
        score = model(x, t, cond).score
        score = score / score.norm() * x.norm().detach()
        return c["x"] * x + c["score"] * score + c["z"] * noise(x, t, s)


@component
class LessNoise(EulerMaruyama):
    """Adds 70 % of its noise."""

    def coefficients(self, p, t, s):
        c = super().coefficients(p, t, s)
        return {**c, "z": 0.7 * c["z"]}


@component
class UniformNoise(EulerMaruyama):
    """`rand` for `randn`, scaled to unit variance."""

    def step(self, model, x, t, s, c, noise, cond=None):
        z = (noise.uniform(x) - 0.5) * 12**0.5
        return c["x"] * x + c["score"] * model(x, t, cond).score + c["z"] * z


@component
class FlowNoise(EulerMaruyama):
    """The drift of the probability flow with the noise of the SDE: a factor of 2."""

    def coefficients(self, p, t, s):
        c = super().coefficients(p, t, s)
        return {**c, "score": c["score"] / 2}


@component
class BetaForBetaTilde(Ancestral):
    """Claims the posterior variance and adds the forward one."""

    def coefficients(self, p, t, s):
        return {**super().coefficients(p, t, s), "z": p.transition(s, t)[1]}


@component
class SwappedTimes(DDIM):
    """The x0 coefficient is taken where the step starts."""

    def coefficients(self, p, t, s):
        return {**super().coefficients(p, t, s), "x0": p.alpha(t)}


@component
class OffByOne(DDIM):
    """Uses the coefficients of the step before."""

    def trajectory(self, model, x, grid, noise, cond=None):
        steps = by_step(self.coefficients(model.perturbation, grid[:-1], grid[1:]))
        yield State(float(grid[0]), x)
        for k, (t, s) in enumerate(pairwise(grid.tolist())):
            x = self.step(model, x, t, s, steps[max(0, k - 1)], noise, cond)
            yield State(s, x)


@component
class Remembers(Sampler):
    """A two-step method that keeps its history on the instance."""

    @property
    def claims(self):
        return Claims(order=1)

    def trajectory(self, model, x, grid, noise, cond=None):
        yield State(float(grid[0]), x)
        for _, t, s, c, _ in walk(DDIM(), model, x, grid, noise):
            q = model(x, t, cond)
            eps = q.eps
            old = self.__dict__.get("_old")
            if old is not None and old.shape == eps.shape:
                eps = eps + 0.01 * (eps - old)
            self.__dict__["_old"] = eps
            x = c["x0"] * q.x0 + c["eps"] * eps
            yield State(s, x)


@component
class LocalMemory(Remembers):
    """The same with its history in a local variable."""

    def trajectory(self, model, x, grid, noise, cond=None):
        yield State(float(grid[0]), x)
        old = None
        for _, t, s, c, _ in walk(DDIM(), model, x, grid, noise):
            q = model(x, t, cond)
            eps = q.eps if old is None else q.eps + 0.01 * (q.eps - old)
            old = eps
            x = c["x0"] * q.x0 + c["eps"] * eps
            yield State(s, x)


class Counter:
    calls = 0


@component
class NeverTheSame(DDIM):
    """A dither that goes on from run to run."""

    def step(self, model, x, t, s, c, noise, cond=None):
        Counter.calls += 1
        return super().step(model, x, t, s, c, noise, cond) + 1e-6 * (Counter.calls % 97)


@component
class StopsEarly(DDIM):
    """One step is missing at the end of the loop."""

    def trajectory(self, model, x, grid, noise, cond=None):
        states = list(super().trajectory(model, x, grid, noise, cond))
        yield from states[:-1]


@component
class OnlyImages(DDIM):
    """The norm is taken over the last dimension instead of over the example."""

    def step(self, model, x, t, s, c, noise, cond=None):
        q = model(x, t, cond)
        x0 = q.x0 / q.x0.norm(dim=-1, keepdim=True).clamp(min=1.0)
        return c["x0"] * x0 + c["eps"] * q.eps


@component
class WholeExamples(DDIM):
    """The norm is taken over the example."""

    def step(self, model, x, t, s, c, noise, cond=None):
        q = model(x, t, cond)
        x0 = q.x0 / q.x0.flatten(1).norm(dim=1).clamp(min=1.0).reshape(-1, *[1] * (x.ndim - 1))
        return c["x0"] * x0 + c["eps"] * q.eps


@component
class OneMoreEvaluation(DDIM):
    """Evaluates the model again at the end of every step."""

    def step(self, model, x, t, s, c, noise, cond=None):
        y = super().step(model, x, t, s, c, noise, cond)
        model(y, s, cond)
        return y


@component
class BeyondTheStart(DDIM):
    """Asks the model a little before every step."""

    def step(self, model, x, t, s, c, noise, cond=None):
        model(x, t + 0.01, cond)
        return super().step(model, x, t, s, c, noise, cond)


@component
class Unconditional(DDIM):
    """Forgets the conditions."""

    def step(self, model, x, t, s, c, noise, cond=None):
        return super().step(model, x, t, s, c, noise)


@component
class DrawsForNothing(Ancestral):
    """A draw that is multiplied by zero."""

    def step(self, model, x, t, s, c, noise, cond=None):
        return super().step(model, x, t, s, c, noise, cond) + 0.0 * noise(x, t, s)


@component
class SecretlyStochastic(DDIM):
    """Draws, and claims to be deterministic."""

    def step(self, model, x, t, s, c, noise, cond=None):
        return super().step(model, x, t, s, c, noise, cond) + 1e-3 * noise(x, t, s)


@component
class NoisyEnd(Ancestral):
    """Never asks for `noise.final`."""

    def trajectory(self, model, x, grid, noise, cond=None):
        yield State(float(grid[0]), x)
        for _, t, s, c, _ in walk(self, model, x, grid, noise):
            x = self.step(model, x, t, s, c, noise, cond)
            yield State(s, x)


@component
class NoisyBeginning(Sampler):
    """Ancestral in its first step, deterministic after it, as a sampler with churn in an interval of noise is."""

    @property
    def claims(self):
        return Claims(stochastic=True)

    def source(self, noise):
        return noise

    def trajectory(self, model, x, grid, noise, cond=None):
        yield State(float(grid[0]), x)
        later = walk(DDIM(), model, x, grid, noise)
        for (k, t, s, first, _), (_, _, _, c, _) in zip(walk(Ancestral(), model, x, grid, noise), later, strict=True):
            if k == 0:
                x = Ancestral().step(model, x, t, s, first, self.source(noise), cond)
            else:
                x = DDIM().step(model, x, t, s, c, noise, cond)
            yield State(s, x)


@component
class SilentBeginning(NoisyBeginning):
    """Takes the last noise that it draws for that of its last update."""

    def source(self, noise):
        return noise.final


@component
class QuietAfterTheBeginning(NoisyBeginning):
    """The same, which says so."""

    @property
    def claims(self):
        return Claims(stochastic=True, quiet_end=True)


@component
class LoudEnd(NoisyEnd):
    """Noise in the very last update, which it denies."""

    @property
    def claims(self):
        return Claims(stochastic=True, quiet_end=True)


@component
class DoublePrecision(DDIM):
    """Multiplies by a float64 tensor instead of by a float."""

    def step(self, model, x, t, s, c, noise, cond=None):
        return super().step(model, x, t, s, c, noise, cond) * torch.ones(1, dtype=torch.float64)


@component
class NewNoiseHalfway(EulerMaruyama):
    """Two half draws for one, so that refining the grid refines another path."""

    def step(self, model, x, t, s, c, noise, cond=None):
        mirrored = noise(x, t, s).flip(0)
        sign = 1.0 if round(t * 1e6) % 2 else -1.0
        return c["x"] * x + c["score"] * model(x, t, cond).score + c["z"] * sign * mirrored


@component
class PathIndependent(EulerMaruyama):
    """One draw a step, the increment of the path."""


@component
class DriftWithoutNoise(SRA1):
    """The second stage from a state that the noise has not reached."""

    def coefficients(self, p, t, s):
        c = super().coefficients(p, t, s)
        return {**c, "y_u": torch.zeros_like(c["y_u"])}


@component
class FromAndToTheSameLevel(Langevin):
    """Stays at the last level and says that it went down the grid."""

    def levels(self, grid):
        return grid


@component
class TooWarm(Langevin):
    """More noise than the step asks for."""

    def trajectory(self, model, x, grid, noise, cond=None):
        yield from Langevin(temperature=1.2).trajectory(model, x, grid, noise, cond)


@dataclass(frozen=True)
class Sloppy(ODE):
    """An adaptive solver whose velocity is 1 % off."""

    def trajectory(self, model, x, grid, noise, cond=None):
        off = _Off(model)
        yield from super().trajectory(off, x, grid, noise, cond)


class _Off:
    def __init__(self, model):
        self.model, self.perturbation = model, model.perturbation

    def __call__(self, x, t, cond=None):
        q = self.model(x, t, cond)
        return type(q)(x, q.alpha, q.sigma, velocity=1.01 * q.velocity, rates=q.rates)


@component
class PlainScale(Ancestral):
    """Posterior standard deviation computed as if the data were not scaled: v sigma_s / sigma_t without alpha."""

    def coefficients(self, p, t, s):
        c = super().coefficients(p, t, s)
        spread = (p.sigma(t) ** 2 - p.sigma(s) ** 2).clamp(min=0).sqrt()
        return {**c, "z": p.sigma(s) / p.sigma(t) * spread}


@component
class Decorated(DDIM):
    """A field that nothing reads.

    Args:
        eta: As for DDIM.
        clip: Said to clip.
    """

    clip: bool = False


@component
class Clipped(Decorated):
    """The same field, read.

    Args:
        eta: As for DDIM.
        clip: Clips x0 to [-1, 1].
    """

    def step(self, model, x, t, s, c, noise, cond=None):
        q = model(x, t, cond)
        return c["x0"] * (q.x0.clamp(-1, 1) if self.clip else q.x0) + c["eps"] * q.eps


@component
class WithoutTheLimit(TwoStep):
    """An infinite ratio at sigma = 0, times a difference."""

    def ratio(self, h, k):
        return h[k] / (2 * h[k - 1])


@component
class AtTheLimit(TwoStep):
    """First order in the step to sigma = 0."""

    def ratio(self, h, k):
        return 0.0 if h[k] == float("inf") else h[k] / (2 * h[k - 1])


@component
class Relax(OneStep):
    """Plain Langevin dynamics, one update per step of the grid, in units of the data (Welling & Teh, 2011).

    Args:
        size: The step.
    """

    size: Annotated[float, Gt(0)] = 0.01

    @property
    def claims(self):
        return Claims(stochastic=True, without_noise=True)

    def coefficients(self, p, t, s):
        return {"a": torch.full_like(t, self.size)}

    def step(self, model, x, t, s, c, noise, cond=None):
        return x + c["a"] * model(x, t, cond).score + (2 * c["a"]) ** 0.5 * noise(x, t, s)


@component
class RelaxByTheNoise(Relax):
    """The same with a step relative to the noise."""

    def coefficients(self, p, t, s):
        return {"a": self.size * p.sigma(t) ** 2}


MUTANTS = {
    "is not a number at sigma = 0": (AtTheLimit(), WithoutTheLimit(), "finite-on-clean-data[vp]"),
    "yields no state after the last step": (DDIM(), StopsEarly(), "follows-the-grid[vp]"),
    "takes its steps from noise that it says it does not need": (Relax(), RelaxByTheNoise(), "without-noise[none]"),
    "goes on from the last run": (DDIM(), NeverTheSame(), "replayable"),
    "draws from the global generator": (Ancestral(), GlobalGenerator(), "global-generators-untouched"),
    "writes into the state that it has yielded": (DDIM(), InPlace(), "inputs-untouched"),
    "keeps its history on the instance": (LocalMemory(), Remembers(), "stateless"),
    "takes a norm over the batch": (EulerMaruyama(), BatchNorms(), "batch-independent"),
    "takes a norm over the last dimension": (WholeExamples(), OnlyImages(), "any-event-shape"),
    "evaluates the model more often than it claims": (DDIM(), OneMoreEvaluation(), "evaluations"),
    "asks the model about a time beyond 1": (DDIM(), BeyondTheStart(), "asks-within-time"),
    "loses the conditions": (DDIM(), Unconditional(), "passes-conditions-on"),
    "draws noise and multiplies it by zero": (Ancestral(), DrawsForNothing(), "draws-as-claimed"),
    "draws noise and claims to be deterministic": (DDIM(), SecretlyStochastic(), "draws-as-claimed"),
    "silences an update before its last one": (NoisyBeginning(), SilentBeginning(), "silent-end"),
    "has noise in its very last update": (Ancestral(), NoisyEnd(), "silent-end"),
    "denies the noise of its very last update": (QuietAfterTheBeginning(), LoudEnd(), "silent-end"),
    "turns float32 into float64": (DDIM(), DoublePrecision(), "finite-in-float32[vp]"),
    "has one wrong coefficient, which costs an order": (Midpoint(), WholeInnerStep(), "order[vp]"),
    "takes a coefficient where the step starts": (DDIM(), SwappedTimes(), "order[vp]"),
    "uses the ratio of the two steps before": (TwoStep(), RatioOfTheStepBefore(), "order-on-uneven-steps[ve]"),
    "uses the coefficients of the step before": (DDIM(), OffByOne(), "order[cosine]"),
    "adds 70 % of its noise": (EulerMaruyama(), LessNoise(), "weak-order[vp]"),
    "draws uniform noise for normal": (EulerMaruyama(), UniformNoise(), "weak-order[vp]"),
    "has the drift of the probability flow with the noise of the SDE": (
        EulerMaruyama(),
        FlowNoise(),
        "weak-order[ve]",
    ),
    "draws another path on every grid": (PathIndependent(), NewNoiseHalfway(), "strong-order[vp]"),
    "keeps the noise out of its second stage": (SRA1(), DriftWithoutNoise(), "strong-order[vp]"),
    "says that it goes down and does not": (Langevin(), FromAndToTheSameLevel(), "follows-the-grid[ve]"),
    "has too much noise for its step": (Langevin(), TooWarm(), "stationary[vp]"),
    "is less accurate than its tolerance": (ODE(), Sloppy(), "accuracy[vp]"),
    "adds beta where it claims beta-tilde": (Ancestral(), BetaForBetaTilde(), "exact-on-a-point-mass[betas]"),
    "forgets alpha in the posterior variance": (Ancestral(), PlainScale(), "exact-on-a-point-mass[vp]"),
    "forgets alpha in the invariance that it claims": (Ancestral(), PlainScale(), "schedule-invariant"),
    "has a field that nothing reads": (Clipped(), Decorated(), "field[clip]"),
}
