"""Write reference/matrix.md: every sampler on a small model of every perturbation, as `fokker sample` runs them.

    python docs/matrix.py runs/matrix

trains a model of points in the plane for each perturbation, unless it is there already (about 15 s each on one core),
and samples each of them by every sampler (about 5 minutes). What is in runs/matrix already is not done again: after a
sampler or perturbation is added, for which a test asks, the next run does that alone.
"""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from click.testing import CliRunner
from torch import Tensor

from fokker.cli.main import cli
from fokker.plugins.host import load_plugins
from fokker.plugins.registry import Registry
from fokker_data.toy import Ring
from fokker_metrics.sliced_wasserstein import SlicedWasserstein

PAGE = Path(__file__).resolve().parent / "reference" / "matrix.md"
N, STEPS = 500, 99
DATA = "ring:transforms=[standardise]"
TRAIN = ("--steps", "1500", "--batch-size", "256", "--lr", "2e-3", "--set", "train.ema=0.99", "--label", "log-snr")
WITHOUT_NOISE = (
    *("--objective", "explicit", "--parameterization", "score", "--label", "t"),
    *("--set", "sample.sampler=langevin:relative=false", "--set", "sample.init=data"),
)
LEVELS = "betas, told the level"
"""A model that knows the levels of its table only, and is sampled on them."""
TOLD = (
    *("--perturbation", "betas:steps=100,start=1e-3,end=0.2", "--label", "index"),
    *("--objective", "ddpm", "--set", f"sample.steps={STEPS}"),
)
VARIANTS = (
    "langevin:relative=false,step=0.0005",
    "gradient-ascent:relative=false,step=0.0005",
    "ddim:eta=1",
    "ode:method=euler",
    "ode:method=heun2",
)


def main(runs: Path) -> None:
    """Train what is missing, sample, write."""
    registry = load_plugins().registry
    test, *others = (Ring(n=N, seed=seed).open("test").fetch(range(N)).x for seed in range(100, 111))
    distance = SlicedWasserstein(projections=200)
    floors = sorted(distance(a, b) for a, b in zip(others[::2], others[1::2], strict=True))
    floor = median(floors)
    models, file = trained(registry, runs), runs / "cells.json"
    cells: dict[str, dict[str, Any]] = json.loads(file.read_text()) if file.exists() else {}
    for title, spec in samplers(registry):
        for model, path in models.items():
            if f"{title} {model}" not in cells:
                cells[f"{title} {model}"] = sampled(path, spec, runs / "ring.npy", lambda x: distance(x, test) / floor)
                file.write_text(json.dumps(cells))
        print(title, [cells[f"{title} {model}"] for model in models], flush=True)
    titles = [title for title, _ in samplers(registry)]
    PAGE.write_text(page(titles, list(models), cells, floor, floors[-1] / floor), encoding="utf-8")


def trained(registry: Registry, runs: Path) -> dict[str, Path]:
    """A model for each column, by its heading."""
    columns = {e.name: ("--perturbation", e.name) for e in registry.entries("perturbation")} | {LEVELS: TOLD}
    found = {}
    for heading, given in columns.items():
        path = runs / heading.replace(", told the level", "-index")
        extra = WITHOUT_NOISE if given[1] == "none" else ("--objective", "denoising")
        if not path.exists():
            arguments = ["train", "--data", DATA, "--network", "mlp", *TRAIN, *extra, *given, "--out", str(path)]
            done = CliRunner().invoke(cli, [*arguments, "--quiet"])
            if done.exit_code:
                raise SystemExit(f"{heading}: {done.stderr}")
        found[heading] = path
    return found


def samplers(registry: Registry) -> list[tuple[str, str]]:
    """Title and spec of every row."""
    names = [e.name for e in registry.entries("sampler")]
    rows = [(f"`{name}`", name) for name in sorted([*names, *VARIANTS])]
    for e in registry.entries("predictor"):
        rows.append((f"`pc`, predictor `{e.name}`", f"pc:predictor={e.name}"))
    for e in registry.entries("corrector"):
        rows.append((f"`pc`, corrector `{e.name}`", f"pc:corrector={e.name}"))
    return rows


def sampled(path: Path, sampler: str, out: Path, score: Callable[[Tensor], float]) -> dict[str, Any]:
    """The score and the NFE of what `fokker sample` writes, or why it does not."""
    given = ["--sampler", sampler, "--out", str(out), "-n", str(N), "--seed", "1", "--force", "--json", "--quiet"]
    done = CliRunner().invoke(cli, ["sample", str(path), "--steps", str(STEPS), *given])
    if done.exit_code == 0:
        return {"score": score(torch.from_numpy(np.load(out))), "nfe": round(json.loads(done.stdout)["nfe"])}
    if done.exit_code != 2:  # no refusal
        raise SystemExit(f"{path}, {sampler}: {done.stderr or repr(done.exception)}")
    return {"refused": done.stderr.strip().splitlines()[-1].removeprefix("Error: ")}


def page(
    titles: list[str], models: list[str], cells: Mapping[str, Mapping[str, Any]], floor: float, most: float
) -> str:
    """The page."""
    reasons: list[str] = []
    lines = [["sampler", "NFE", *(f"`{m}`" if m != LEVELS else m for m in models)]]
    lines.append(["---"] * len(lines[0]))
    for title in titles:
        row = [cells[f"{title} {model}"] for model in models]
        spent = [cell["nfe"] for cell in row if "nfe" in cell]
        line = [title, " to ".join(dict.fromkeys(map(str, (min(spent), max(spent)))))]
        for cell in row:
            reason = cell.get("refused")
            if reason is None:
                line.append(f"{cell['score']:.1f}")
                continue
            reasons += [] if reason in reasons else [reason]
            line.append(f"({reasons.index(reason) + 1})")
        lines.append(line)
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    refusals = "\n".join(f"{i}. {reason}" for i, reason in enumerate(reasons, 1))
    return TEXT.format(table=table, refusals=refusals, floor=floor, most=most, n=N, steps=STEPS)


TEXT = """# Every sampler on every perturbation

After this page you know which sampler works with which perturbation, how well, and why some are refused.

Eight Gaussians on a circle, an MLP of 128 x 3, 1,500 steps of training for each perturbation with its default
values, then

    fokker sample RUN --sampler S --steps {steps} -n {n} --out ring.npy

for every sampler, on the grid of the run: `karras`, and `knots` for the model that is told the level of its table.
Numbers are sliced Wasserstein distances to the test split, divided by that of two independent draws of the data,
{floor:.4f} with {n} points: 1 is as good as data, and five pairs of draws gave up to {most:.1f}. A number in brackets
is a refusal, in the words that a user reads, below.

{table}

## Refusals

{refusals}

## What the numbers say

- Columns are alike: a network that is told the log-SNR learns the same from every perturbation, and the grid `karras`
  visits the same levels on all of them. `sigmas` and `ve` have the same levels from end to end, hence the same numbers.
- `milstein` is `euler-maruyama`, and `ddim:eta=1` is `ddpm`: the numbers say so.
- `gradient-ascent` climbs to the modes, and `langevin` stays at the smallest noise, where nothing leads from one mode
  to another. Both begin at the prior, which is hundreds of standard deviations of that noise away, so that in {steps}
  steps of its size they come nowhere: neither is a way from the prior to the data, by design.
- `pc` with the predictor `identity` leaves all to one correction at each level, which is too little; `smld` makes five.
- `none` has no noise to start from: Langevin dynamics with a step of its own is all that works, and it starts at data
  here. Away from data a score that was learned without noise is anything, and from a normal start paths run away.
- All cells of a column begin at the same random numbers, so that they are off together: 1.5 says no more than 1.0.

Made by `python docs/matrix.py runs/matrix`.
"""


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
