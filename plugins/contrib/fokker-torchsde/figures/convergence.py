"""Strong errors along one Brownian path, against torchsde's fine solution: the figure and the table of the docs page.

What was measured lies beside the picture, as .json; without it, it is measured anew.

python plugins/contrib/fokker-torchsde/figures/convergence.py docs/contrib/torchsde.png
"""

import json
import sys
from math import log
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from fokker.exact import ExactModel
from fokker.model import Counted
from fokker.noise import Noise, PerSample, Seeded
from fokker.perturbation import VP
from fokker.sampler import Sampler, trajectory
from fokker.testing.worlds import gaussian, overlapping
from fokker_sde.euler_maruyama import EulerMaruyama
from fokker_sde.milstein import Milstein
from torch import Tensor

from fokker_torchsde.adaptive import AdaptiveTorchSDE
from fokker_torchsde.noise import Brownian
from fokker_torchsde.steps import TorchSDE

PATHS, FIRST, LAST = 256, 0.875, 0.125
STEPS, FINE = (12, 24, 48, 96, 192, 384), 3072
TOLERANCES = (0.3, 0.1, 0.03, 0.01, 0.003)
SOLVERS: dict[str, Sampler] = {
    "torchsde euler-heun": TorchSDE(method="euler-heun"),
    "torchsde milstein": TorchSDE(method="milstein"),
    "torchsde midpoint": TorchSDE(method="midpoint"),
    "torchsde heun": TorchSDE(method="heun"),
    "torchsde srk-diagonal": TorchSDE(method="srk-diagonal"),
    "torchsde srk": TorchSDE(method="srk"),
    "fokker euler-maruyama": EulerMaruyama(),
    "fokker milstein": Milstein(),
}


def grid(steps: int) -> Tensor:
    """Equal steps between binary fractions, which a tree of halves finds soonest."""
    return FIRST + (LAST - FIRST) * torch.arange(steps + 1, dtype=torch.float64) / steps


def brownian() -> Noise:
    """The same paths every time."""
    return Brownian(digits=12).open(0, range(PATHS), (3,))


def start(model: ExactModel) -> Tensor:
    """Noisy data."""
    z = torch.randn(PATHS, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return model.perturbation.perturb(model.draw(PATHS, Seeded(2)), torch.tensor(FIRST), z)


def end(sampler: Sampler, model: ExactModel, steps: int, noise: Noise) -> tuple[Tensor, float]:
    """The last states, and evaluations per sample."""
    counted, x = Counted(model), start(model)
    for state in trajectory(counted, sampler, grid(steps), noise, x, final="none"):
        x = state.x
    return x, counted.rows / PATHS


def rms(x: Tensor) -> float:
    """Root mean square."""
    return float(x.square().mean().sqrt())


def slope(steps: tuple[int, ...], errors: list[float]) -> float:
    """The order over the second half of the grids."""
    half = len(steps) // 2
    return log(errors[half - 1] / errors[-1]) / log(steps[-1] / steps[half - 1])


def measure(model: ExactModel) -> dict[str, tuple[list[float], list[float]]]:
    """Steps, or evaluations, and errors of every solver; with independent noise and adaptive steps for comparison."""
    fine, _ = end(TorchSDE(method="srk"), model, FINE, brownian())
    found: dict[str, tuple[list[float], list[float]]] = {}
    for name, sampler in SOLVERS.items():
        errors = [rms(end(sampler, model, n, brownian())[0] - fine) for n in STEPS]
        found[name] = ([float(n) for n in STEPS], errors)
        print(f"| {name} | " + " | ".join(f"{e:.2g}" for e in errors) + f" | {slope(STEPS, errors):.2f} |", flush=True)
    fresh = [rms(end(EulerMaruyama(), model, n, PerSample(0, range(PATHS), (3,)))[0] - fine) for n in STEPS]
    found["euler-maruyama, independent noise"] = ([float(n) for n in STEPS], fresh)
    print("| euler-maruyama, independent noise | " + " | ".join(f"{e:.2g}" for e in fresh) + " | - |", flush=True)
    adaptive: tuple[list[float], list[float]] = ([], [])
    for tolerance in TOLERANCES:
        sampler = AdaptiveTorchSDE(rtol=tolerance, atol=tolerance, shared=True)
        x, evaluations = end(sampler, model, 1, brownian())
        adaptive[0].append(evaluations)
        adaptive[1].append(rms(x - fine))
        print(
            f"adaptive srk, tolerance {tolerance:g}: {evaluations:.0f} evaluations, error {adaptive[1][-1]:.2g}",
            flush=True,
        )
    found["torchsde-adaptive srk"] = adaptive
    return found


def main(out: Path) -> None:
    """Measure, print and draw."""
    worlds = {
        "overlapping Gaussians (score not linear)": overlapping(VP()),
        "Gaussian data (linear SDE)": gaussian(VP()),
    }
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 4.4), sharey=True, layout="constrained")
    numbers = out.with_suffix(".json")  # delete it to measure anew
    if not numbers.exists():
        found = {}
        for title, model in worlds.items():
            print(f"\n{title}\n")
            found[title] = {k: (x, [float(f"{e:.2g}") for e in y]) for k, (x, y) in measure(model).items()}
        numbers.write_text(json.dumps(found, indent=1) + "\n")
    for ax, (title, errors) in zip(axes, json.loads(numbers.read_text()).items(), strict=True):
        draw(ax, errors)
        ax.set_title(title, fontsize=10)
        ax.set_xlabel("steps (adaptive: evaluations / 2)")
    axes[0].set_ylabel("RMS distance from the fine solution")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    figure.savefig(out, dpi=110)


def draw(ax: plt.Axes, found: dict[str, tuple[list[float], list[float]]]) -> None:
    """Errors against steps, with the slopes 1 and 3/2."""
    for k, (name, (x, y)) in enumerate(found.items()):
        ours, fresh, adaptive = name.startswith("fokker"), "independent" in name, "adaptive" in name
        style = ("none", "x", 7) if ours else (":", ".", 4) if fresh else ("--", "s", 4) if adaptive else ("-", "o", 3)
        colour = "black" if ours else "grey" if fresh else f"C{k}"
        marker = "+" if name == "fokker milstein" else style[1]
        across = [v / 2 for v in x] if adaptive else x
        ax.loglog(across, y, linestyle=style[0], marker=marker, markersize=style[2], color=colour, label=name, lw=1.2)
    for order, at in ((1.0, found["torchsde milstein"][1][-1]), (1.5, found["torchsde srk"][1][-1])):
        ends = [STEPS[2], STEPS[-1]]
        line = [0.6 * at * (STEPS[-1] / n) ** order for n in ends]
        ax.loglog(ends, line, color="lightgrey", lw=3, zorder=0)
        ax.annotate(f"order {order:g}", (ends[0], line[0]), fontsize=8, color="grey", ha="right", va="center")
    ax.set_xticks(STEPS, [str(n) for n in STEPS])
    ax.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
    ax.grid(True, which="major", lw=0.3)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
