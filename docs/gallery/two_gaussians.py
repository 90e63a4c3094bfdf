"""Train and sample the two Gaussians of the gallery, measure the samples, and draw the pictures.

    python docs/gallery/two_gaussians.py runs/gallery docs/gallery

takes about an hour on one core. Runs and samples that are there already are not made again; the parts `tuned` and
`recipe` as a third argument make one of the two tables.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fokker import draw
from fokker.noise import Zero
from fokker.plugins.host import load_plugins
from fokker.run.folder import open_run

N = 100_000
SEEDS = (0, 1, 2)
RUNS = ((1.0, 0), (1.0, 1), (1.0, 2), (0.1, 0), (30.0, 0))
"""Scale of the data, and seed of the training, of the runs of `--tune`."""


def main(runs: Path, pictures: Path, parts: list[str]) -> None:
    """Train, sample, measure, draw."""
    if "tuned" in parts:
        print("| scale | seed | weights | largest error of a mean | std | beyond 8 std |\n" + "| --- " * 6 + "|")
        for scale, seed in RUNS:
            out = runs / f"two-tuned-{scale:g}-{seed}"
            data = f"two-gaussians:centre={2 * scale:g},variance={scale**2 / 100:g}"
            train(out, "--data", data, "--tune", "--seed", str(seed))
            x = sampled(out, runs / f"{out.name}.npy")
            print(f"| {scale:g} | {seed} | {figures(x / scale)} |", flush=True)
    if "recipe" in parts:
        print("| K | seed | weights | largest error of a mean | std | beyond 8 std |\n" + "| --- " * 6 + "|")
        for updates in (200, 201):
            for seed in SEEDS:
                out = runs / f"two-smld-{seed}"
                train(out, "two-gaussians-smld", "--seed", str(seed))
                sampler = f"smld:step=0.1,form=smld,steps_per_level={updates}"
                x = sampled(out, runs / f"{out.name}-{updates}.npy", "--sampler", sampler)
                print(f"| {updates} | {seed} | {figures(x)} |", flush=True)
    if {"tuned", "recipe"} <= set(parts):
        picture(runs, pictures)


def train(out: Path, *words: str) -> None:
    """Train unless the run is there."""
    if not out.exists():
        subprocess.run(["fokker", "train", *words, "--out", str(out), "--quiet"], check=True)


def sampled(run: Path, out: Path, *words: str) -> NDArray[np.float64]:
    """Samples of a run, drawn unless they are there."""
    if not out.exists():
        command = ["fokker", "sample", str(run), "--out", str(out), "-n", str(N), "--batch-size", "4096", *words]
        subprocess.run([*command, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    return np.load(out).astype(np.float64)


def figures(x: NDArray[np.float64]) -> str:
    """Of samples in the units of modes at -2 and 2 and of a standard deviation of 0.1, the cells of a row."""
    upper = x.sum(1) > 0
    modes = [x[~upper] + 2, x[upper] - 2]
    weights = ", ".join(f"{len(mode) / len(x):.4f}" for mode in modes)
    off = max(float(np.abs(mode.mean(0)).max()) for mode in modes)
    std = np.concatenate([mode.std(0) for mode in modes]) / 0.1
    distance = np.minimum(np.linalg.norm(x + 2, axis=1), np.linalg.norm(x - 2, axis=1)) / 0.1
    return f"{weights} | {off:.4f} | {', '.join(f'{s:.3f}' for s in std)} | {int((distance > 8).sum())}"


def picture(runs: Path, pictures: Path) -> None:
    """The score field of both networks at three levels, over the data in the model's units."""
    host = load_plugins()
    for name in ("tuned-1-0", "smld-0"):
        run = open_run(runs / f"two-{name}", host)
        p, model = run.plan.perturbation, run.model()
        levels = p.knots
        assert levels is not None
        x0 = run.plan.chain.forward(run.plan.data.open("train").fetch(range(5000)).x, Zero())
        panels = []
        for k in (len(levels) - 1, len(levels) // 2, 0):
            field = draw.score_field(model, float(levels[k]), reference=x0, arrows=24, width=340)
            panels.append((f"sigma = {float(p.sigma(levels[k])):.3g}", field))
        draw.row(panels).save(pictures / f"two-gaussians-{name.split('-')[0]}.png")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:] or ["tuned", "recipe"])
