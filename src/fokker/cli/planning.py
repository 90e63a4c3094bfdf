"""The options that `train` and `plan` share: a recipe or file, a component of each kind, and single values."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fokker.cli.app import App
from fokker.cli.options import ComponentType
from fokker.cli.progress import progress

if TYPE_CHECKING:
    from fokker.plan import Plan
    from fokker.tune.apply import Tuned

__all__ = ["SourceType", "plan_options", "resolve_plan", "split_options"]

F = TypeVar("F", bound=Callable[..., Any])

_KINDS = {
    "data": "Where examples come from.",
    "perturbation": "How they turn into noise.",
    "network": "What learns.",
    "label": "What the network is told of the time.",
    "parameterization": "How the network is read.",
    "objective": "What is minimised.",
}
_SETTINGS: dict[str, tuple[Any, str]] = {
    "steps": (int, "Number of optimizer steps."),
    "batch_size": (int, "Examples per step."),
    "lr": (float, "Largest learning rate."),
    "seed": (int, "Decides weights, order, times and noise."),
    "device": (str, "auto, cpu, cuda, cuda:1, mps."),
    "precision": (click.Choice(["fp32", "bf16", "fp16"]), "Of the network's arithmetic."),
    "compile": (bool, "Compile the network."),
}


class SourceType(click.types.StringParamType):
    """A recipe's name or a TOML file; the shell completes both."""

    name = "recipe"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """The recipes that begin like this, and files."""
        files = click.Path().shell_complete(ctx, param, incomplete)
        return [*ComponentType("recipe").shell_complete(ctx, param, incomplete), *files]


def plan_options(command: F) -> F:
    """Add the argument `source`, an option per kind and setting, `--set` and `--tune`."""
    command = click.option(
        "--tune", is_flag=True, help="Take from the data what nobody gives: noise levels, step sizes, sigma_data."
    )(command)
    command = click.option(
        "--set", "sets", multiple=True, metavar="A.B=C", help="A single value of the plan, such as train.clip=1."
    )(command)
    for name, (kind, text) in reversed(_SETTINGS.items()):
        flag = f"--{name.replace('_', '-')}"
        if kind is bool:
            command = click.option(flag, name, is_flag=True, default=None, help=text)(command)
        else:
            command = click.option(flag, name, type=kind, help=text)(command)
    for kind, text in reversed(_KINDS.items()):
        command = click.option(f"--{kind}", type=ComponentType(kind), help=text)(command)
    return click.argument("source", type=SourceType(), required=False, metavar="[RECIPE | FILE.toml]")(command)


def split_options(given: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """What was given of the options: specs by kind, and settings as assignments for `--set`."""
    specs = {k: given[k] for k in _KINDS if given.get(k) is not None}
    settings = [
        f"train.{k}={str(given[k]).lower() if isinstance(given[k], bool) else given[k]}"
        for k in _SETTINGS
        if given.get(k) is not None
    ]
    return specs, [*settings, *given.get("sets", ())]


def resolve_plan(
    app: App, source: str | Path | Mapping[str, Any] | None, specs: Mapping[str, str], sets: Sequence[str], tune: bool
) -> "tuple[Plan, Tuned | None]":
    """Put a plan together, from the data where `tune` is asked for; what that changes is said.

    Raises:
        ConfigError: As for `fokker.plan.resolve`.
        DataError: If the data is needed and cannot be had.
    """
    from fokker.plan import resolve

    if not tune:
        return resolve(app.registry, source, specs, sets), None
    from fokker.tune.apply import resolve_tuned

    with progress(app, "tuning", 1.0) as report:
        plan, tuned = resolve_tuned(
            app.registry, source, specs, sets, tell=lambda done, total, words: report(done / total, words)
        )
    for change in tuned.changes:
        app.say(f"Tuned: {change.path} = {change.value if isinstance(change.value, str) else f'{change.value:.6g}'}")
    if not tuned.changes:
        app.say("Nothing is tuned: every value that follows from the data is given.")
    if tuned.note:
        app.say(tuned.note)
    return plan, tuned
