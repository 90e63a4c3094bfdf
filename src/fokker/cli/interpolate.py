"""`fokker interpolate`: data on the way between two latents."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from fokker.cli.app import App, pass_app
from fokker.cli.flow import Flow, data_options, flow_options, naming, open_data, open_flow, share_of
from fokker.cli.options import json_option
from fokker.cli.output import print_json
from fokker.cli.progress import progress
from fokker.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["interpolate"]

_Ends: TypeAlias = tuple[tuple["Tensor", "Tensor"], tuple[int, int] | None, int]


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(), required=True, help=".npy .npz .safetensors .csv .png, or a folder of shards."
)
@click.option("--examples", nargs=2, type=click.IntRange(min=0), help="Positions of two examples, which are encoded.")
@click.option("--samples", nargs=2, type=click.IntRange(min=0), help="Indices of two samples of --seed, instead.")
@click.option(
    "--frames", type=click.IntRange(min=2), default=9, show_default=True, help="Number of results, both ends included."
)
@data_options
@flow_options
@json_option
@pass_app
def interpolate(
    app: App,
    run: Path,
    out: str,
    examples: tuple[int, int] | None,
    samples: tuple[int, int] | None,
    frames: int,
    data: str | None,
    split: str | None,
    seed: int,
    force: bool,
    as_json: bool,
    **options: Any,
) -> None:
    r"""Go from one example to another by way of their latents, on a great circle, and decode what lies between.

    \b
    Examples:
      fokker interpolate runs/digits --examples 3 14 --out way.png
      fokker interpolate runs/digits --samples 0 1 --seed 7 --frames 16 --out way.npy
      fokker interpolate runs/classes --examples 3 14 --label 5 --out fives.png
    """
    import torch

    from fokker import flow as flows
    from fokker.flow.interpolate import angle
    from fokker.sink import open_sink

    if (examples is None) == (samples is None):
        raise click.UsageError("Give --examples I J, or --samples I J.")
    if samples is not None and (data is not None or split is not None):
        raise click.UsageError("--data and --split have no meaning with --samples.")
    flow = open_flow(app, run, **options)
    spec, chain = flow.run.spec, flow.run.plan.chain
    began = time.perf_counter()
    if examples is not None:
        (a, b), labels, calls = _encoded(app, flow, examples, data, split, seed)
    else:
        assert samples is not None
        (a, b), labels, calls = _drawn(flow, samples, seed)
    if labels is not None and labels[0] != labels[1]:
        raise ConfigError(
            f"The two have classes {labels[0]} and {labels[1]}: give --label, the class of the whole way."
        )
    label = None if labels is None else labels[0]
    z = flows.spherical(a, b, frames)
    theta = angle(a, b)
    ends = f"{'examples' if examples is not None else 'samples'} {' and '.join(map(str, examples or samples or ()))}"
    about = {"between": ends, "seed": seed, **flow.about}
    with (
        open_sink(
            out,
            frames,
            spec.event_shape,
            labels=label is not None,
            about=about,
            force=force,
            registry=app.registry,
            source=flow.run.plan.data,
        ) as sink,
        progress(app, "decoding", frames) as report,
    ):
        for start in range(0, frames, flow.batch):
            part = z[start : start + flow.batch]
            told = None if label is None else torch.full((len(part),), label)
            with naming(start, "Frame"):
                found = flows.decode(
                    flow.model,
                    part,
                    cond=None if told is None else {"label": told.to(flow.device)},
                    on_step=share_of(report, sink.written, len(part), frames),
                    rtol=flow.rtol,
                    atol=flow.atol,
                )
            calls += int(found.nfe.sum())
            sink.write(start, chain.inverse(found.x.cpu()), told)
    seconds = time.perf_counter() - began
    if sink.note:
        app.say(sink.note)
    result = {"out": out, "frames": frames, "nfe": calls / frames, "seconds": seconds, "angle": theta, "seed": seed}
    if as_json:
        print_json(result)
    else:
        click.echo(f"{out}: {frames} frames between {ends}, {theta:.3f} rad apart, NFE {calls / frames:.4g} a frame")


def _encoded(app: App, flow: Flow, places: tuple[int, int], data: str | None, split: str | None, seed: int) -> _Ends:
    """Latents and classes of two examples, and how many evaluations they took."""
    from fokker import flow as flows

    source, _ = open_data(app, flow, data, split)
    latents, labels, calls = [], [], 0
    for place in places:
        (inputs,) = flows.read(
            source,
            flow.run.plan.chain,
            flow.run.spec,
            n=1,
            first=place,
            seed=seed,
            label=flow.label,
            device=flow.device,
        )
        with naming(place, "Example"):
            found = flows.encode(flow.model, inputs.x, cond=inputs.cond, rtol=flow.rtol, atol=flow.atol)
        latents.append(found.x[0])
        labels.append(None if inputs.labels is None else int(inputs.labels[0]))
        calls += int(found.nfe.sum())
    classes = None if labels[0] is None or labels[1] is None else (labels[0], labels[1])
    return (latents[0], latents[1]), classes, calls


def _drawn(flow: Flow, places: tuple[int, int], seed: int) -> _Ends:
    """What two samples of `fokker sample` start from, and their classes."""
    import torch

    from fokker.noise import PerSample

    spec = flow.run.spec
    noise = PerSample(seed, places, spec.event_shape, device=flow.device)
    a, b = flow.model.perturbation.prior_std * noise(torch.empty((2, *spec.event_shape), device=flow.device))
    classes = None
    if spec.classes is not None:
        first, last = (i % spec.classes if flow.label is None else flow.label for i in places)
        classes = first, last
    return (a, b), classes, 0
