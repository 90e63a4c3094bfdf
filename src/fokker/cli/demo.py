"""`fokker demo`: fokker at work in two minutes, on data that it brings along."""

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fokker.cli.app import App, pass_app
from fokker.cli.progress import progress
from fokker.cli.train import train_with_progress
from fokker.errors import RunError

if TYPE_CHECKING:
    from fokker.report import Section

__all__ = ["demo"]

_SAMPLERS = (("ddim", "karras", 50), ("ddpm", "karras", 100), ("pc", "karras", 50), ("ode", "karras", 1))
"""Samplers that the demo compares: name, grid, steps."""


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("demo"), show_default=True, help="A new folder.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the trainings and the samples.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps.")
@click.option("--force", is_flag=True, help="Replace the runs and the report in --out.")
@pass_app
def demo(app: App, /, out: Path, seed: int, device: str, force: bool) -> None:
    r"""Train on a swiss roll and on small digits, sample both with several samplers, and write report.html.

    \b
    Examples:
      fokker demo
      fokker demo --out elsewhere --seed 1
    """
    from fokker.plan import resolve
    from fokker.report import write_report
    from fokker.run.page import sample_sections, training_sections
    from fokker.training.device import pick_device
    from fokker.training.loop import start

    page = out / "report.html"
    for path in (page, out / "roll" / "run.toml", out / "digits" / "run.toml"):
        if path.exists() and not force:
            raise RunError(f"{path} is there already: give --out a new folder, or --force to replace it.")
    where = pick_device(device)
    began = time.perf_counter()
    sections: list[Section] = []
    sets = [f"train.seed={seed}", f"train.device={device}"]
    for name, recipe, n in (("roll", "demo-roll", 2000), ("digits", "demo", 64)):
        app.say(f"Training {name} (recipe {recipe})")
        training = start(app.host, resolve(app.registry, recipe, sets=sets), out / name, force=force)
        train_with_progress(app, training)
        prefix = f"{name.capitalize()}: "
        sections += training_sections(training.run, prefix)
        with progress(app, "sampling", 1.0) as report:
            sections += sample_sections(
                app.registry,
                training.run,
                _SAMPLERS,
                n=n,
                seed=seed,
                prefix=prefix,
                device=where,
                on_step=partial(report, words=""),
            )
    seconds = time.perf_counter() - began
    write_report(
        page,
        title="fokker demo",
        plan={"seed": seed, "took": f"{seconds:.0f} s", "runs": ", ".join(str(out / k) for k in ("roll", "digits"))},
        sections=sections,
    )
    click.echo(page)
