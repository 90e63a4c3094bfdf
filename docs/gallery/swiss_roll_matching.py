"""Measure and draw the scores that were matched on a swiss roll; prints the tables of the page.

    python docs/gallery/swiss_roll_matching.py runs docs/gallery

Looks for the runs roll-explicit, roll-sliced, roll-sphere, roll-thousand and roll-denoising in the first folder, as the
page trains them, and passes over those that are not there. A minute, without the training.
"""

import sys
from pathlib import Path

import torch

from fokker import draw
from fokker.fisher import fisher_divergence
from fokker.flow.examples import read
from fokker.model import ScoreModel
from fokker.plugins.host import load_plugins
from fokker.run.folder import open_run, read_lines
from fokker_data.toy import SwissRoll

RUNS = ("roll-explicit", "roll-sliced", "roll-sphere", "roll-thousand", "roll-denoising")
DRAWN = {"roll-explicit": "explicit", "roll-sliced": "sliced", "roll-denoising": "denoising"}
STEPS = (500, 1000, 1500, 2000)
HELD_OUT = 10_000


def main(runs: Path, pictures: Path) -> None:
    """Measure, draw."""
    host = load_plugins()
    reference = SwissRoll().open("test").fetch(range(HELD_OUT)).x
    found = [(name, open_run(runs / name, host)) for name in RUNS if (runs / name).exists()]
    print("| run | loss of the first 10 steps | " + " | ".join(f"step {k}" for k in STEPS) + " |")
    for name, run in found:
        lines = {line["step"]: line["loss"] for line in read_lines(run.path / "metrics.jsonl")}
        print(f"| {name} | " + " | ".join(f"{lines[k]:.2f}" if k in lines else "-" for k in (10, *STEPS)) + " |")
    print("\n| run | F | C | F / C | F - C |")
    fields: list[tuple[str, ScoreModel]] = []
    for name, run in found:
        model, law = run.model(), SwissRoll().law(run.plan.perturbation)
        assert law is not None
        if not fields:
            fields.append(("exact", law))
        held_out = read(SwissRoll().open("test"), run.plan.chain, run.spec, n=HELD_OUT, batch_size=1000)
        parts = ((c.x, c.noise, c.cond) for c in held_out)
        f = fisher_divergence(model, law, parts, 0.0)
        print(f"| {name} | {f.half:.2f} +- {f.stderr:.2f} | {f.score:.2f} | {f.relative:.3f} | {f.matching:.2f} |")
        if name in DRAWN:
            fields.append((DRAWN[name], model))
    drawn = [(caption, draw.score_field(m, 0.0, reference=reference, arrows=28, width=310)) for caption, m in fields]
    draw.row(drawn).save(pictures / "swiss-roll-matching.png")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
