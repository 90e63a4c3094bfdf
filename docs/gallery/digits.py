"""Sample a run on the digits by the samplers of Score SDE, measure them against the test split, and draw them.

    python docs/gallery/digits.py runs/digits-vp docs/gallery

prints the table of the gallery and the likelihoods, and writes digits-vp.png: two to three minutes on one core.
"""

import json
import sys
import time
from pathlib import Path

import torch
from click.testing import CliRunner
from torch import Tensor

from fokker import draw
from fokker.budget import steps_for
from fokker.cli.main import cli
from fokker.config import build
from fokker.plugins.host import load_plugins
from fokker.run.folder import open_run
from fokker.sampling import generate
from fokker_metrics.prdc import PRDC
from fokker_metrics.sliced_wasserstein import SlicedWasserstein

N = 100
SAMPLERS = (
    ("pc:predictor=reverse-diffusion,corrector=langevin", "uniform", 200),
    ("reverse-diffusion", "uniform", 200),
    ("euler-maruyama", "uniform", 200),
    ("euler-maruyama", "uniform", 1000),
    ("milstein", "uniform", 200),
    ("ddpm", "uniform", 200),
    ("ddim", "karras", 50),
    ("ode", "uniform", None),
)
STRAIGHT = (
    ("ode:method=euler", "uniform", 11),
    ("ode:method=heun2", "karras", 19),
    ("ode:method=heun2", "karras", 35),
    ("ode:method=heun2", "uniform", 35),
    ("ddim", "karras", 20),
    ("ddim", "karras", 50),
    ("ode", "uniform", None),
)
"""Sampler, grid and evaluations; an adaptive solver chooses its own."""
METRICS = (SlicedWasserstein(), *(PRDC(part=part) for part in ("precision", "recall", "density", "coverage")))


def main(path: Path, pictures: Path) -> None:
    """Measure one run."""
    host = load_plugins()
    run = open_run(path, host)
    p, model, chain = run.plan.perturbation, run.model(), run.plan.chain
    train, test = (run.plan.data.open(split) for split in ("train", "test"))
    reference = test.fetch(range(len(test))).x
    apart = len(train) // N  # the file has one writer after another: a set is spread over all of them
    sets = [train.fetch(range(i, apart * N, apart)).x for i in range(apart)]
    print("| sampler | grid | NFE | seconds | sliced Wasserstein | precision | recall | density | coverage |")
    print("| --- " * 9 + "|")
    print(f"| the data, {N} of the training split | | | | {row(sets, reference)} |", flush=True)
    drawn = []
    for name, grid, nfe in SAMPLERS if path.name.endswith(("vp", "ve")) else STRAIGHT:
        way = build(host.registry, "sampler", name)
        steps = 1 if nfe is None else steps_for(way, name, nfe, "tweedie")
        times = build(host.registry, "grid", grid).times(p, steps)
        began = time.process_time()
        chunk = next(generate(model, chain, run.spec, way, times, n=N, batch_size=N, seed=1))
        seconds = time.process_time() - began
        measured = row([chunk.x], reference)
        print(f"| `{name}` | `{grid}` | {chunk.nfe} | {seconds:.0f} | {measured} |", flush=True)
        drawn.append((f"{name.partition(':')[0]} {chunk.nfe}", draw.image_grid(chunk.x[:25], columns=5, width=220)))
    print()
    for probe in ("rademacher", "gaussian"):
        print(likelihood(path, probe), flush=True)
    draw.row(drawn[: len(drawn) // 2]).save(pictures / f"{path.name}.png")
    draw.row(drawn[len(drawn) // 2 :]).save(pictures / f"{path.name}-2.png")


def row(sets: list[Tensor], reference: Tensor) -> str:
    """Every metric, averaged over the sets."""
    return " | ".join(f"{sum(m(x, reference) for x in sets) / len(sets):.3f}" for m in METRICS)


def likelihood(path: Path, probe: str) -> str:
    """What `fokker likelihood` says of the test split."""
    options = ["--probe", probe, "--rtol", "1e-4", "--atol", "1e-4", "--json", "--quiet"]
    said = json.loads(CliRunner().invoke(cli, ["likelihood", str(path), *options]).stdout)
    nats, bits = (f"{said[unit]['mean']:.4g} +- {said[unit]['stderr']:.2g}" for unit in ("nats", "bits_per_dim"))
    return f"| {path.name} | 2 {probe} probes | {nats} | {said['probe_stderr']:.2g} | {bits} | {said['nfe']:.0f} |"


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
