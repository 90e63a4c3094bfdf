"""`fokker draw`: pictures of a run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from fokker.cli.app import App, pass_app
from fokker.cli.drawing import Way, check_out, open_drawing, open_way, run_options, way_options
from fokker.cli.options import add_common_options, keep_examples
from fokker.errors import ConfigError

__all__ = ["draw"]

_WAY = ("sampler", "grid", "steps", "init", "final")
_REFERENCE = 20_000  # examples below arrows


class _Pictures(click.Group):
    """A group whose commands have the options that all commands of fokker have."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command = super().get_command(ctx, cmd_name)
        return command and keep_examples(add_common_options(command))


@click.group(cls=_Pictures)
def draw() -> None:
    r"""Draw a picture of RUN: what it learned, and how it samples.

    \b
    Examples:
      fokker draw field runs/roll --out field.png
      fokker draw animation runs/roll --out roll.gif
      fokker draw levels runs/roll --out levels.png

    `fokker draw field --help` shows the options of one kind of picture.
    """


def _picture(suffix: str = ".png") -> Callable[[Any], Any]:
    """The argument RUN and the option `--out`."""

    def add(command: Any) -> Any:
        command = click.option(
            "--out", type=click.Path(path_type=Path), required=True, help=f"The {suffix} file to write."
        )(command)
        return click.argument("run", type=click.Path(path_type=Path))(command)

    return add


def _count(default: int | None, text: str) -> Callable[[Any], Any]:
    """The option `-n`."""
    shown = default is not None
    return click.option("-n", "n", type=click.IntRange(min=1), default=default, show_default=shown, help=text)


def _split(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of the way down, and all others."""
    return {k: options.pop(k) for k in _WAY}, options


@draw.command(short_help="The score as arrows, at several noise levels.")
@_picture()
@click.option("--levels", type=click.IntRange(min=1), default=4, show_default=True, help="Panels: noise levels.")
@click.option("--at", "times", type=click.FloatRange(0, 1), multiple=True, help="A time, instead; repeatable.")
@click.option("--arrows", type=click.IntRange(min=2), default=50, show_default=True, help="In a row and in a column.")
@click.option("--exact", is_flag=True, help="Draw the exact score of the data instead of the model's.")
@run_options
@pass_app
def field(
    app: App,
    run: Path,
    out: Path,
    levels: int,
    times: tuple[float, ...],
    arrows: int,
    exact: bool,
    force: bool,
    **options: Any,
) -> None:
    r"""Draw the score of points of the plane as arrows over the data, a panel for each noise level.

    \b
    Examples:
      fokker draw field runs/roll --out field.png
      fokker draw field runs/roll --out exact.png --exact --at 0.5 --at 0.1

    An arrow is as long as log(1 + |score|), the longest of a panel as the arrows are apart. Below them is the density
    of the test split at that level, in the model's units.
    """
    import torch

    from fokker import draw as drawn
    from fokker.levels import picked_times

    check_out(out, ".png", force=force)
    drawing = open_drawing(app, run, **options)
    drawing.plane("A score field")
    plan, classes = drawing.run.plan, drawing.run.spec.classes
    if classes is not None and drawing.label is None:
        raise ConfigError(f"The score depends on the class here: say which with --label, 0 to {classes - 1}.")
    model = drawing.law() if exact else drawing.model
    if model is None:
        raise ConfigError("The exact score of this data is not known; leave out --exact to draw the model's.")
    chosen = list(times) or picked_times(plan.perturbation, levels)
    plan.label(plan.perturbation, torch.tensor(chosen, dtype=torch.float64))  # refuses what is between levels
    x = drawing.inputs(drawing.examples(_REFERENCE)[0])
    noise = drawing.noise(x, 1)
    cond = None if drawing.label is None else {"label": torch.tensor([drawing.label], device=drawing.device)}
    if not exact:
        x = x.to(drawing.device)
    drawn.score_fields(model, chosen, out, reference=x, noise=noise, cond=cond, arrows=arrows)
    click.echo(out)


@draw.command(short_help="Every step of a few samples as arrows.")
@_picture()
@_count(6, "Samples whose steps are drawn.")
@way_options
@run_options
@pass_app
def path(app: App, run: Path, out: Path, n: int, force: bool, **options: Any) -> None:
    r"""Draw every step of a few samples in the plane as an arrow, over the data.

    \b
    Examples:
      fokker draw path runs/roll --out path.png
      fokker draw path runs/roll --out ascent.png --sampler gradient-ascent --grid uniform:end=0.05 --init normal

    An open circle is the start, a full one the end. Everything is in the data's own units.
    """
    from fokker import draw as drawn

    check_out(out, ".png", force=force)
    chosen, others = _split(options)
    drawing = open_drawing(app, run, **others)
    drawing.plane("A path of arrows")
    way = open_way(drawing, **chosen)
    _, chunk = way.walk(drawing, n, states=_all_states(way))
    inverse = drawing.run.plan.chain.inverse
    data, _ = drawing.examples(_REFERENCE)
    drawn.step_arrows([(t, inverse(x)) for t, x in chunk.states], out, reference=data, n=n)
    click.echo(out)


@draw.command(short_help="Samples beside data, as histograms.")
@_picture()
@_count(10_000, "Samples, and examples at most.")
@click.option("--bins", type=click.IntRange(min=2), default=64, show_default=True, help="Cells in a row.")
@way_options
@run_options
@pass_app
def histogram(app: App, run: Path, out: Path, n: int, bins: int, force: bool, **options: Any) -> None:
    r"""Draw samples as a histogram, beside that of the data on the same scale: of the plane, or of one number.

    \b
    Example:
      fokker draw histogram runs/roll --out histogram.png -n 20000 --steps 50
    """
    from fokker import draw as drawn

    check_out(out, ".png", force=force)
    chosen, others = _split(options)
    drawing = open_drawing(app, run, **others)
    number = drawing.run.spec.numel == 1
    if not number:
        drawing.plane("A histogram")
    data, _ = drawing.examples(n)
    x, _ = open_way(drawing, **chosen).walk(drawing, n)
    if number:
        drawn.histogram(x.flatten(1), out, reference=data.flatten(1))
    else:
        drawn.plane_histogram(x, out, reference=data, bins=bins)
    click.echo(out)


@draw.command(short_help="The law p_t along time, both ways.")
@_picture()
@_count(2000, "Samples, and examples at most.")
@click.option("--coordinate", type=click.IntRange(min=0), help="Of one value of an example, flattened, over time.")
@click.option("--times", type=click.IntRange(min=2), help="Panels (5), or columns of the image (all states).")
@click.option("--paths", type=click.IntRange(min=0), default=6, show_default=True, help="Sample paths over the image.")
@way_options
@run_options
@pass_app
def marginals(
    app: App,
    run: Path,
    out: Path,
    n: int,
    coordinate: int | None,
    times: int | None,
    paths: int,
    force: bool,
    **options: Any,
) -> None:
    r"""Draw the law p_t along time, both ways: of data that is being noised, and of the sampler's states.

    \b
    Examples:
      fokker draw marginals runs/roll --out marginals.png
      fokker draw marginals runs/roll --out x0.png --coordinate 0

    Points of the plane are drawn as histograms at several times; one number, or the chosen coordinate of any shape, as
    an image over (t, x). Everything is in the model's units.
    """
    from fokker import draw as drawn

    check_out(out, ".png", force=force)
    chosen, others = _split(options)
    drawing = open_drawing(app, run, **others)
    spec = drawing.run.spec
    if coordinate is not None and coordinate >= spec.numel:
        raise ConfigError(f"--coordinate must be in 0 to {spec.numel - 1} for shape {spec.event_shape}.")
    if coordinate is None and spec.event_shape != (2,):
        if spec.numel > 1:
            raise ConfigError(
                f"An example of shape {spec.event_shape} has {spec.numel} values: say with --coordinate which one is "
                "drawn."
            )
        coordinate = 0
    way = open_way(drawing, **chosen)
    _, chunk = way.walk(drawing, n, states=(times or _all_states(way)) if coordinate is not None else (times or 5))
    down = list(chunk.states)
    ways = {"data, being noised": _up(drawing, n, [t for t, _ in down]), "samples, on the way down": down}
    if coordinate is None:
        drawn.plane_marginals(ways, out, n=times or 5)
    else:
        drawn.coordinate_marginals(ways, out, coordinate=coordinate, paths=paths)
    click.echo(out)


@draw.command(short_help="The way down, or up, as a GIF.")
@_picture(".gif")
@_count(None, "Samples or examples; by their shape unless given.")
@click.option("--forward", is_flag=True, help="Data that is being noised, instead of samples on the way down.")
@click.option("--frames", type=click.IntRange(min=2), default=40, show_default=True, help="Frames, at most.")
@click.option("--seconds", type=click.FloatRange(min=0.1), default=4.0, show_default=True, help="Until the last one.")
@click.option("--width", type=click.IntRange(min=60), default=360, show_default=True, help="In pixels, about.")
@way_options
@run_options
@pass_app
def animation(
    app: App,
    run: Path,
    out: Path,
    n: int | None,
    forward: bool,
    frames: int,
    seconds: float,
    width: int,
    force: bool,
    **options: Any,
) -> None:
    r"""Draw the way down as an animation, or with --forward data that is being noised; of any shape.

    \b
    Examples:
      fokker draw animation runs/roll --out roll.gif -n 2000
      fokker draw animation runs/digits --out noise.gif --forward -n 16
    """
    from fokker import draw as drawn

    check_out(out, ".gif", force=force)
    chosen, others = _split(options)
    drawing = open_drawing(app, run, **others)
    count = n or (1000 if drawing.run.spec.numel <= 8 else 16)
    way = open_way(drawing, **chosen)
    if forward:
        levels = way.sampler.levels(way.times).flip(0).tolist()
        kept = sorted({round(k * (len(levels) - 1) / (frames - 2)) for k in range(frames - 1)}) if frames > 2 else [-1]
        states = _up(drawing, count, [0.0, *(levels[k] for k in kept if levels[k] > 0)])
    else:
        states = list(way.walk(drawing, count, states=frames)[1].states)
    inverse = drawing.run.plan.chain.inverse
    drawn.animation([(t, inverse(x)) for t, x in states], out, n=frames, seconds=seconds, width=width)
    click.echo(out)


@draw.command(short_help="The loss at each noise level.")
@_picture()
@_count(1000, "Examples of the test split.")
@click.option("--levels", type=click.IntRange(min=1), default=16, show_default=True, help="Noise levels.")
@run_options
@pass_app
def levels(app: App, run: Path, out: Path, n: int, levels: int, force: bool, **options: Any) -> None:
    r"""Draw the loss at each noise level, on data that was not trained on, beside the least that there can be.

    \b
    Example:
      fokker draw levels runs/roll --out levels.png -n 4000

    The objective is that of the run, and so are its levels. Where the law of the data is known, its exact score gives
    the optimum, on the same examples with the same noise.
    """
    from fokker import draw as drawn
    from fokker.levels import losses_at, spread_levels

    check_out(out, ".png", force=force)
    drawing = open_drawing(app, run, **options)
    objective = drawing.run.plan.objective
    examples, labels = drawing.examples(n)
    cond = None if drawing.run.spec.classes is None else {k: v.to(drawing.device) for k, v in labels.items()}
    found = losses_at(
        objective,
        drawing.model,
        drawing.inputs(examples).to(drawing.device),
        spread_levels(objective, drawing.model, levels),
        seed=drawing.seed,
        law=drawing.law(),
        cond=cond,
    )
    drawn.level_losses(found, out)
    click.echo(out)


@draw.command(short_help="The loss over the steps of training.")
@_picture()
@click.option("--force", is_flag=True, help="Replace what is at --out.")
@pass_app
def loss(app: App, run: Path, out: Path, force: bool) -> None:
    r"""Draw the loss over the steps of the training, as it was logged.

    \b
    Example:
      fokker draw loss runs/roll --out loss.png
    """
    from fokker import draw as drawn
    from fokker.run.folder import open_run, read_lines

    check_out(out, ".png", force=force)
    drawn.loss_curve(read_lines(open_run(run, app.host).path / "metrics.jsonl"), out)
    click.echo(out)


@draw.command(short_help="Samples beside data, by their shape.")
@_picture()
@_count(None, "Samples, and examples; by their shape unless given.")
@way_options
@run_options
@pass_app
def samples(app: App, run: Path, out: Path, n: int | None, force: bool, **options: Any) -> None:
    r"""Draw samples beside the data, as what their shape says they are.

    \b
    Example:
      fokker draw samples runs/digits --out samples.png -n 64
    """
    from fokker import draw as drawn

    check_out(out, ".png", force=force)
    chosen, others = _split(options)
    drawing = open_drawing(app, run, **others)
    count = n or min(2000, drawn.shown(drawing.run.spec.event_shape), max(64, 2**14 // drawing.run.spec.numel))
    data, _ = drawing.examples(count)
    x, _ = open_way(drawing, **chosen).walk(drawing, count)
    drawn.samples(x, out, reference=data, source=drawing.run.plan.data)
    click.echo(out)


def _all_states(way: Way) -> int:
    """As many states as a trajectory can have: its start, its steps, and its end."""
    return int(len(way.sampler.levels(way.times)) + len(way.times) + 1)


def _up(drawing: Any, n: int, times: list[float]) -> Any:
    """Data that is noised at these times, in any order, from the least noise on, in the model's units."""
    from fokker.noising import noised

    x = drawing.inputs(drawing.examples(n)[0])
    return noised(drawing.run.plan.perturbation, x, sorted(times), drawing.noise(x, 1))
