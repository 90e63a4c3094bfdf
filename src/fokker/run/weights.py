"""Files of weights: what another program saved, or the tensors of a run alone.

What a file means, the networks say (`fokker.network.Network.published`), so that a plugin's network brings its own
published weights along. No code of the file is run.
"""

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from fokker.component import component
from fokker.errors import ConfigError, FokkerError, PluginError, RunError
from fokker.format import Format
from fokker.network import DataSpec, Published
from fokker.plugins.registry import one_line

if TYPE_CHECKING:
    from fokker.plan import Plan
    from fokker.plugins.registry import Registry

__all__ = ["Weights", "read"]


@component
class Weights(Format):
    """A file of weights: .safetensors, or one that PyTorch wrote, whose meaning the networks know.

    A run is written as a .safetensors file of its network's tensors under their own names.
    """

    writes: ClassVar[bool] = True
    suffix: ClassVar[str] = ".safetensors"

    def recognises(self, place: Path) -> bool:
        """Whatever is no folder: the networks say whose it is."""
        return not place.is_dir()

    def read(self, place: Path, registry: "Registry") -> Published:
        """What the first network finds that knows the file."""
        return _recognised(registry, read(place), place)

    def write(
        self, place: Path, registry: "Registry", plan: "Plan", spec: DataSpec, weights: Mapping[str, Tensor]
    ) -> None:
        """The tensors; what they are for stays in the run."""
        save_file({name: tensor.contiguous() for name, tensor in weights.items()}, place)


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
