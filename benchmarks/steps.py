"""What a step costs besides the network, beside the arithmetic alone and beside other packages.

    python benchmarks/steps.py [--rounds 30] [--steps 50] [--json]

One process, one thread, the contenders in turn. A figure is the time of a step less that of the bare network, 0.1 x, in
microseconds: the median of the rounds and the least of them. Ratios are to the arithmetic of the same family: the
element-wise operations that its formula has, written over one another, and nothing else.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from interleave import interleaved
from peers import Contender, contenders
from torch import Tensor

from fokker.config import build
from fokker.errors import ConfigError
from fokker.grid import LogSNR
from fokker.model import ScoreModel
from fokker.noise import Noise, PerSample
from fokker.perturbation import VP
from fokker.plugins import load_plugins
from fokker.prediction import Prediction, weighted
from fokker.sampler import Sampler, State, add, trajectory

SHAPES = ((64, 2), (64, 1, 28, 28), (16, 3, 64, 64))
OPERATIONS = {"one-step": 2, "two-step": 3, "stochastic": 3}
"""Passes over the data in the formula of each family, the draw of the noise not counted."""
FAMILIES = {
    "ddim": "one-step",
    "ddpm": "stochastic",
    "euler-maruyama": "stochastic",
    "pc": "stochastic",
    "exponential-adams:order=2": "two-step",
    "dpm-solver-2m": "two-step",
    "unipc:order=2": "two-step",
    "sde-dpm-solver": "stochastic",
}
_READ_X0 = ("dpm-solver-2m", "unipc:order=2", "sde-dpm-solver")
"""Samplers that are measured where they are registered."""


def free(x: Tensor) -> Tensor:
    """A network that costs nothing."""
    return 0.1 * x


class FreeModel(ScoreModel):
    """Predicts a tenth of the state.

    Args:
        primary: What it takes that for: what a method reads, so that nothing has to be derived.
    """

    perturbation = VP()

    def __init__(self, primary: str = "eps") -> None:
        self.primary = primary

    def __call__(self, x: Tensor, t: Tensor | float, cond: Any = None) -> Prediction:
        """See `ScoreModel`."""
        alpha, sigma = self.perturbation.scales(t, x)
        answer = free(x)
        if self.primary == "eps":
            return Prediction(x, alpha, sigma, eps=answer)
        return Prediction(x, alpha, sigma, x0=answer)


class TwoStep:
    """Adams-Bashforth of order 2 in eps over the relative noise: the least that a two-step method of fokker costs."""

    def trajectory(self, model: ScoreModel, x: Tensor, grid: Tensor, noise: Noise, cond: Any = None) -> Iterator[State]:
        """See `fokker.sampler.Sampler`; y = x / alpha and s = sigma / alpha obey dy / ds = eps."""
        p = model.perturbation
        alpha, s = p.alpha(grid), p.sigma(grid) / p.alpha(grid)
        h = s.diff()
        ratio = torch.cat([h[:1] * 0, h[1:] / h[:-1]])
        of_x, new, old = (
            (alpha[1:] / alpha[:-1]).tolist(),
            (alpha[1:] * h * (1 + ratio / 2)).tolist(),
            (-alpha[1:] * h * ratio / 2).tolist(),
        )
        times = grid.tolist()
        yield State(times[0], x)
        before = x
        for k in range(len(of_x)):
            eps = model(x, times[k], cond).eps
            x = add(weighted(x, eps, of_x[k], new[k]), old[k], before)
            before = eps
            yield State(times[k + 1], x)


def of_fokker(x: Tensor, steps: int) -> dict[str, Contender]:
    """fokker's samplers by name."""
    registry = load_plugins().registry
    model, grid = FreeModel(), LogSNR().times(VP(), steps)
    found = {"fokker two steps, in this script": Contender(_run(TwoStep(), model, x, grid), 1, "two-step")}  # type: ignore[arg-type]
    for name, family in FAMILIES.items():
        try:
            sampler = build(registry, "sampler", name)
        except ConfigError:
            continue  # not among the plugins of this version
        given = FreeModel("x0") if name in _READ_X0 else model
        found[f"fokker {name}"] = Contender(_run(sampler, given, x, grid), sampler.claims.evaluations or 1, family)
    return found


def _run(sampler: Sampler, model: ScoreModel, x: Tensor, grid: Tensor) -> Callable[[], float]:
    noise = PerSample(0, range(len(x)), x.shape[1:])

    @torch.no_grad()
    def run() -> float:
        if isinstance(sampler, TwoStep):
            states = sampler.trajectory(model, x, grid, noise)
        else:
            states = trajectory(model, sampler, grid, noise, x, final="none")
        next(states)  # the coefficients of the grid
        began = time.perf_counter()
        for state in states:
            assert state.x.shape == x.shape
        return time.perf_counter() - began

    return run


def arithmetic(x: Tensor, steps: int) -> dict[str, Callable[[], object]]:
    """What is subtracted and divided by: the bare network, the operations of each family, and a draw."""
    noise = PerSample(0, range(len(x)), x.shape[1:])
    held = torch.ones_like(x)

    @torch.no_grad()
    def bare() -> None:
        state = x
        for _ in range(steps):
            state = free(state)

    @torch.no_grad()
    def two() -> None:
        state = x
        for _ in range(steps):
            state = torch.mul(state, 0.9).add_(free(state), alpha=0.1)

    @torch.no_grad()
    def three() -> None:
        state = x
        for _ in range(steps):
            state = torch.mul(state, 0.9).add_(free(state), alpha=0.1).add_(held, alpha=0.1)

    def draw() -> None:
        for _ in range(steps):
            noise(x)

    def randn() -> None:
        for _ in range(steps):
            torch.randn(x.shape)

    return {"bare": bare, "2": two, "3": three, "draw": draw, "randn": randn}


def measure(shape: tuple[int, ...], steps: int, rounds: int) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows of the table for one shape, and the packages that are not there."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    others, missing = contenders(x, steps, free)
    all_of_them = {**of_fokker(x, steps), **others}
    timings = interleaved({**arithmetic(x, steps), **{name: c.run for name, c in all_of_them.items()}}, rounds)

    def a_step(name: str, calls: int = 0) -> tuple[float, float]:
        """Microseconds of a step less those of its calls: the median and the least."""
        mine, bare = timings[name], timings["bare"]
        return (
            1e6 * (mine.median - calls * bare.median) / steps,
            1e6 * (mine.least - calls * bare.least) / steps,
        )

    size = "x".join(map(str, shape))
    rows = [
        {"shape": size, "what": what, "median": a_step(name)[0], "least": a_step(name)[1]}
        for name, what in (("bare", "bare network"), ("draw", "a draw, per sample"), ("randn", "a draw, torch.randn"))
    ]
    bounds = {family: a_step(str(n), 1) for family, n in OPERATIONS.items()}
    rows += [
        {"shape": size, "what": f"{OPERATIONS[family]} operations", "family": family, "median": m, "least": least}
        for family, (m, least) in bounds.items()
    ]
    for name, c in all_of_them.items():
        (median, least), draw = a_step(name, c.calls), a_step("draw")
        if c.family == "stochastic" and name.startswith("fokker"):
            median, least = median - c.calls * draw[0], least - c.calls * draw[1]
        bound = tuple(c.calls * each for each in bounds[c.family])
        rows.append(
            {
                "shape": size,
                "what": name,
                "family": c.family,
                "median": median,
                "least": least,
                "ratio": median / bound[0],
                "least_ratio": least / bound[1],
            }
        )
    return rows, missing


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for shape in SHAPES:
        more, missing = measure(shape, options.steps, options.rounds)
        rows += more
    if options.json:
        print(json.dumps({"rows": rows, "missing": missing}))
        return
    heads = f"{'family':12}{'median':>8}{'least':>8}{'x bound':>9}{'least':>7}"
    print(f"{'shape':14}{'us a step, less the network':34}{heads}")
    for row in rows:
        ratio = f"{row['ratio']:9.2f}{row['least_ratio']:7.2f}" if "ratio" in row else ""
        print(
            f"{row['shape']:14}{row['what']:34}{row.get('family', ''):12}{row['median']:8.1f}{row['least']:8.1f}{ratio}"
        )
    print("Of fokker's stochastic steps the draw is taken off, for each evaluation one; the peers' have theirs in.")
    for line in missing:
        print(f"not measured: {line}")


if __name__ == "__main__":
    main()
