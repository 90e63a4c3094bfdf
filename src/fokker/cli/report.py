"""`fokker report`: one page that shows a run."""

from pathlib import Path

import click

from fokker.cli.app import App, pass_app
from fokker.cli.options import ComponentType
from fokker.cli.progress import progress
from fokker.errors import RunError

__all__ = ["report"]


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="The HTML file; report.html in RUN unless given.")
@click.option("-n", "n", type=click.IntRange(min=1), help="Samples of each sampler; by their shape unless given.")
@click.option("--sampler", "samplers", type=ComponentType("sampler"), multiple=True, help="Also these; repeatable.")
@click.option("--steps", type=click.IntRange(min=1), help="Steps of each sampler; the plan's unless given.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the samples.")
@click.option("--checkpoint", help="A step, or a checkpoint's name; the last one unless given.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps.")
@click.option("--force", is_flag=True, help="Replace the file.")
@pass_app
def report(
    app: App,
    /,
    run: Path,
    out: Path | None,
    n: int | None,
    samplers: tuple[str, ...],
    steps: int | None,
    seed: int,
    checkpoint: str | None,
    device: str,
    force: bool,
) -> None:
    r"""Write one self-contained page that shows RUN: plan, loss, previews, noise levels, samples, a trajectory.

    \b
    Examples:
      fokker report runs/roll
      fokker report runs/fashion --out fashion.html --sampler ddim --steps 50
    """
    from fokker.plan import KINDS
    from fokker.report import write_report
    from fokker.run.folder import open_run
    from fokker.run.page import level_sections, sample_sections, training_sections
    from fokker.spec import as_spec, format
    from fokker.training.device import pick_device

    opened = open_run(run, app.host)
    page = out or run / "report.html"
    if page.exists() and not force:
        raise RunError(f"{page} is there already: choose another --out, or give --force to replace it.")
    table = opened.plan.table(app.registry)
    own = table["sample"]
    count = opened.plan.sample.steps if steps is None else steps
    grid = format(as_spec(own["grid"]))
    ways = [(spec, grid, count) for spec in (format(as_spec(own["sampler"])), *samplers)]
    for spec, rule, _ in ways:
        app.registry.get("sampler", as_spec(spec).name)  # an unknown name costs no sampling
        app.registry.get("grid", as_spec(rule).name)
    numel = opened.spec.numel
    with progress(app, "sampling", 1.0) as tell:
        where = pick_device(device)
        sections = training_sections(opened) + level_sections(opened, seed=seed, checkpoint=checkpoint, device=where)
        sections += sample_sections(
            app.registry,
            opened,
            ways,
            n=n or max(16, min(2000, 2**14 // numel)),
            seed=seed,
            checkpoint=checkpoint,
            device=where,
            on_step=lambda share: tell(share, ""),
        )
    plan = {k: table[k] for k in (*KINDS, "train", "sample")}
    write_report(page, title=f"fokker run {run.resolve().name}", plan=plan, sections=sections)
    click.echo(page)
