"""What the commands of the probability flow share: the run's model, its tolerance, and the examples it is shown."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from fokker.cli.app import App
from fokker.cli.options import ComponentType, LabelType, between_option
from fokker.errors import ConfigError, FokkerError, RunError

if TYPE_CHECKING:
    import torch

    from fokker.cli.progress import Report
    from fokker.data import DataSource, Examples
    from fokker.model import NetworkModel
    from fokker.run.folder import Run

__all__ = [
    "Flow",
    "data_options",
    "flow_options",
    "named_source",
    "naming",
    "open_data",
    "open_flow",
    "refuse_existing",
    "share_of",
]

F = TypeVar("F", bound=Callable[..., Any])

_CHUNK_NUMEL = 1 << 16


@dataclass(frozen=True, eq=False)
class Flow:
    """A run's model, ready to be followed.

    Args:
        run: The run.
        model: Its model.
        device: Where it is.
        batch: Examples at a time.
        label: Class of all examples, or None.
        rtol: Relative tolerance of a step.
        atol: Absolute tolerance of a step.
        about: The choice of weights, tolerance and label in words, for those who write files.
    """

    run: "Run"
    model: "NetworkModel"
    device: "torch.device"
    batch: int
    label: int | None
    rtol: float
    atol: float
    about: dict[str, str | int | float | bool | None]


def flow_options(command: F) -> F:
    """Add the options of `open_flow`, and `--force`."""
    for option in reversed(
        (
            click.option("--rtol", type=float, default=1e-5, show_default=True, help="Relative tolerance of a step."),
            click.option("--atol", type=float, default=1e-5, show_default=True, help="Absolute tolerance of a step."),
            click.option("--label", type=LabelType(), help="Class of all, or none; their own unless given."),
            between_option,
            click.option("--batch-size", type=click.IntRange(min=1), help="How many at a time; changes no result."),
            click.option("--checkpoint", help="A step, or a checkpoint's name; the last one unless given."),
            click.option("--raw-weights", is_flag=True, help="Use the weights themselves, not their moving average."),
            click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps."),
            click.option("--force", is_flag=True, help="Replace what is at --out."),
        )
    ):
        command = option(command)
    return command


def data_options(command: F) -> F:
    """Add the options of `open_data`, and `--seed`."""
    for option in reversed(
        (
            click.option(
                "--data", type=ComponentType("data"), help="Where examples come from; the run's unless given."
            ),
            click.option("--split", type=click.Choice(["train", "test"]), help="Which of them; test unless given."),
            click.option(
                "--seed", type=int, default=0, show_default=True, help="With an index, decides what is drawn."
            ),
        )
    ):
        command = option(command)
    return command


def open_flow(
    app: App,
    run: Path,
    *,
    rtol: float,
    atol: float,
    label: int | Literal["none"] | None,
    between: Literal["refuse", "round", "interpolate"] | None,
    batch_size: int | None,
    checkpoint: str | None,
    raw_weights: bool,
    device: str,
) -> Flow:
    """Open a run for its probability flow.

    Raises:
        RunError: If there is no such run or checkpoint.
        ConfigError: If the network cannot be asked between the levels of its table, or a value has no meaning.
    """
    import torch

    from fokker.integrate import check_tolerances
    from fokker.run.folder import open_run
    from fokker.training.device import pick_device

    opened = open_run(run, app.host).told_between(between)
    kind = opened.label(label)
    check_tolerances(rtol, atol, torch.float32)
    p = opened.plan.perturbation
    if p.knots is not None:
        try:
            opened.plan.label(p, (p.knots[:-1] + p.knots[1:]) / 2)
        except ConfigError as error:
            raise ConfigError(
                "The probability flow passes all times, and this network is told the level of a table, which exists on "
                "the levels only: give --between interpolate, or round where it takes whole levels alone, or train it "
                "with another label, such as 'log-snr'."
            ) from error
    where = pick_device(device)
    return Flow(
        run=opened,
        model=opened.model(checkpoint=checkpoint, raw_weights=raw_weights, device=where),
        device=where,
        batch=batch_size or max(1, min(4096, _CHUNK_NUMEL // opened.spec.numel)),
        label=kind,
        rtol=rtol,
        atol=atol,
        about={
            "rtol": rtol,
            "atol": atol,
            "label": label,
            "between": between,
            "checkpoint": opened.checkpoint(checkpoint).name,
            "raw_weights": raw_weights,
        },
    )


def open_data(app: App, flow: Flow, data: str | None, split: str | None) -> tuple["Examples", str]:
    """Open the examples that a command is about.

    Args:
        app: The plugins.
        flow: The run, whose own data it is unless another is named.
        data: A spec.
        split: The split; `test` unless given.

    Returns:
        The examples, and what they are called: a spec and the split.

    Raises:
        ConfigError: If the spec names transforms: the run's own are what the model was trained behind.
    """
    source, named = named_source(app, flow.run, data)
    which = split or "test"
    return source.open(which), f"{named}, {which}"  # type: ignore[arg-type]


def named_source(app: App, run: "Run", data: str | None) -> tuple["DataSource", str]:
    """The source that a command is about, and its spec without the transforms.

    Args:
        app: The plugins.
        run: The run, whose own data it is unless another is named.
        data: A spec.

    Raises:
        ConfigError: If the spec names transforms: the run's own are what the model was trained behind.
    """
    from fokker import config
    from fokker.spec import as_spec

    if data is None:
        source = run.plan.data
    else:
        if "transforms" in as_spec(data, "data").table():
            raise ConfigError(
                "--data takes no transforms here: those that are stored with the run bring examples into its units."
            )
        source = config.build(app.registry, "data", data)
    table = config.to_table(app.registry, source, "data")
    table.pop("transforms", None)
    return source, str(as_spec(table))


@contextlib.contextmanager
def naming(first: int, what: str) -> Iterator[None]:
    """Name an example whose tolerance cannot be met by its own position instead of its place in the batch.

    Args:
        first: Position of the first one of the batch.
        what: What it is, such as `Example`.
    """
    from fokker.integrate import IntegrationError

    try:
        yield
    except IntegrationError as error:
        raise FokkerError(f"{what} {first + error.row} {error.what}") from error


def share_of(report: "Report", done: int, size: int, total: int) -> Callable[[float], None]:
    """What tells of a batch of `size` that is on its way, after `done` of `total`."""
    return lambda share: report(done + share * size, f"{done + int(share * size)}/{total}")


def refuse_existing(out: Path, *, force: bool) -> None:
    """Refuse to replace a file unless told to.

    Raises:
        RunError: If it is there.
    """
    if out.exists() and not force:
        raise RunError(f"{out} is there already: choose another --out, or give --force to replace it.")
