"""`fokker encode`: latents of data."""

import time
from pathlib import Path
from typing import Any

import click

from fokker.cli.app import App, pass_app
from fokker.cli.flow import data_options, flow_options, naming, open_data, open_flow, share_of
from fokker.cli.options import json_option
from fokker.cli.output import print_json
from fokker.cli.progress import progress
from fokker.errors import ConfigError

__all__ = ["encode"]


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(), required=True, help=".npy .npz .safetensors .csv, or a folder of shards.")
@data_options
@click.option("-n", "n", type=click.IntRange(min=1), help="Number of examples; all unless given.")
@click.option("--first", type=click.IntRange(min=0), default=0, show_default=True, help="Position of the first one.")
@flow_options
@json_option
@pass_app
def encode(
    app: App,
    run: Path,
    out: str,
    data: str | None,
    split: str | None,
    seed: int,
    n: int | None,
    first: int,
    force: bool,
    as_json: bool,
    **options: Any,
) -> None:
    r"""Encode data by the trained model in RUN: latents at t = 1, in the model's units, which decode leads back.

    \b
    Examples:
      fokker encode runs/digits --out z.npz -n 100
      fokker encode runs/roll --data swiss-roll:seed=1 --out z.safetensors
      fokker decode runs/roll z.safetensors --out roll.png

    The labels that the model was told are kept with the latents, where the format has a place for them.
    """
    from fokker import flow as flows
    from fokker.flow.examples import check_examples
    from fokker.sink import open_sink

    if Path(out).suffix.lower() == ".png":
        raise ConfigError("A picture of latents cannot be decoded: end --out in .npy, .npz, .safetensors or .csv.")
    flow = open_flow(app, run, **options)
    examples, named = open_data(app, flow, data, split)
    count = len(examples) - first if n is None else n
    spec = flow.run.spec
    check_examples(examples, spec, n=count, first=first, label=flow.label)
    about = {"latents": "t = 1", "data": named, "seed": seed, **flow.about}
    began, calls = time.perf_counter(), 0
    inputs = flows.read(
        examples,
        flow.run.plan.chain,
        spec,
        n=count,
        first=first,
        batch_size=flow.batch,
        seed=seed,
        label=flow.label,
        device=flow.device,
    )
    labels = spec.classes is not None
    with (
        open_sink(out, count, spec.event_shape, first=first, labels=labels, about=about, force=force) as sink,
        progress(app, "encoding", count) as report,
    ):
        for chunk in inputs:
            with naming(chunk.first, "Example"):
                found = flows.encode(
                    flow.model,
                    chunk.x,
                    cond=chunk.cond,
                    on_step=share_of(report, sink.written, len(chunk.x), count),
                    rtol=flow.rtol,
                    atol=flow.atol,
                )
            calls += int(found.nfe.sum())
            sink.write(chunk.first, found.x, chunk.labels)
    seconds = time.perf_counter() - began
    if sink.note:
        app.say(sink.note)
    if as_json:
        print_json({"out": out, "n": count, "nfe": calls / count, "seconds": seconds, "data": named, "seed": seed})
    else:
        click.echo(f"{out}: {count} latents of {named}, NFE {calls / count:.4g}, {seconds:.1f} s")
