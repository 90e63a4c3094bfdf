"""The options that `train` and `plan` share: a recipe or file, a component of each kind, and single values."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from fokker.cli.options import ComponentType

__all__ = ["plan_options", "split_options"]

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


class _SourceType(click.types.StringParamType):
    """A recipe's name or a TOML file; the shell completes both."""

    name = "recipe"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        files = click.Path().shell_complete(ctx, param, incomplete)
        return [*ComponentType("recipe").shell_complete(ctx, param, incomplete), *files]


def plan_options(command: F) -> F:
    """Add the argument `source`, an option per kind and setting, and `--set`."""
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
    return click.argument("source", type=_SourceType(), required=False, metavar="[RECIPE | FILE.toml]")(command)


def split_options(given: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """What was given of the options: specs by kind, and settings as assignments for `--set`."""
    specs = {k: given[k] for k in _KINDS if given.get(k) is not None}
    settings = [
        f"train.{k}={str(given[k]).lower() if isinstance(given[k], bool) else given[k]}"
        for k in _SETTINGS
        if given.get(k) is not None
    ]
    return specs, [*settings, *given.get("sets", ())]
