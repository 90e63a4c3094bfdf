"""`fokker convert`: a run out of published weights."""

from pathlib import Path
from typing import Any

import click

from fokker.cli.app import App, pass_app
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
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The run's folder.")
@click.option("--shape", type=_ShapeType(), help="Shape of an example, where the data itself is not at hand.")
@click.option("--force", is_flag=True, help="Replace the run in --out.")
@pass_app
def convert(
    app: App, /, weights: Path, source: str | None, out: Path, shape: tuple[int, ...] | None, force: bool, **given: Any
) -> None:
    r"""Take in published weights (IN: .safetensors, or a PyTorch file) without running code from them.

    \b
    Examples:
      fokker convert checkpoint_300000.pth --out runs/cifar10 --data "images:root=cifar10,transforms=[]" --shape 3,32,32
      fokker convert ncsn.safetensors fashion-mnist-ncsnv2 --out runs/ncsn --set network.recentre=false

    What the tensors do not say is taken from a recipe, a TOML file, or the options, as in 'fokker train'.
    """
    from fokker.run.convert import convert as make_run

    specs, sets = split_options(given)
    run = make_run(app.host, weights, out, source=source, options=specs, sets=sets, shape=shape, force=force)
    app.say(f"{weights} is the network {run.plan.network}; sample it with: fokker sample {out} --out samples.png")
    click.echo(out)
