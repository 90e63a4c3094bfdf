"""`fokker plan`: what a training would be, and what is wrong with it."""

import dataclasses
from math import isfinite
from typing import Any

import click

from fokker.cli.app import App, pass_app
from fokker.cli.options import json_option
from fokker.cli.output import print_json
from fokker.cli.planning import plan_options, resolve_plan, split_options

__all__ = ["plan"]


@click.command()
@plan_options
@json_option
@pass_app
@click.pass_context
def plan(ctx: click.Context, app: App, /, source: str | None, as_json: bool, tune: bool, **given: Any) -> None:
    r"""Print the resolved plan of a training and what is wrong with it; do nothing.

    \b
    Examples:
      fokker plan fashion-mnist-ddpm-small
      fokker plan --data swiss-roll --perturbation ve:sigma_max=20 --set train.steps=500
      fokker plan --data two-gaussians --tune

    The exit code is 2 if there are problems.
    """
    import tomli_w

    from fokker.plan import check

    specs, sets = split_options(given)
    resolved, tuned = resolve_plan(app, source, specs, sets, tune)
    facts, problems = check(resolved)
    table = resolved.table(app.registry)
    if as_json:
        print_json(
            {
                "plan": table,
                "facts": _finite(dataclasses.asdict(facts)) if facts else None,
                "problems": [dataclasses.asdict(p) for p in problems],
                **({} if tuned is None else {"tuned": {change.path: change.value for change in tuned.changes}}),
            }
        )
    else:
        click.echo(tomli_w.dumps(table).rstrip("\n"))
        if facts is not None:
            shape = " x ".join(map(str, facts.event_shape))
            click.echo(
                f"\n# {facts.examples:,} examples of shape {shape}"
                + (f", {facts.classes} classes" if facts.classes else "")
                + f"; {facts.parameters:,} parameters\n"
                f"# log-SNR at t = 1: {facts.terminal_log_snr:.3f}; KL(p_1 || prior): {facts.prior_kl:.3g} nats"
                + (
                    f"\n# the grid begins at t = {facts.first_time:.4g}, "
                    f"KL(p_t || prior there): {facts.start_kl:.3g} nats"
                    if facts.first_time < 1 - 1e-9
                    else ""
                )
                + "".join(f"\n# {note}" for note in facts.notes)
            )
        for problem in problems:
            click.echo(f"Problem in {problem.where}: {problem.message}", err=True)
    ctx.exit(2 if problems else 0)


def _finite(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts with null for what is infinite, such as a log-SNR where alpha = 0: JSON has no word for it."""
    return {k: None if isinstance(v, float) and not isfinite(v) else v for k, v in facts.items()}
