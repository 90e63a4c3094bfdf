"""Train the swiss roll under every perturbation, sample it with every sampler, and print the table of the gallery.

    python docs/gallery/swiss_roll.py runs/gallery docs/gallery

takes about a minute of training per perturbation on two CPU cores. Runs that are there already are not trained again.
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from fokker import draw
from fokker.config import build
from fokker.plugins.host import load_plugins
from fokker.run.folder import open_run
from fokker.sampling import generate
from fokker_data.roll import roll_rms
from fokker_data.toy import SwissRoll
from fokker_metrics.sliced_wasserstein import SlicedWasserstein

N = 5000
PERTURBATIONS = ("vp", "ve", "sub-vp", "cosine", "betas", "sigmas")
SAMPLERS = (
    ("ode", "uniform", 1),
    ("ddim", "karras", 100),
    ("ddpm", "karras", 250),
    ("pc", "karras", 250),
)


def main(runs: Path, pictures: Path) -> None:
    """Train, sample, measure, draw."""
    host = load_plugins()
    distance = SlicedWasserstein(projections=200)
    data = [SwissRoll(n=N, seed=seed).open("test").fetch(range(N)).x for seed in range(100, 110)]
    floor = statistics.median(distance(data[2 * i], data[2 * i + 1]) for i in range(5))
    noise = statistics.mean(roll_rms(x) for x in data)
    print(f"Noise floor: {floor:.4f}; distance of the data to the noiseless roll: {noise:.4f}\n")
    print("| perturbation | training | " + " | ".join(f"`{s}`" for s, _, _ in SAMPLERS) + " |")
    print("| --- " * (2 + len(SAMPLERS)) + "|")
    rows = []
    for name in PERTURBATIONS:
        out = runs / f"roll-{name}"
        command = ["fokker", "train", "--data", "swiss-roll", "--perturbation", name, "--network", "mlp"]
        began = time.perf_counter()
        if not out.exists():
            subprocess.run([*command, "--objective", "denoising", "--out", str(out), "--quiet"], check=True)
        seconds = time.perf_counter() - began
        run = open_run(out, host)
        model = run.model()
        cells = []
        for sampler, grid, steps in SAMPLERS:
            way = build(host.registry, "sampler", sampler)
            times = build(host.registry, "grid", grid).times(run.plan.perturbation, steps)
            chunk = next(generate(model, run.plan.chain, run.spec, way, times, n=N, batch_size=N, seed=1))
            ratio = statistics.median(distance(chunk.x, x) for x in data[:5]) / floor
            cells.append(f"{ratio:.2f} / {roll_rms(chunk.x) / noise:.3f} ({chunk.nfe})")
            if sampler == "ddpm":
                rows.append((name, chunk.x))
        print(f"| `{name}` | {seconds:.0f} s | " + " | ".join(cells) + " |", flush=True)
    drawn = [("data", draw.samples(data[0], like=data[0], width=360))]
    drawn += [(name, draw.samples(x, like=data[0], width=360)) for name, x in rows]
    draw.row(drawn).save(pictures / "swiss-roll.png")


if __name__ == "__main__":
    torch.set_num_threads(2)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
