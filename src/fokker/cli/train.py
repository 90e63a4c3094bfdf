"""`fokker train`: from a plan to a run."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fokker.cli.app import App, pass_app
from fokker.cli.planning import plan_options, resolve_plan, split_options
from fokker.cli.progress import progress
from fokker.errors import RunError

if TYPE_CHECKING:
    from fokker.training.loop import Training

__all__ = ["resume_run", "train", "train_with_progress"]


@click.command()
@plan_options
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The run's folder.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out.")
@click.option("--force", is_flag=True, help="Replace the run in --out.")
@pass_app
def train(app: App, /, source: str | None, out: Path, resume: bool, force: bool, tune: bool, **given: Any) -> None:
    r"""Train a model: a recipe, a TOML file, or components named here, each over the one before.

    \b
    Examples:
      fokker train --data swiss-roll --perturbation vp --out runs/roll --steps 5000
      fokker train fashion-mnist-ddpm-small --set data.root=data/fashion-mnist --out runs/fashion
      fokker train --data two-gaussians --tune --out runs/two
      fokker train --out runs/roll --resume --steps 10000

    'fokker plan' with the same words shows what would be trained.
    """
    from fokker.training.device import is_main
    from fokker.training.loop import start

    specs, sets = split_options(given)
    if resume and force:
        raise click.UsageError("--resume goes on with a run, --force replaces it; give one of them.")
    main = is_main()
    app.quiet |= not main
    if resume:
        training = resume_run(app, out, source, specs, sets, tune=tune)
    else:
        training = start(app.host, resolve_plan(app, source, specs, sets, tune)[0], out, force=force)
    train_with_progress(app, training)
    if main:
        click.echo(out)


def resume_run(
    app: App, out: Path, source: str | None, specs: dict[str, str], sets: list[str], *, tune: bool = False
) -> "Training":
    """Open a run to go on with; whatever is named besides must be what it was made with.

    The run's plan has the tuned values, so that `tune` says something of what a recipe or file stands for alone.

    Raises:
        RunError: If something else is asked for than what the run's plan says.
    """
    from fokker.plan import read_tables
    from fokker.run.folder import open_run
    from fokker.training.loop import resume
    from fokker.training.settings import RESUMABLE

    run = open_run(out, app.host)
    tables = run.plan.table(app.registry)
    changes = {}
    if source is not None or specs or sets:
        asked, _ = resolve_plan(app, tables if source is None else source, specs, sets, tune and source is not None)
        set_here = {path.strip() for path, _, _ in (assignment.partition("=") for assignment in sets)}
        changes = {name: getattr(asked.train, name) for name in sorted(RESUMABLE) if f"train.{name}" in set_here}
        # settings that nobody names follow from others, as the warm-up does from the number of steps
        named = set_here | {f"train.{name}" for name in read_tables(app.registry, source).get("train", {})}
        compared = {name for name in tables["train"] if f"train.{name}" in named} - RESUMABLE
        _same_plan(_only(tables, compared), _only(asked.table(app.registry), compared), "")
    if changes.get("steps", run.plan.train.steps) != run.plan.train.steps and run.plan.train.decay != "constant":
        app.say(
            f"The learning rate follows a {run.plan.train.decay} schedule over all steps: from here on it is that of "
            f"{changes['steps']} steps instead of {run.plan.train.steps}, and jumps at the point of resuming."
        )
    return resume(app.host, out, changes)


def _only(tables: dict[str, Any], compared: set[str]) -> dict[str, Any]:
    """A plan with some of its settings of training."""
    return {**tables, "train": {name: value for name, value in tables["train"].items() if name in compared}}


def _same_plan(kept: Any, asked: Any, where: str) -> None:
    """Compare two plans; what was fitted to the data is in the run's alone."""
    if isinstance(asked, dict) and isinstance(kept, dict):
        fitted = where.startswith("data.transforms")
        for key in {**({} if fitted else kept), **asked}:
            _same_plan(kept.get(key), asked.get(key), f"{where}.{key}" if where else key)
    elif isinstance(asked, list) and isinstance(kept, list) and len(asked) == len(kept):
        for i, (a, b) in enumerate(zip(kept, asked, strict=True)):
            _same_plan(a, b, f"{where}[{i}]")
    elif kept != asked:
        there, wanted = ("none" if v is None else repr(v) for v in (kept, asked))
        raise RunError(
            f"A resumed run keeps its plan: {where} is {there} there, and {wanted} was asked for. "
            "Leave it out, or train a new run."
        )


def train_with_progress(app: App, training: "Training") -> None:
    """Train to the end, showing how it goes; on an interruption say how to go on."""
    from fokker.run.checkpoint import latest

    total = training.settings.steps
    if training.step >= total:
        app.say(f"{training.run.path} has all of its {total} steps; give a larger --steps to go on.")
        return
    for note in training.examples.notes:
        app.say(note)
    try:
        with progress(app, "training", total, training.step) as report:
            for state in training:
                pace = f"{state.examples_per_second:,.0f} examples/s"
                report(state.step, f"step {state.step}/{total}  loss {state.loss:.4g}  {pace}")
    except (KeyboardInterrupt, SystemExit):
        place = latest(training.run.checkpoints)
        saved = "there is no checkpoint yet" if place is None else f"the last checkpoint is {place.name}"
        app.say(
            f"Stopped at step {training.step}, {saved}. Go on with: fokker train --out {training.run.path} --resume"
        )
        raise
