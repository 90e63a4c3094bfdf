"""`fokker tune`: noise levels and step sizes from the data."""

import click

from fokker.cli.app import App, pass_app
from fokker.cli.options import ComponentType, json_option
from fokker.cli.output import print_json
from fokker.cli.planning import SourceType
from fokker.cli.progress import progress

__all__ = ["tune"]


@click.command()
@click.argument("source", type=SourceType(), required=False, metavar="[RECIPE | FILE.toml]")
@click.option("--data", type=ComponentType("data"), help="Where examples come from.")
@click.option("--steps-per-level", type=click.IntRange(min=1), help="Updates at each level that can be afforded.")
@click.option("--set", "sets", multiple=True, metavar="A.B=C", help="A single value, such as data.n=1000.")
@json_option
@pass_app
def tune(
    app: App, /, source: str | None, data: str | None, steps_per_level: int | None, sets: tuple[str, ...], as_json: bool
) -> None:
    r"""Print noise levels and step sizes that follow from the data, and what sampling with them would cost.

    \b
    Examples:
      fokker tune --data two-gaussians
      fokker tune --data 'array:path=data.npy,transforms=[standardise]' --steps-per-level 5 --json

    The data is taken as a model would see it, after its transforms. 'fokker train --tune' trains with these values.
    """
    from fokker.plan import resolve
    from fokker.tune.apply import measure
    from fokker.tune.tuning import tune as tuned

    plan = resolve(app.registry, source, {"data": data}, sets)
    with progress(app, "tuning", 1.0) as report:
        found = measure(plan.data, plan.train.seed, lambda done, total, words: report(done / total, words))
    result = tuned(found, steps_per_level=steps_per_level)
    largest = found.largest
    values = {
        "sigma_data": result.sigma_data,
        "sigma_max": result.sigma_max,
        "sigma_min": result.sigma_min,
        "levels": result.levels,
        "gamma": result.gamma,
        "steps_per_level": result.steps_per_level,
        "step_size": result.step_size,
        "note": result.note,
        "sigma_data_error": found.sigma_data_error,
        "sigma_max_error": largest.error,
        "sigma_max_exact": largest.exact,
        "examples": found.examples,
        "read": found.read,
        "dimensions": found.dim,
        "coverage": result.coverage,
        "variance_ratio": result.variance_ratio,
        "width_error": result.width_error,
        "nfe": result.nfe,
    }
    if as_json:
        print_json(values)
        return
    sure = "all pairs compared" if largest.exact else f"+- {largest.error:.2g} between draws of examples"
    lines = (
        (
            "sigma_data",
            f"{result.sigma_data:.6g}",
            f"+- {found.sigma_data_error:.2g}, deviation of the values",
        ),
        ("sigma_max", f"{result.sigma_max:.6g}", f"largest distance of two examples, {sure}"),
        ("sigma_min", f"{result.sigma_min:.6g}", "a hundredth of sigma_data"),
        ("levels", f"{result.levels}", f"neighbours {result.gamma:.4g} apart, C(gamma) = {result.coverage:.3f}"),
        ("gamma", f"{result.gamma:.6g}", f"in {found.dim} dimension{'s' if found.dim > 1 else ''}"),
        ("steps_per_level", f"{result.steps_per_level}", f"V = {result.variance_ratio:.3f}"),
        ("step_size", f"{result.step_size:.4g}", "in units of sigma_t^2"),
    )
    widest = max(len(value) for _, value, _ in lines)
    for name, value, words in lines:
        click.echo(f"{name:<15} = {value:<{widest}} # {words}")
    click.echo(
        f"\n# {found.read:,} of {found.examples:,} examples; a component of any width comes out with a standard\n"
        f"# deviation right to {result.width_error:.1%}\n"
        f"# smld with these: {result.nfe:,} evaluations of the network per sample"
    )
    if result.note:
        app.say(result.note)
