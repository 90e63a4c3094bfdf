"""Runs out of published weights: a file that somebody else's program wrote becomes a run that fokker samples.

What a file means, the networks say (`fokker.network.Network.published`), so that a plugin's network brings its own
published weights along. No code of the file is run.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from fokker.errors import ConfigError, FokkerError, PluginError, RunError
from fokker.network import DataSpec, Published
from fokker.plan import fit, read_tables, resolve, spec_of
from fokker.plugins.registry import one_line
from fokker.run import checkpoint as checkpoints
from fokker.run.checkpoint import Checkpoint
from fokker.run.folder import Run, create, refuse_taken

if TYPE_CHECKING:
    from fokker.plugins.host import Host
    from fokker.plugins.registry import Registry

__all__ = ["convert", "read"]

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
) -> Run:
    """Make a run with published weights as its checkpoint of step 0, from which a training can go on.

    The plan has four layers, each over the one before: what the published sampler took, a recipe or TOML file, what the
    tensors of the file say, and options and single values.

    Args:
        host: The plugins, whose networks are asked.
        file: The published weights.
        out: The run's folder.
        source: A recipe's name or a TOML file.
        options: Specs by kind.
        sets: Single values such as `network.recentre=false`.
        shape: Shape of one example; that of the plan's data unless given, which need not be there then.
        force: Replace the run that is there.

    Raises:
        ConfigError: If no network knows the file, or if the plan cannot be put together.
        RunError: If the file cannot be read, or does not fit the network, tensors named.
    """
    refuse_taken(out, force=force)
    found = _recognised(host.registry, read(file), file)
    train = {**read_tables(host.registry, source).get("train", {}), **found.facts.get("train", {})}
    tables = {**found.defaults, **read_tables(host.registry, source), **found.facts, "train": train}
    plan = resolve(host.registry, tables, options, sets)
    count = 0
    if shape is None:
        examples = plan.data.open("train")
        plan, spec, count = fit(plan, examples), spec_of(plan, examples), len(examples)
    else:
        knots = plan.perturbation.knots
        condition = {} if found.condition is None else found.condition(shape)
        spec = DataSpec(shape, condition=condition, levels=None if knots is None else len(knots))
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


def read(file: Path) -> Any:
    """Read a file of weights without running code from it.

    Args:
        file: A .safetensors file, or one that PyTorch wrote.

    Returns:
        A dictionary of tensors, or whatever was saved: dictionaries, lists, tensors, numbers and texts.

    Raises:
        RunError: If there is no such file, if it is damaged, or if it holds more than such values.
    """
    if not file.is_file():
        raise RunError(f"There is no file {file}; give the published weights, .safetensors or a PyTorch file.")
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        return torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        if "unsupported global" not in str(error).lower():  # a function or class by name, which would be called
            raise RunError(f"{file} is neither .safetensors nor a file that PyTorch wrote; is it whole?") from None
        raise RunError(
            f"{file} holds more than tensors, numbers and texts, and fokker runs no code from a file; save the "
            "network's state_dict alone."
        ) from None
    except Exception as error:  # readers stumble over foreign bytes in any way there is
        reason = one_line(error).rstrip(".")
        raise RunError(f"{file} cannot be read: {reason}; is it whole?") from None


def _recognised(registry: "Registry", content: Any, file: Path) -> Published:
    """What the first network finds that knows the file."""
    known, failed = [], []
    for entry in registry.entries("network"):
        try:
            cls = entry.load()
        except PluginError as error:  # told only if nobody else knows the file
            failed.append(str(error))
            continue
        if "published" in vars(cls):
            known.append(entry.written)
        try:
            published: Published | None = cls.published(content)
        except FokkerError:
            raise
        except Exception as error:  # one network that stumbles over a file keeps no other from knowing it
            failed.append(f"{entry.written} stumbles over it ({one_line(error)}).")
            continue
        if published is not None:
            return published
    more = f" Not asked: {failed[0]}" if failed else ""
    raise ConfigError(
        f"No network knows the weights in {file}; published ones are taken in by {', '.join(known) or 'none'}.{more}"
    )


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
