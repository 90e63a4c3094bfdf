"""Folders of diffusers: a pipeline, or a model alone, as `save_pretrained` writes them.

    PIPELINE/ model_index.json    unet/ or transformer/: config.json, safetensors    scheduler/: scheduler_config.json

Two JSON files and tensors are read, nothing is run, and no pickle is opened.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from fokker import ConfigError, DataSpec, component
from fokker.errors import RunError
from fokker.format import Format
from fokker.network import Published
from safetensors.torch import save_file
from torch import Tensor

from fokker_diffusers.configs import few, own_keys, read_config
from fokker_diffusers.network import Model
from fokker_diffusers.taken_in import OWN, Meaning, meaning_of
from fokker_diffusers.weights import NAME, read_weights

if TYPE_CHECKING:
    from fokker.plan import Plan
    from fokker.plugins.registry import Registry

__all__ = ["Folder"]

_INDEX = "model_index.json"
_PARTS = ("unet", "transformer")
_PREFIX = "model."
_MODES = {1: "grey", 3: "rgb", 4: "rgba"}
_PIPELINES = {
    "DDPMScheduler": "DDPMPipeline",
    "DDIMScheduler": "DDIMPipeline",
    "ScoreSdeVeScheduler": "ScoreSdeVePipeline",
}


@component
class Folder(Format):
    """A pipeline's folder with a U-Net or transformer and a scheduler, or the folder of such a model alone.

    The scheduler says the perturbation, the label, how the output is read, and how the pipeline samples; a model alone
    is taken for DDPM's, which a recipe or options may correct. What has no place in fokker is refused by its name.
    """

    writes: ClassVar[bool] = True

    @property
    def example(self) -> Mapping[str, Any]:
        """Digits, with a small U-Net on DDPM's table."""
        return {
            "data": "digits",
            "perturbation": "betas",
            "network": f"{OWN}/model",
            "label": f"{OWN}/timestep",
            "parameterization": "eps",
            "objective": "ddpm",
            "sample": {"sampler": f"{OWN}/ddim", "grid": f"{OWN}/timesteps", "steps": 9},
        }

    def recognises(self, place: Path) -> bool:
        """By model_index.json, or a config.json that names a class."""
        if (place / _INDEX).is_file():
            return True
        if not (place / "config.json").is_file():
            return False
        try:
            return "_class_name" in read_config(str(place))
        except ConfigError:
            return True  # damaged: `read` says how

    def read(self, place: Path, registry: "Registry") -> Published:
        """The model's configuration and tensors, and what its scheduler says."""
        part, scheduler = _opened(place)
        config = read_config(str(part))
        meaning = None if scheduler is None else meaning_of(scheduler)
        doubled = config.get("out_channels") == 2 * int(config.get("in_channels") or 0)
        network: dict[str, Any] = {"name": f"{OWN}/model", "config": json.dumps(config)}
        if doubled and config.get("in_channels"):
            network["variance"] = (meaning and meaning.variance) or "learned_range"
        network["config"] = Model(**{k: v for k, v in network.items() if k != "name"}).config  # checked and made plain
        weights = {_PREFIX + name: tensor.float() for name, tensor in read_weights(part).items()}
        classes = config.get("num_embeds_ada_norm", config.get("num_class_embeds"))
        shape = _shape(config)
        facts: dict[str, Any] = {"network": network}
        if classes is not None:
            facts["train"] = {"labels": True}
        if meaning is None:
            alone = _alone()
            tables = {**alone.defaults, **alone.facts, **_data(shape, classes, recentred=True)}
            return Published(weights, facts, tables, shape=shape, classes=classes)
        defaults = {**meaning.defaults, **_data(shape, classes, recentred=meaning.recentred)}
        return Published(weights, {**facts, **meaning.facts}, defaults, shape=shape, classes=classes)

    def write(
        self, place: Path, registry: "Registry", plan: "Plan", spec: DataSpec, weights: Mapping[str, Tensor]
    ) -> None:
        """A pipeline's folder; `from_pretrained` of diffusers opens its parts."""
        from fokker_diffusers.written_out import scheduler_of

        if not isinstance(plan.network, Model):
            raise ConfigError(
                f"diffusers knows its own networks, and {type(plan.network).__name__} is none; train with the network "
                "diffusers/model to write it out."
            )
        scheduler = scheduler_of(plan, variance=plan.network.variance)
        with torch.device("meta"):
            model = plan.network.build(spec).model
        part = "transformer" if "Transformer" in type(model).__name__ else "unet"
        (place / part).mkdir(parents=True)
        model.save_config(place / part)
        tensors = {name.removeprefix(_PREFIX): tensor.contiguous() for name, tensor in weights.items()}
        save_file(tensors, place / part / NAME, metadata={"format": "pt"})
        scheduler.save_config(place / "scheduler")
        import diffusers

        name = type(scheduler).__name__
        index = {
            "_class_name": _PIPELINES.get(name, "DiffusionPipeline") if part == "unet" else "DiffusionPipeline",
            "_diffusers_version": diffusers.__version__,
            "scheduler": ["diffusers", name],
            part: ["diffusers", type(model).__name__],
        }
        (place / _INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _opened(place: Path) -> tuple[Path, dict[str, Any] | None]:
    """The folder of the model, and the scheduler's configuration if there is one.

    Raises:
        ConfigError: If there is a part besides these two, naming it.
    """
    if not (place / _INDEX).is_file():
        if not (place / "config.json").is_file():
            raise RunError(f"{place} is no folder of diffusers: it has neither {_INDEX} nor config.json.")
        return place, None
    index = read_config(str(place), _INDEX)
    named = {key: value for key, value in own_keys(index).items() if isinstance(value, list) and any(value)}
    others = [key for key in named if key not in (*_PARTS, "scheduler")]
    if others:
        raise ConfigError(
            f"{place / _INDEX} has {few(others)}, which has no place in fokker; it can have a unet or transformer, "
            "and a scheduler."
        )
    parts = [key for key in _PARTS if key in named]
    if len(parts) != 1:
        raise ConfigError(
            f"{place / _INDEX} names {few(parts) or 'no model'}; it must have one unet or one transformer."
        )
    scheduler = place / "scheduler"
    if "scheduler" not in named:
        raise ConfigError(f"{place / _INDEX} has no scheduler; give the folder {parts[0]} alone, and a perturbation.")
    return place / parts[0], read_config(str(scheduler), "scheduler_config.json")


def _alone() -> Meaning:
    """DDPM's, for a model that comes without a scheduler."""
    return meaning_of({"_class_name": "DDPMScheduler", "clip_sample": False})


def _shape(config: Mapping[str, Any]) -> tuple[int, ...] | None:
    size, channels = config.get("sample_size"), config.get("in_channels")
    if size is None or channels is None:
        return None
    height, width = (size, size) if isinstance(size, int) else size
    return int(channels), int(height), int(width)


def _data(shape: tuple[int, ...] | None, classes: int | None, *, recentred: bool) -> dict[str, Any]:
    """Where pictures would be looked for, which need not be there: it says the units of samples."""
    if shape is None or shape[0] not in _MODES:
        return {}
    table: dict[str, Any] = {
        "name": "images",
        "root": "pictures",
        "size": list(shape[1:]),
        "mode": _MODES[shape[0]],
        "resize": "crop",
        "labels": classes is not None,
    }
    return {"data": table if recentred else {**table, "transforms": []}}
