"""`fokker tune`: noise levels and step sizes from the data, or the best grid of a trained model."""

from pathlib import Path

import click

from fokker.cli.app import App, pass_app
from fokker.cli.budgets import Budgets
from fokker.cli.options import ComponentType, json_option
from fokker.cli.output import print_json
from fokker.cli.planning import SourceType
from fokker.cli.progress import progress
from fokker.cli.tune_grid import tune_grid
from fokker.errors import ConfigError

__all__ = ["tune"]


@click.command()
@click.argument("source", type=SourceType(), required=False, metavar="[RECIPE | FILE.toml | RUN]")
@click.option("--data", type=ComponentType("data"), help="Where examples come from.")
@click.option("--steps-per-level", type=click.IntRange(min=1), help="Updates at each level that can be afforded.")
@click.option("--set", "sets", multiple=True, metavar="A.B=C", help="A single value, such as data.n=1000.")
@click.option("--grid", is_flag=True, help="Search the best grid of the trained model in RUN, and store it there.")
@click.option("--nfe", "budgets", type=Budgets(), help="With --grid: evaluations per sample; 5,10,20 unless given.")
@click.option("--sampler", type=ComponentType("sampler"), help="With --grid: for which sampler; auto unless given.")
@click.option("-n", "latents", type=click.IntRange(min=2), help="With --grid: latents; 128 unless given.")
@click.option("--seed", type=int, help="With --grid: seed of the latents; 0 unless given.")
@click.option("--checkpoint", help="With --grid: a step, or a checkpoint's name; the last one unless given.")
@click.option("--raw-weights", is_flag=True, help="With --grid: the weights themselves, not their moving average.")
@click.option("--device", help="With --grid: auto, cpu, cuda, cuda:1, mps; auto unless given.")
@json_option
@pass_app
def tune(
    app: App,
    /,
    source: str | None,
    data: str | None,
    steps_per_level: int | None,
    sets: tuple[str, ...],
    grid: bool,
    budgets: tuple[int, ...] | None,
    sampler: str | None,
    latents: int | None,
    seed: int | None,
    checkpoint: str | None,
    raw_weights: bool,
    device: str | None,
    as_json: bool,
) -> None:
    r"""Print noise levels and step sizes that follow from the data, or search the best grid of a trained model.

    \b
    Examples:
      fokker tune --data two-gaussians
      fokker tune --data 'array:path=data.npy,transforms=[standardise]' --steps-per-level 5 --json
      fokker tune runs/digits --grid --nfe 5,10,20

    The data is taken as a model would see it, after its transforms. 'fokker train --tune' trains with these values.

    With --grid the levels are searched at which a sampler ends nearest to the model's probability flow, for each
    budget, and stored in RUN; 'fokker sample RUN --grid optimized --nfe 10' goes by them.
    """
    if grid:
        if source is None or data is not None or steps_per_level is not None or sets:
            raise click.UsageError(
                "--grid goes with RUN, a trained model, not with --data, --set or --steps-per-level."
            )
        tune_grid(
            app,
            Path(source),
            budgets=budgets or (5, 10, 20),
            sampler=sampler,
            latents=latents or 128,
            seed=seed or 0,
            checkpoint=checkpoint,
            raw_weights=raw_weights,
            device=device or "auto",
            as_json=as_json,
        )
        return
    asked = (budgets, sampler, latents, seed, checkpoint, raw_weights or None, device)
    if any(value is not None for value in asked):
        raise click.UsageError(
            "--nfe, --sampler, -n, --seed, --checkpoint, --raw-weights and --device belong to --grid; add it."
        )
    if source is not None and (Path(source) / "run.toml").is_file():
        raise ConfigError(
            f"{source} is a trained run, whose noise levels are settled: give --grid for the best grid of its model, "
            f"or {Path(source) / 'run.toml'} for the levels that its data asks for."
        )

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
