"""Measure and draw the scores of two noise-conditional networks on a swiss roll; prints the table of the page.

    python docs/gallery/swiss_roll_ncsn.py runs docs/gallery

Looks for the runs roll-ncsn and roll-balanced, of the recipes `swiss-roll-ncsn` and `swiss-roll-ncsn-balanced`. Two
minutes, without the training.
"""

import sys
from pathlib import Path

import torch

from fokker import draw
from fokker.fisher import fisher_divergence, levels_of
from fokker.flow.examples import read
from fokker.plugins.host import load_plugins
from fokker.run.folder import open_run, read_lines
from fokker.sampling import generate
from fokker_data.roll import roll_rms
from fokker_data.toy import SwissRoll
from fokker_metrics.sliced_wasserstein import SlicedWasserstein

RUNS = {"roll-ncsn": "as published", "roll-balanced": "balanced"}
N = 10_000


def main(runs: Path, pictures: Path) -> None:
    """Measure, draw."""
    host = load_plugins()
    roll = SwissRoll()
    data, other = (SwissRoll(seed=seed).open("test").fetch(range(N)).x for seed in (1, 2))
    distance = SlicedWasserstein(projections=200)
    print(f"Distance of two data sets {distance(data, other):.4f}, to the noiseless roll {roll_rms(data):.4f}")
    samples = [("data", draw.samples(data, like=data, width=420))]
    for name, caption in RUNS.items():
        run = open_run(runs / name, host)
        model, plan = run.model(), run.plan
        law = roll.law(plan.perturbation)
        assert law is not None
        lines = list(read_lines(run.path / "metrics.jsonl"))
        last = [line["loss"] for line in lines if line["step"] > plan.train.steps - 500]
        print(f"\n{name}: loss of the last 500 steps {sum(last) / len(last):.4f}")
        print("| sigma | F | C | F / C | loss | least |")
        losses = []
        for t in levels_of(plan.perturbation):
            held_out = read(roll.open("test"), plan.chain, run.spec, n=N, batch_size=1000)
            f = fisher_divergence(model, law, ((c.x, c.noise, c.cond) for c in held_out), t)
            loss, least = 1 + f.sigma**2 * f.matching, 1 - f.sigma**2 * f.score
            losses.append((loss, least))
            print(f"| {f.sigma:.4f} | {f.half:.4g} | {f.score:.4g} | {f.relative:.4f} | {loss:.4f} | {least:.4f} |")
        print(
            "mean over the levels: {:.4f}, least {:.4f}".format(*(sum(v) / len(v) for v in zip(*losses, strict=True)))
        )
        grid = plan.sample.grid.times(plan.perturbation, plan.sample.steps)
        chunk = next(generate(model, plan.chain, run.spec, plan.sample.sampler, grid, n=N, batch_size=N))
        print(f"samples: distance {distance(chunk.x, data):.4f}, to the noiseless roll {roll_rms(chunk.x):.4f}")
        samples.append((caption, draw.samples(chunk.x, like=data, width=420)))
        fields = draw.score_fields(model, levels_of(plan.perturbation), reference=data, arrows=28, width=310)
        fields.save(pictures / f"swiss-{name}-score.png")
    draw.row(samples).save(pictures / "swiss-roll-ncsn.png")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
