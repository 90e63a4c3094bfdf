"""`fokker decode`: data of latents."""

import time
from pathlib import Path
from typing import Any

import click

from fokker.cli.app import App, pass_app
from fokker.cli.flow import flow_options, naming, open_flow, share_of
from fokker.cli.options import json_option
from fokker.cli.output import print_json
from fokker.cli.progress import progress
from fokker.errors import ConfigError, DataError

__all__ = ["decode"]


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("latents", type=click.Path(path_type=Path), metavar="Z")
@click.option(
    "--out", type=click.Path(), required=True, help=".npy .npz .safetensors .csv .png, or a folder of shards."
)
@click.option(
    "--temperature", type=click.FloatRange(min=0), default=1.0, show_default=True, help="Latents are multiplied by it."
)
@flow_options
@json_option
@pass_app
def decode(
    app: App, run: Path, latents: Path, out: str, temperature: float, force: bool, as_json: bool, **options: Any
) -> None:
    r"""Decode the latents in Z by the trained model in RUN, to data in its own units.

    \b
    Examples:
      fokker decode runs/digits z.npz --out digits.png
      fokker decode runs/digits z.npz --out threes.npy --label 3
      fokker decode runs/roll z.npy --out calm.png --temperature 0.7

    Z is a file of 'fokker encode', or any states at t = 1 in the model's units: (n, *D), in an .npz file under x.
    """
    import torch

    from fokker import flow as flows
    from fokker.sink import open_sink, read_back

    flow = open_flow(app, run, **options)
    spec, chain = flow.run.spec, flow.run.plan.chain
    stored = read_back(latents, spec.event_shape)
    labels = None
    if spec.classes is not None:
        if flow.label is not None:
            labels = torch.full((len(stored.x),), flow.label)
        elif stored.labels is None:
            raise ConfigError(f"The model was trained with labels, and {latents} holds none: give --label.")
        else:
            labels = torch.from_numpy(stored.labels)
            if not bool(((labels >= 0) & (labels < spec.classes)).all()):
                raise DataError(f"{latents} holds labels that are not in 0 to {spec.classes - 1}: give --label.")
    n = len(stored.x)
    about = {"decoded": str(latents), "temperature": temperature, **flow.about}
    began, calls = time.perf_counter(), 0
    with (
        open_sink(
            out,
            n,
            spec.event_shape,
            first=stored.first,
            labels=labels is not None,
            about=about,
            force=force,
            registry=app.registry,
            source=flow.run.plan.data,
        ) as sink,
        progress(app, "decoding", n) as report,
    ):
        for start in range(0, n, flow.batch):
            rows = slice(start, start + flow.batch)
            z = torch.from_numpy(stored.x[rows]).to(flow.device)
            told = None if labels is None else labels[rows]
            with naming(stored.first + start, "Latent"):
                found = flows.decode(
                    flow.model,
                    z,
                    cond=None if told is None else {"label": told.to(flow.device)},
                    temperature=temperature,
                    on_step=share_of(report, sink.written, len(z), n),
                    rtol=flow.rtol,
                    atol=flow.atol,
                )
            calls += int(found.nfe.sum())
            sink.write(stored.first + start, chain.inverse(found.x.cpu()), told)
    seconds = time.perf_counter() - began
    if sink.note:
        app.say(sink.note)
    if as_json:
        print_json({"out": out, "n": n, "nfe": calls / n, "seconds": seconds, "temperature": temperature})
    else:
        click.echo(f"{out}: {n} decoded, NFE {calls / n:.4g}, {seconds:.1f} s")
