"""`fokker sample`: samples of a run."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from fokker.cli.app import App, pass_app
from fokker.cli.options import ComponentType, LabelType, between_option, json_option
from fokker.cli.output import print_json
from fokker.cli.progress import progress
from fokker.cli.way import pick_way
from fokker.errors import RunError
from fokker.partial import Partial

if TYPE_CHECKING:
    from fokker.run.folder import Run
    from fokker.sampling import Chunk

__all__ = ["sample"]

_CHUNK_NUMEL = 1 << 18


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(),
    required=True,
    help=".npy .npz .safetensors .csv .png, one of a plugin, or a folder of shards.",
)
@click.option("-n", "n", type=click.IntRange(min=1), default=64, show_default=True, help="Number of samples.")
@click.option("--sampler", type=ComponentType("sampler"), help="The way down; the plan's unless given.")
@click.option("--grid", type=ComponentType("grid"), help="Where it stops; the plan's unless given.")
@click.option("--steps", type=click.IntRange(min=1), help="Steps of the grid; the plan's unless given.")
@click.option(
    "--nfe",
    type=click.IntRange(min=1),
    help="Evaluations of the network per sample, instead of --steps; by 'auto' unless a sampler or grid is given.",
)
@between_option
@click.option("--init", help="Where it begins: prior, normal, uniform, data, or a point such as [1.5,-1.5].")
@click.option("--final", type=click.Choice(["tweedie", "mean", "none"]), help="How trajectories end.")
@click.option("--seed", type=int, default=0, show_default=True, help="With a sample's index, decides its noise.")
@click.option("--first", type=click.IntRange(min=0), default=0, show_default=True, help="Index of the first sample.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Samples at a time; changes no sample.")
@click.option("--guidance", type=ComponentType("guidance"), multiple=True, help="What steers the samples; repeatable.")
@click.option("--noise", type=ComponentType("noise"), help="Source of its random numbers; independent unless given.")
@click.option("--label", type=LabelType(), help="Class of all samples, or none; all classes in turn unless given.")
@click.option(
    "--trajectory",
    type=click.IntRange(min=2),
    is_flag=False,
    flag_value=16,
    help="Keep that many states (16) of the first samples (16 pictures, 1000 points) beside --out, as .npz and .png.",
)
@click.option("--checkpoint", help="A step, or a checkpoint's name; the last one unless given.")
@click.option("--raw-weights", is_flag=True, help="Use the weights themselves, not their moving average.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps.")
@click.option("--compile", "compiled", is_flag=True, help="Compile the network first; pays for many samples.")
@click.option("--cuda-graphs", is_flag=True, help="Replay the network as one CUDA graph; pays for small batches.")
@click.option("--force", is_flag=True, help="Replace what is at --out.")
@json_option
@pass_app
def sample(
    app: App,
    run: Path,
    out: str,
    n: int,
    sampler: str | None,
    grid: str | None,
    steps: int | None,
    nfe: int | None,
    between: Literal["refuse", "round", "interpolate"] | None,
    init: str | None,
    final: str | None,
    seed: int,
    first: int,
    batch_size: int | None,
    guidance: tuple[str, ...],
    noise: str | None,
    label: int | Literal["none"] | None,
    trajectory: int | None,
    checkpoint: str | None,
    raw_weights: bool,
    device: str,
    compiled: bool,
    cuda_graphs: bool,
    force: bool,
    as_json: bool,
) -> None:
    r"""Draw samples from the trained model in RUN.

    \b
    Examples:
      fokker sample runs/roll --out roll.png -n 5000
      fokker sample runs/fashion --out fashion.npy -n 1000 --sampler ddim:eta=0.5 --steps 50
      fokker sample runs/fashion --out shards/ -n 50000 --first 50000 --seed 7

    --nfe alone goes down by 'auto', the best way for that number of evaluations. Sample i depends on the seed, its
    index i and the method, not on -n, --first or --batch-size.
    """
    from fokker import config
    from fokker.budget import steps_for
    from fokker.events import SamplesWritten, SamplingFinished, SamplingStarted
    from fokker.faster import hasten
    from fokker.plan import SampleSettings
    from fokker.run.folder import open_run
    from fokker.sampler import check_noise
    from fokker.sampling import classes_of, generate
    from fokker.sink import open_sink
    from fokker.spec import as_spec, format_value, parse_value
    from fokker.start import start_from
    from fokker.training.device import pick_device

    opened = open_run(run, app.host).told_between(between)
    settings, p = opened.plan.sample, opened.plan.perturbation
    way, rule = pick_way(app, opened, sampler, grid, budget=nfe is not None)
    steering = [config.build(app.registry, "guidance", spec) for spec in guidance]
    source = config.build(app.registry, "noise", noise or "independent")
    end = final or settings.final
    if init is not None:
        table = {**config.settings_table(app.registry, settings), "init": parse_value(init)}
        settings = config.build_settings(app.registry, SampleSettings, table, "sample")
    if steps is not None and nfe is not None:
        raise click.UsageError("--steps and --nfe say the same thing; give one of them.")
    named = str(as_spec(config.to_table(app.registry, way, "sampler")))
    if nfe is not None:
        steps = steps_for(way, named, nfe, end, steering)
    check_noise(p, way)
    if noise is not None and not way.claims.stochastic:
        app.say(f"{named} draws nothing on its way: --noise {noise} decides where it starts, and no more.")
    steps = settings.steps if steps is None else steps
    rule = rule.in_run(run, named, steps)
    times = rule.times(p, steps)
    opened.plan.label(p, way.levels(times))  # a label that does not exist between levels refuses here, before any work
    for each in steering:
        each.check(opened.plan, opened.spec)
    classes = classes_of(opened.spec, steering)
    kind = opened.label(label, classes)
    where = pick_device(device)
    spec = opened.spec
    batch = batch_size or max(1, min(4096, _CHUNK_NUMEL // spec.numel))
    if trajectory is not None:
        _refuse_existing(_beside(out, ".npz"), _beside(out, ".png"), force=force)
    model = opened.model(checkpoint=checkpoint, raw_weights=raw_weights, device=where)
    if compiled or cuda_graphs:
        hasten(model, where, compile=compiled, cuda_graphs=cuda_graphs)
    about: dict[str, str | int | bool | None] = {
        "seed": seed,
        "sampler": named,
        "grid": str(as_spec(config.to_table(app.registry, rule, "grid"))),
        "steps": len(times) - 1,
        "between": between,
        "init": format_value(settings.init),
        "final": end,
        "guidance": ", ".join(guidance) or None,
        "label": label,
        "checkpoint": opened.checkpoint(checkpoint).name,
        "raw_weights": raw_weights,
    }
    if noise is not None:  # folders of shards from before there was a choice are continued
        about["noise"] = noise
    began, done, calls = time.perf_counter(), 0, 0
    broken: list[int] = []
    total = n * (len(times) - 1 + (end == "tweedie"))
    with (
        open_sink(
            out,
            n,
            spec.event_shape,
            first=first,
            labels=classes is not None,
            about=about,
            force=force,
            registry=app.registry,
            source=opened.plan.data,
        ) as sink,
        progress(app, "sampling", total) as report,
    ):
        app.host.emit(SamplingStarted(n, named))

        def on_step(count: int) -> None:
            nonlocal done
            done += count
            report(done, f"{sink.written}/{n} written" if done < total else "")

        for chunk in generate(
            model,
            opened.plan.chain,
            spec,
            way,
            times,
            n=n,
            first=first,
            batch_size=batch,
            seed=seed,
            init=start_from(settings.init, opened.plan),
            final=end,  # type: ignore[arg-type]
            label=kind,
            guidance=steering,
            data=opened.plan.data,
            keep_states=trajectory or 0,
            keep_samples=max(16, min(1000, 4096 // spec.numel)),
            source=source,
            device=where,
            on_step=on_step,
        ):
            calls += round(chunk.nfe * len(chunk.x))
            finite = chunk.x.flatten(1).isfinite().all(1)
            broken += [chunk.first + i for i in (~finite).nonzero().flatten().tolist()]
            sink.write(chunk.first, chunk.x, chunk.labels)
            if chunk.states:
                _write_trajectory(opened, chunk, out)
            app.host.emit(SamplesWritten(sink.written, n))
    seconds = time.perf_counter() - began
    spent = calls / n if calls % n else calls // n  # an adaptive sampler's differ from sample to sample
    app.host.emit(SamplingFinished(Path(out), n, spent, seconds))
    if sink.note:
        app.say(sink.note)
    if as_json:
        print_json({"out": out, "n": n, "nfe": spent, "seconds": seconds, "sampler": named, "seed": seed})
    else:
        click.echo(f"{out}: {n} samples, NFE {spent:g}, {seconds:.1f} s, {named}, seed {seed}")
    if broken:
        raise RunError(
            f"{len(broken)} of {n} samples are not finite, the first is number {broken[0]}; {out} holds all of them. "
            "Take more steps, end the grid earlier, or another sampler; if nothing helps, the training went wrong."
        )


def _beside(out: str, suffix: str) -> Path:
    path = Path(out)
    return path.with_name(f"{path.stem or path.name}-trajectory{suffix}")


def _refuse_existing(*paths: Path, force: bool) -> None:
    for path in paths:
        if path.exists() and not force:
            raise RunError(f"{path} is there already: choose another --out, or give --force to replace it.")


def _write_trajectory(run: "Run", chunk: "Chunk", out: str) -> None:
    import numpy as np
    import torch

    from fokker import draw

    states = [(t, run.plan.chain.inverse(x)) for t, x in chunk.states]
    with Partial(_beside(out, ".npz")) as file:
        np.savez(file, t=np.array([t for t, _ in states]), x=torch.stack([x for _, x in states]).numpy())
    draw.trajectory_strip(states, _beside(out, ".png"))
