"""The commands of this package: `fokker vocode`, `fokker noise-schedule` and `fokker tones`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from fokker.cli.app import App, pass_app
from fokker.cli.options import ComponentType, json_option
from fokker.cli.output import print_json
from fokker.cli.progress import progress
from fokker.errors import RunError

if TYPE_CHECKING:
    from fokker_wavegrad.vocoder import Vocoder

__all__ = ["noise_schedule", "tones", "vocode"]


@click.command(short_help="Make sounds again from their mel spectrograms.")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("files", type=click.Path(path_type=Path), nargs=-1)
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Folder of the .wav files; made if missing."
)
@click.option("-n", "n", type=click.IntRange(min=1), help="Number of held-out files, without FILES; 8 unless given.")
@click.option("--sampler", type=ComponentType("sampler"), help="The way down; the plan's unless given.")
@click.option("--grid", type=ComponentType("grid"), help="Where it stops; the plan's unless given.")
@click.option("--steps", type=click.IntRange(min=1), help="Steps of the grid; the plan's unless given.")
@click.option("--nfe", type=click.IntRange(min=1), help="Evaluations of the network, instead of --steps.")
@click.option("--griffin-lim", is_flag=True, help="Make each sound by Griffin-Lim too, from the same spectrogram.")
@click.option("--pictures", is_flag=True, help="Draw each sound beside what was made of it.")
@click.option("--seed", type=int, default=0, show_default=True, help="With a file's place, decides its noise.")
@click.option("--checkpoint", help="A step, or a checkpoint's name; the last one unless given.")
@click.option("--raw-weights", is_flag=True, help="Use the weights themselves, not their moving average.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps.")
@click.option("--force", is_flag=True, help="Replace what is in --out.")
@json_option
@pass_app
def vocode(
    app: App,
    run: Path,
    files: tuple[Path, ...],
    out: Path,
    n: int | None,
    griffin_lim: bool,
    pictures: bool,
    seed: int,
    force: bool,
    as_json: bool,
    **options: Any,
) -> None:
    r"""Make FILES again from their mel spectrograms by the model in RUN, and say how far off they are.

    Without FILES, the first held-out files of the run's data are taken, or held-out pieces of made-up data.

    \b
    Examples:
      fokker vocode runs/speech a.wav b.wav --out again/
      fokker vocode runs/speech --out again/ -n 8 --grid noise-schedule --nfe 6 --griffin-lim --pictures

    The distance is the log-spectral distance in dB. --json tells the loudness too, the ratio of standard deviations.
    """
    import dataclasses
    import time

    import torch
    from fokker.model import Counted

    from fokker_wavegrad.distance import log_spectral_distance
    from fokker_wavegrad.files import write_audio
    from fokker_wavegrad.griffin_lim import griffin_lim as inverted
    from fokker_wavegrad.pictures import sound_picture
    from fokker_wavegrad.sounds import sounds
    from fokker_wavegrad.vocoder import features_of, mel_of

    if files and n is not None:
        raise click.UsageError("-n is a number of held-out files, and FILES are given; leave one of them out.")
    vocoder = _vocoder(app, run, **options)
    counted = Counted(vocoder.model)
    vocoder = dataclasses.replace(vocoder, model=counted)
    features = features_of(vocoder.run)
    named = sounds(vocoder.run.plan.data, files, n or 8)
    _make_room(out, [name for name, _ in named], force=force)
    rate, seconds = features.sample_rate, 0.0
    rows: list[dict[str, Any]] = []
    with progress(app, "vocoding", len(named)) as report:
        for k, (name, sound) in enumerate(named):
            x, mel = mel_of(torch.from_numpy(sound), features)
            began = time.perf_counter()
            made = vocoder(mel[None], range(k, k + 1), seed=seed)[0]
            seconds += time.perf_counter() - began
            if not bool(made.isfinite().all()):
                raise RunError(f"What was made of {name} is not finite; take the sampler 'fokker-wavegrad/wavegrad'.")
            row: dict[str, Any] = {"name": name, "seconds": len(x) / rate}
            row["distance"] = float(log_spectral_distance(made[None], x[None], rate)[0])
            # of a silent sound there is no such ratio; JSON has no number for it
            row["loudness"] = float(made.std() / x.std()) if float(x.std()) else None
            write_audio(out / f"{name}.wav", made.numpy(), rate)
            columns = [(name, x.numpy()), ("from its spectrogram", made.numpy())]
            if griffin_lim:
                other = inverted(mel, features, seed=seed)
                row["griffin_lim"] = float(log_spectral_distance(torch.from_numpy(other)[None], x[None], rate)[0])
                write_audio(out / f"{name}-griffin-lim.wav", other, rate)
                columns.append(("Griffin-Lim", other))
            if pictures:
                sound_picture(columns, rate).save(out / f"{name}.png")
            rows.append(row)
            report(k + 1, name)
    means = {}
    for key in ("distance", "loudness", "griffin_lim"):
        known = [row[key] for row in rows if row.get(key) is not None]
        if known:
            means[key] = sum(known) / len(known)
    length = sum(row["seconds"] for row in rows)
    if as_json:
        nfe = counted.rows / len(rows)
        print_json({"out": str(out), "files": rows, "mean": means, "nfe": nfe, "seconds": seconds, "sound": length})
        return
    for row in [*rows, {"name": "mean", **means}]:
        words = f"{row['name']}  {row['distance']:.2f} dB"
        click.echo(words + (f"  Griffin-Lim {row['griffin_lim']:.2f} dB" if griffin_lim else ""))
    nfe = counted.rows / len(rows)
    app.say(f"{out}: {len(rows)} sounds of {length:.1f} s in all, made in {seconds:.1f} s, NFE {nfe:g}")


@click.command("noise-schedule", short_help="Search a noise schedule of a few levels.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--levels", type=click.IntRange(min=2), default=6, show_default=True, help="Evaluations of the network.")
@click.option(
    "--crops", type=click.IntRange(min=1), default=16, show_default=True, help="Training crops it is judged by."
)
@click.option("--tries", type=click.IntRange(min=2), default=120, show_default=True, help="Schedules that are tried.")
@click.option("--sampler", type=ComponentType("sampler"), help="The way down; ddpm unless given.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the tries and of the noise.")
@click.option("--checkpoint", help="A step, or a checkpoint's name; the last one unless given.")
@click.option("--raw-weights", is_flag=True, help="Use the weights themselves, not their moving average.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps.")
@json_option
@pass_app
def noise_schedule(
    app: App,
    run: Path,
    levels: int,
    crops: int,
    tries: int,
    sampler: str | None,
    seed: int,
    as_json: bool,
    **options: Any,
) -> None:
    r"""Search betas for a model of sound to be sampled in a few steps, and store them in RUN.

    Every schedule is judged by the log-spectral distance of what is made of the same training crops by the same noise.

    \b
    Example:
      fokker noise-schedule runs/speech --levels 6
      fokker vocode runs/speech --out again/ --grid noise-schedule --nfe 6
    """
    import dataclasses

    from fokker_wavegrad.search import search
    from fokker_wavegrad.stored import Schedule, write_schedule

    chosen = sampler or "ddpm"
    vocoder = _vocoder(app, run, sampler=chosen, grid="linear-betas", steps=levels - 1, nfe=None, **options)
    examples = vocoder.run.plan.data.open("train")
    count = min(crops, len(examples))
    batch = examples.fetch([i * len(examples) // count for i in range(count)])
    with progress(app, "searching", tries) as report:
        found = search(
            vocoder,
            batch.x[:, 0],
            batch.cond["mel"],
            levels,
            tries=tries,
            seed=seed,
            tell=lambda done, least: report(done, f"{least:.3g} dB"),
        )
    stored = Schedule(
        sampler=_written(app, vocoder),
        betas=found.betas,
        distance=found.distance,
        linear=found.linear,
        crops=count,
        tried=found.tried,
        seed=seed,
        checkpoint=vocoder.run.checkpoint(options["checkpoint"]).name,
    )
    write_schedule(run, stored)
    if as_json:
        print_json(dataclasses.asdict(stored))
        return
    click.echo(" ".join(f"{beta:g}" for beta in found.betas))
    click.echo(
        f"{found.distance:.2f} dB on {count} training crops, linear betas {found.linear:.2f} dB; {found.tried} tried"
    )
    way = f"--sampler '{sampler}' " if sampler else ""
    app.say(f"It is stored in {run}: sample with {way}--grid noise-schedule --nfe {levels}")


@click.command(short_help="Write made-up pieces of tones and chirps as .wav files.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("-n", "n", type=click.IntRange(min=1), default=8, show_default=True, help="Number of pieces.")
@click.option("--seconds", type=click.FloatRange(min=0.1), default=2.0, show_default=True, help="Length of a piece.")
@click.option("--sample-rate", type=click.IntRange(min=6000), default=8000, show_default=True, help="In Hz.")
@click.option("--seed", type=int, default=0, show_default=True, help="With its number, decides a piece.")
@click.option("--force", is_flag=True, help="Replace what is in FOLDER.")
@pass_app
def tones(app: App, folder: Path, n: int, seconds: float, sample_rate: int, seed: int, force: bool) -> None:
    r"""Write pieces of tones and chirps to FOLDER; none of them is an example of the data source 'tones'.

    \b
    Example:
      fokker tones pieces/ -n 8 --seconds 2
    """
    from fokker_wavegrad.crops import generator
    from fokker_wavegrad.files import write_audio
    from fokker_wavegrad.tones import piece, ramps

    names = [f"{k:03d}" for k in range(n)]
    _make_room(folder, names, force=force)
    for k, name in enumerate(names):
        # splits are places 0 and 1
        x = piece(generator(seed, 2, k), round(seconds * sample_rate), sample_rate)
        x = (x * ramps(len(x), sample_rate)).astype(x.dtype)
        write_audio(folder / f"{name}.wav", x, sample_rate)
    click.echo(folder)


def _vocoder(
    app: App,
    run: Path,
    *,
    sampler: str | None,
    grid: str | None,
    steps: int | None,
    nfe: int | None,
    checkpoint: str | None,
    raw_weights: bool,
    device: str,
) -> "Vocoder":
    """A run's model and the way down that is meant, refused before any work if it cannot be."""
    from fokker.budget import steps_for
    from fokker.cli.way import pick_way
    from fokker.run.folder import open_run
    from fokker.training.device import pick_device

    from fokker_wavegrad.vocoder import Vocoder, features_of

    if steps is not None and nfe is not None:
        raise click.UsageError("--steps and --nfe say the same thing; give one of them.")
    opened = open_run(run, app.host)
    features_of(opened)
    settings, p = opened.plan.sample, opened.plan.perturbation
    way, rule = pick_way(app, opened, sampler, grid)
    named = _name(app, way)
    if nfe is not None:
        steps = steps_for(way, named, nfe, settings.final)
    steps = settings.steps if steps is None else steps
    times = rule.in_run(run, named, steps).times(p, steps)
    opened.plan.label(p, way.levels(times))  # a label that does not exist between levels refuses here
    where = pick_device(device)
    model = opened.model(checkpoint=checkpoint, raw_weights=raw_weights, device=where)
    return Vocoder(model, opened, way, times, settings.final, where)


def _name(app: App, sampler: Any) -> str:
    from fokker import config
    from fokker.spec import as_spec

    return str(as_spec(config.to_table(app.registry, sampler, "sampler")))


def _written(app: App, vocoder: "Vocoder") -> str:
    return _name(app, vocoder.sampler)


def _make_room(folder: Path, names: list[str], *, force: bool) -> None:
    """Make a folder, and refuse to replace a file in it unless told to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder} cannot be made: {error.strerror or error}.") from None
    taken = [name for name in names if (folder / f"{name}.wav").exists()]
    if taken and not force:
        raise RunError(
            f"{folder / taken[0]}.wav is there already: choose another folder, or give --force to replace it."
        )
