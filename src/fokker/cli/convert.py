"""`fokker convert`: a run out of what another program stored, and the other way round."""

from pathlib import Path
from typing import Any

import click

from fokker.cli.app import App, pass_app
from fokker.cli.options import ComponentType
from fokker.cli.planning import plan_options, split_options

__all__ = ["convert"]


class _ShapeType(click.types.StringParamType):
    """A shape such as `3,32,32`."""

    name = "C,H,W"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, tuple):
            return value
        try:
            shape = tuple(int(n) for n in value.split(","))
        except ValueError:
            shape = ()
        if not shape or min(shape) < 1:
            self.fail(f"{value!r} is no shape; write whole numbers above 0, such as 3,32,32.", param, ctx)
        return shape


@click.command()
@click.argument("weights", type=click.Path(path_type=Path), metavar="IN")
@plan_options
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The run's folder, or what is written.")
@click.option("--shape", type=_ShapeType(), help="Shape of an example, where the data itself is not at hand.")
@click.option(
    "--format", type=ComponentType("format"), help="What IN is in, unless it shows; what a run is written in."
)
@click.option("--checkpoint", help="Of a run: a step, or a checkpoint's name; the last one unless given.")
@click.option("--raw-weights", is_flag=True, help="Of a run: the weights themselves, not their moving average.")
@click.option("--force", is_flag=True, help="Replace what is at --out.")
@pass_app
def convert(
    app: App,
    /,
    weights: Path,
    source: str | None,
    out: Path,
    shape: tuple[int, ...] | None,
    format: str | None,
    checkpoint: str | None,
    raw_weights: bool,
    force: bool,
    **given: Any,
) -> None:
    r"""Take in what another program stored (IN) as a run, or write a run (IN) as another program stores it.

    \b
    Examples:
      fokker convert checkpoint_300000.pth --out runs/cifar10 --data "images:root=cifar10,transforms=[]" --shape 3,32,32
      fokker convert ncsn.safetensors fashion-mnist-ncsnv2 --out runs/ncsn --set network.recentre=false
      fokker convert runs/cifar10 --out cifar10.safetensors --format weights

    No code of IN is run. What it does not say is taken from a recipe, a TOML file, or the options, as in 'fokker
    train'. 'fokker list format' shows what can be taken in and written.
    """
    specs, sets = split_options(given)
    if (weights / "run.toml").is_file():
        from fokker.run.convert import write
        from fokker.run.folder import open_run

        asked = [*specs, *sets, *(["--shape"] if shape else []), *([source] if source else [])]
        if asked:
            raise click.UsageError(f"{weights} is a run, whose plan is what it is; leave out {', '.join(asked)}.")
        if format is None:
            names = ", ".join(app.registry.names("format"))
            raise click.UsageError(f"{weights} is a run; say what it is to be written in with --format: {names}.")
        write(
            app.host,
            open_run(weights, app.host),
            out,
            format,
            checkpoint=checkpoint,
            raw_weights=raw_weights,
            force=force,
        )
        app.say(f"{weights} is written to {out} in the format {format}.")
    else:
        from fokker import config
        from fokker.run.convert import convert as make_run

        if checkpoint is not None or raw_weights:
            raise click.UsageError(f"--checkpoint and --raw-weights are for runs, and {weights} is none.")
        run = make_run(
            app.host, weights, out, source=source, options=specs, sets=sets, shape=shape, force=force, format=format
        )
        name = config.to_table(app.registry, run.plan.network, "network")["name"]
        app.say(f"{weights} is the network {name}; sample it with: fokker sample {out} --out samples.png")
    click.echo(out)
