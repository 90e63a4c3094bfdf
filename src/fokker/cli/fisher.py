"""`fokker fisher`: how far a trained model's score is from the true one."""

import dataclasses
from pathlib import Path

import click

from fokker.cli.app import App, pass_app
from fokker.cli.flow import data_options, named_source
from fokker.cli.options import json_option
from fokker.cli.output import print_json, print_table
from fokker.cli.progress import progress
from fokker.errors import ConfigError

__all__ = ["fisher"]

_MOST = 10_000
_CHUNK = 1000


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@data_options
@click.option("-n", "n", type=click.IntRange(min=1), help="Number of examples; 10000 or all unless given.")
@click.option(
    "--t",
    "times",
    type=click.FloatRange(min=0, max=1),
    multiple=True,
    help="A time; all levels of a table, or five from the largest noise to the smallest, unless given.",
)
@click.option("--checkpoint", help="A step, or a checkpoint's name; the last one unless given.")
@click.option("--raw-weights", is_flag=True, help="Use the weights themselves, not their moving average.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps.")
@json_option
@pass_app
def fisher(
    app: App,
    run: Path,
    data: str | None,
    split: str | None,
    seed: int,
    n: int | None,
    times: tuple[float, ...],
    checkpoint: str | None,
    raw_weights: bool,
    device: str,
    as_json: bool,
) -> None:
    r"""Fisher divergence of the trained model in RUN: the error of its score, where the true one is known.

    \b
    Examples:
      fokker fisher runs/roll
      fokker fisher runs/roll --t 0 -n 2000 --data swiss-roll:seed=1 --json

    F is half the mean squared error, over held-out examples, C half the mean squared norm of the true score. Their
    ratio is 0 for the true score, and 1 for the score 0. F - C is the expected loss of explicit score matching.
    """
    from fokker.fisher import fisher_divergence, levels_of
    from fokker.flow.examples import check_examples, read
    from fokker.run.folder import open_run
    from fokker.training.device import pick_device

    opened = open_run(run, app.host)
    where = pick_device(device)
    model = opened.model(checkpoint=checkpoint, raw_weights=raw_weights, device=where)
    source, named = named_source(app, opened, data)
    p = opened.plan.perturbation
    law = dataclasses.replace(source, transforms=opened.plan.data.transforms).law(p)  # type: ignore[type-var]
    if law is None:
        raise ConfigError(
            f"The law of {named} is not known here, so there is no true score to compare with; 'swiss-roll', "
            "'two-gaussians' and 'ring' have one, behind transforms that shift and scale."
        )
    which = split or "test"
    examples = source.open(which)  # type: ignore[arg-type]
    count = min(len(examples), _MOST) if n is None else n
    check_examples(examples, opened.spec, n=count)
    levels = list(times) or levels_of(p)
    found = []
    with progress(app, "fisher", len(levels)) as report:
        for t in levels:
            chunks = read(examples, opened.plan.chain, opened.spec, n=count, batch_size=_CHUNK, seed=seed, device=where)
            found.append(fisher_divergence(model, law, ((c.x, c.noise, c.cond) for c in chunks), t))
            report(len(found), f"{len(found)}/{len(levels)} levels")
    if as_json:
        rows = [{**dataclasses.asdict(f), "relative": f.relative, "matching": f.matching} for f in found]
        print_json({"n": count, "data": f"{named}, {which}", "seed": seed, "levels": rows})
        return
    lines = [
        (f"{f.t:.4g}", f"{f.sigma:.4g}", f"{f.half:.4g} +- {f.stderr:.2g}", *_short(f.score, f.relative, f.matching))
        for f in found
    ]
    print_table(("t", "sigma", "F", "C", "F/C", "F - C"), lines)
    click.echo(f"{named}, {which}: {count} examples")


def _short(*values: float) -> list[str]:
    return [f"{value:.4g}" for value in values]
