"""Runs out of what other programs stored, and the other way round.

What a file or folder means, a format says (`fokker.format.Format`); here a run is made of it, or it of a run. No code
of a file is run.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from fokker.config import build
from fokker.errors import ConfigError, DataError, RunError
from fokker.format import Format
from fokker.network import DataSpec
from fokker.partial import cannot_write
from fokker.plan import fit, read_tables, resolve, spec_of
from fokker.run import checkpoint as checkpoints
from fokker.run.checkpoint import Checkpoint
from fokker.run.folder import Run, create, refuse_taken
from fokker.run.weights import read

if TYPE_CHECKING:
    from fokker.plugins.host import Host

__all__ = ["convert", "read", "write"]

_NAMED = 4
"""Tensors that a message names at most."""


def convert(
    host: "Host",
    file: Path,
    out: Path,
    *,
    source: str | None = None,
    options: Mapping[str, str | None] | None = None,
    sets: Sequence[str] = (),
    shape: tuple[int, ...] | None = None,
    force: bool = False,
    format: str | None = None,
) -> Run:
    """Make a run with published weights as its checkpoint of step 0, from which a training can go on.

    The plan has four layers, each over the one before: what the published sampler took, a recipe or TOML file, what is
    stored, and options and single values.

    Args:
        host: The plugins, whose formats are asked.
        file: What another program stored, a file or a folder.
        out: The run's folder.
        source: A recipe's name or a TOML file.
        options: Specs by kind.
        sets: Single values such as `network.recentre=false`.
        shape: Shape of one example; that of the plan's data unless given, which need not be there then.
        force: Replace the run that is there.
        format: The format's spec; the one that recognises it unless given.

    Raises:
        ConfigError: If no format or network knows it, or if the plan cannot be put together.
        RunError: If the file cannot be read, or does not fit the network, tensors named.
    """
    refuse_taken(out, force=force)
    found = _format(host, file, format).read(file, host.registry)
    train = {**read_tables(host.registry, source).get("train", {}), **found.facts.get("train", {})}
    tables = {**found.defaults, **read_tables(host.registry, source), **found.facts, "train": train}
    plan = resolve(host.registry, tables, options, sets)
    count = 0
    examples = None
    if shape is None:
        try:
            examples = plan.data.open("train")
        except DataError:
            if found.shape is None:
                raise
            shape = found.shape  # what is stored knows it as well, so that the data may come later
    if examples is not None:
        plan, spec, count = fit(plan, examples), spec_of(plan, examples), len(examples)
    else:
        assert shape is not None
        knots = plan.perturbation.knots
        classes = found.classes if plan.train.labels else None
        condition = {} if found.condition is None else found.condition(shape)
        spec = DataSpec(shape, classes, condition=condition, levels=None if knots is None else len(knots))
    backbone = plan.model(spec).backbone
    _put(backbone, found.weights, file)
    tensors = {"weights": backbone.state_dict(), "optimizer": {}}
    state: dict[str, Any] = {"step": 0, "examples": count, "sums": {}}
    if plan.train.ema:
        average = plan.model(spec).backbone
        # a program without a moving average is converted to a run whose average is the weights so far
        _put(average, {**found.weights, **(found.ema or {})}, file)
        tensors["ema"] = average.state_dict()
        state["ema_updates"] = 1
    run = create(out, host, plan, spec, force=force)
    checkpoints.save(run.checkpoints, 0, Checkpoint(tensors, state), keep=plan.train.keep)
    return run


def write(
    host: "Host",
    run: Run,
    out: Path,
    format: str,
    *,
    checkpoint: str | None = None,
    raw_weights: bool = False,
    force: bool = False,
) -> None:
    """Store the trained model of a run as another program does.

    It is written beside its place and then moved there, whole or not at all.

    Args:
        host: The plugins, which have the formats.
        run: The run.
        out: The file or folder.
        format: The format's spec.
        checkpoint: A step, or a checkpoint's name; the last one unless given.
        raw_weights: Take the weights themselves, not their moving average.
        force: Replace what is there, if it is in this format.

    Raises:
        ConfigError: If the format cannot be written, or has no place for a part of the plan.
        RunError: If there is something already, or if it cannot be written.
    """
    made: Format = build(host, "format", format)
    if not out.name.endswith(made.suffix):
        raise ConfigError(f"What is written in the format {format} ends in {made.suffix}, and --out is {out}.")
    if out.exists() or out.is_symlink():
        if not force:
            raise RunError(f"{out} is there already: choose another --out, or give --force to replace it.")
        if out.is_dir() and any(out.iterdir()) and not made.recognises(out):
            raise RunError(f"{out} is a folder of something else, which is not replaced; choose another --out.")
    group = "weights" if raw_weights or not run.plan.train.ema else "ema"
    tensors = checkpoints.load(run.checkpoint(checkpoint), group).tensors[group]
    beside = out.with_name(f".partial-{os.getpid()}-{out.name}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        made.write(beside, host.registry, run.plan, run.spec, tensors)
        if out.is_dir() and not out.is_symlink():
            shutil.rmtree(out)
        os.replace(beside, out)
    except OSError as error:
        raise cannot_write(out, error) from error
    finally:
        if beside.is_dir():
            shutil.rmtree(beside)
        beside.unlink(missing_ok=True)


def _format(host: "Host", place: Path, spec: str | None) -> Format:
    """The format that was asked for, or the one that recognises what is there.

    Raises:
        ConfigError: If there is none, or more than one.
    """
    if spec is not None:
        named: Format = build(host, "format", spec)
        return named
    found = {entry.written: entry.load()() for entry in host.registry.entries("format")}
    fitting = [name for name, each in found.items() if each.recognises(place)]
    if len(fitting) == 1:
        known: Format = found[fitting[0]]
        return known
    if fitting:
        raise ConfigError(f"{place} could be in the formats {' and '.join(fitting)}; say which with --format.")
    raise ConfigError(f"{place} is in no format that can be taken in; there are {', '.join(found)}.")


def _put(module: nn.Module, tensors: Mapping[str, Tensor], file: Path) -> None:
    """Load tensors into a module; what is missing, left over or of another shape is refused by name."""
    wanted = module.state_dict()
    missing = [name for name in wanted if name not in tensors]
    left = [name for name in tensors if name not in wanted]
    if missing or left:
        told = [f"{what} {_few(names)}" for what, names in (("lacks", missing), ("has besides", left)) if names]
        raise RunError(f"{file} does not fit the network: it {' and '.join(told)}. Check network and perturbation.")
    for name, tensor in tensors.items():
        if tensor.shape != wanted[name].shape:
            raise RunError(
                f"{file} does not fit the network: {name} is {tuple(tensor.shape)} there and "
                f"{tuple(wanted[name].shape)} in the plan. Check network, perturbation and the data's channels."
            )
    module.load_state_dict(dict(tensors))


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
