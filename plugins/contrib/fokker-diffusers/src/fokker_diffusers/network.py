"""Networks of diffusers: U-Nets and the diffusion transformer, behind fokker's labels and conditions.

    output = model(x, timestep, class).sample,    the first C channels of it

diffusers counts timesteps from 0 and fokker's levels from 1; here the two meet.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from fokker import ConfigError, DataSpec, Network, component
from safetensors.torch import load_file
from torch import Tensor, nn

from fokker_diffusers.configs import accepted, few, read_config

__all__ = ["CLASSES", "Backbone", "Model"]

CLASSES = ("UNet2DModel", "UNet2DConditionModel", "DiTTransformer2DModel")
"""Models of diffusers that can be behind a score: what they answer is made of the image, the time and a class."""

_SMALL = {
    "_class_name": "UNet2DModel",
    "block_out_channels": [32, 64],
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
    "layers_per_block": 1,
    "norm_num_groups": 8,
}
_TEXT = "encoder_hidden_states"


@component
class Model(Network):
    """A U-Net or diffusion transformer of diffusers (Ho et al., 2020, appendix B; Peebles & Xie, 2023, section 3).

    Its classes are UNet2DModel, UNet2DConditionModel and DiTTransformer2DModel, for images (C, H, W). What the
    configuration leaves out of `in_channels`, `out_channels`, `sample_size` and the number of classes is that of the
    data. A table of classes with one row more than the data has classes keeps the last row for "no class".

    A label of a table, a whole number from 1, is told as the timestep one below it; every other label as it is.

    Args:
        config: A folder that `save_pretrained` wrote, its config.json, or the JSON text itself, as which it is kept.
        variance: What the second half of the channels is where there are twice as many as the image has: `learned` or
            `learned_range`, as diffusers calls it. It is cut off: no sampler here asks for it, and no loss teaches it.
        weights: A folder or .safetensors file with weights that a training begins from; fresh ones unless given.
    """

    config: str = json.dumps(_SMALL)
    variance: Literal["none", "learned", "learned_range"] = "none"
    weights: str | None = None

    def __post_init__(self) -> None:
        found = read_config(self.config)
        name = found.get("_class_name", "UNet2DModel")
        if name == "Transformer2DModel" and found.get("norm_type") == "ada_norm_zero":
            name = "DiTTransformer2DModel"  # what it was called before diffusers 0.29
            found = _since_renamed(found)
        if name not in CLASSES:
            raise ConfigError(f"Model.config is of the class {name}; those that can be taken are {', '.join(CLASSES)}.")
        own = accepted(_class(name), found, "Model.config")
        object.__setattr__(self, "config", json.dumps({"_class_name": name, **own}))

    @property
    def plain(self) -> dict[str, Any]:
        """The configuration with the name of its class."""
        found: dict[str, Any] = json.loads(self.config)
        return found

    @property
    def examples(self) -> tuple[DataSpec, ...]:
        """Small images that it takes."""
        config = self.plain
        channels = config.get("in_channels", 2)
        size = config.get("sample_size")
        if config["_class_name"] == "DiTTransformer2DModel":
            side = size or 4 * config.get("patch_size", 2)
            shape: tuple[int, ...] = (channels, side, side)
        else:
            least = 2 ** (len(config.get("block_out_channels", (1, 1, 1, 1))) - 1)
            shape = (channels, 2 * least, 4 * least)
        classes = config.get("num_class_embeds", config.get("num_embeds_ada_norm"))
        condition = {}
        if config["_class_name"] == "UNet2DConditionModel":
            condition = {_TEXT: (3, _width(config))}
        return (
            DataSpec(shape, None if classes is None else max(1, classes), condition),
            DataSpec(shape, None, condition),
        )

    def build(self, spec: DataSpec) -> "Backbone":
        """Build the backbone; see `Network.build`.

        Raises:
            ConfigError: If the data are no images or do not fit the configuration, or if weights do not fit it.
        """
        if len(spec.event_shape) != 3:
            raise ConfigError(
                f"diffusers' models take images (C, H, W); these events have the shape {spec.event_shape}: use 'unet', "
                "which takes series and volumes too, or 'mlp'."
            )
        config = self._filled(spec)
        name = config.pop("_class_name")
        _refuse_conditions(name, spec)
        _refuse_sizes(name, config, spec.event_shape)
        try:
            model = _class(name)(**config)
        except (TypeError, ValueError, NotImplementedError, KeyError) as error:
            reason = " ".join(str(error).split()).rstrip(".")
            raise ConfigError(f"{name} cannot be built by Model.config: {reason}.") from None
        if self.weights is not None and model.device.type != "meta":
            _load(model, Path(self.weights))
        return Backbone(model, _told(name, config, spec), spec.event_shape[0])

    def _filled(self, spec: DataSpec) -> dict[str, Any]:
        """The configuration with what it leaves to the data."""
        config = self.plain
        name, (channels, height, width) = config["_class_name"], spec.event_shape
        dit = name == "DiTTransformer2DModel"
        doubled = 1 if self.variance == "none" else 2
        config.setdefault("in_channels", channels)
        config.setdefault("out_channels", doubled * config["in_channels"])
        if not dit:
            config.setdefault("sample_size", [height, width])
        elif height == width:
            config.setdefault("sample_size", height)
        if config["out_channels"] is None:
            config["out_channels"] = config["in_channels"]
        if config["in_channels"] != channels:
            raise ConfigError(
                f"Model.config is of {config['in_channels']} channels, and the data has {channels}; leave in_channels "
                "out, and it is the data's."
            )
        if config["out_channels"] != doubled * channels:
            hint = "leave it out"
            if config["out_channels"] == 2 * channels:
                hint = "set variance=learned_range if the second half is a variance, which is then cut off"
            raise ConfigError(
                f"Model.config has out_channels = {config['out_channels']}, where variance = {self.variance} takes "
                f"{doubled * channels}; {hint}."
            )
        if spec.classes is not None:
            if dit:
                config.setdefault("num_embeds_ada_norm", spec.classes)
            elif config.get("class_embed_type") is None:
                config.setdefault("num_class_embeds", spec.classes + 1)
        return config


def _since_renamed(config: Mapping[str, Any]) -> dict[str, Any]:
    """A transformer's configuration of before diffusers 0.29, without what its class no longer has.

    Raises:
        ConfigError: If one of these keys does anything.
    """
    from diffusers import DiTTransformer2DModel

    idle = {
        "cross_attention_dim": None,
        "num_vector_embeds": None,
        "use_linear_projection": False,
        "only_cross_attention": False,
        "double_self_attention": False,
        "attention_type": "default",
        "caption_channels": None,
        "interpolation_scale": None,
        "use_additional_conditions": None,
    }
    active = [key for key, value in idle.items() if key in config and config[key] != value]
    if active:
        raise ConfigError(f"Model.config sets {few(active)}, which {DiTTransformer2DModel.__name__} does not have.")
    return {key: value for key, value in config.items() if key not in idle}


@dataclass(frozen=True)
class _Told:
    """How a class is told: rows of the table, the row of "no class", and under which name."""

    keyword: str | None
    none: int | None
    text: bool
    whole: bool


def _told(name: str, config: Mapping[str, Any], spec: DataSpec) -> _Told:
    text = name == "UNet2DConditionModel"
    if name == "DiTTransformer2DModel":
        rows = config.get("num_embeds_ada_norm", 1000)
        if spec.classes not in (None, rows):
            raise ConfigError(
                f"Model.config has num_embeds_ada_norm = {rows}, and the data has {spec.classes} classes; leave it "
                "out, and it is the data's."
            )
        return _Told("class_labels", rows, text, whole=False)  # the row after the last is its own for no class
    whole = config.get("time_embedding_type") == "learned"
    if config.get("class_embed_type") is not None:
        raise ConfigError(
            f"Model.config has class_embed_type = {config['class_embed_type']}, which takes no class labels; "
            "leave it out."
        )
    rows = config.get("num_class_embeds")
    if spec.classes is None:
        if rows is not None:
            raise ConfigError(
                f"Model.config has num_class_embeds = {rows}, and the data comes without labels; set "
                "train.labels=true, or leave it out."
            )
        return _Told(None, None, text, whole)
    if rows not in (spec.classes, spec.classes + 1):
        raise ConfigError(
            f"Model.config has num_class_embeds = {rows}, and the data has {spec.classes} classes; it takes as "
            "many, or one more for no class."
        )
    return _Told("class_labels", None if rows == spec.classes else spec.classes, text, whole)


def _refuse_conditions(name: str, spec: DataSpec) -> None:
    if name != "UNet2DConditionModel":
        if spec.condition:
            raise ConfigError(f"{name} takes no condition but classes; got {', '.join(spec.condition)}.")
    elif set(spec.condition) != {_TEXT}:
        raise ConfigError(
            f"UNet2DConditionModel attends to a condition '{_TEXT}' (tokens, width), and takes no other; this data has "
            f"{', '.join(spec.condition) or 'none'}. Use a UNet2DModel."
        )


def _refuse_sizes(name: str, config: Mapping[str, Any], shape: tuple[int, ...]) -> None:
    height, width = shape[1:]
    if name == "DiTTransformer2DModel":
        patch = config.get("patch_size", 2)
        if height % patch or width % patch:
            raise ConfigError(f"{name} cuts images into patches of {patch}x{patch}; {height}x{width} is none of them.")
        return
    least = 2 ** (len(config.get("block_out_channels", (224, 448, 672, 896))) - 1)
    if height % least or width % least:
        raise ConfigError(
            f"{name} with these blocks takes images whose sides are multiples of {least}; these are {height}x{width}. "
            "Pad or resize the data, or take fewer blocks."
        )


def _width(config: Mapping[str, Any]) -> int:
    wide = config.get("cross_attention_dim", 1280)
    return int(wide if isinstance(wide, int) else wide[0])


def _class(name: str) -> type[Any]:
    import diffusers

    found: type[Any] = getattr(diffusers, name)
    return found


def _load(model: nn.Module, place: Path) -> None:
    from fokker_diffusers.weights import read_weights

    tensors = read_weights(place) if place.is_dir() else load_file(place) if place.is_file() else None
    if tensors is None:
        raise ConfigError(
            f"There is no {place} with weights to begin from; a run that was trained from them has its own: set "
            "network.weights out of its run.toml."
        )
    wanted = model.state_dict()
    wrong = [
        k for k in {**wanted, **tensors} if k not in wanted or k not in tensors or wanted[k].shape != tensors[k].shape
    ]
    if wrong:
        raise ConfigError(f"{place} does not fit Model.config: look at {few(wrong)}.")
    model.load_state_dict(tensors)


class Backbone(nn.Module):
    """The module that `Model` builds.

    Args:
        model: The model of diffusers.
        told: How it is told a class.
        channels: Channels of the image.
    """

    def __init__(self, model: Any, told: _Told, channels: int) -> None:
        super().__init__()
        self.model = model
        self._how = told
        self._channels = channels

    def forward(self, x: Tensor, label: Tensor, cond: Mapping[str, Tensor] | None = None) -> Tensor:
        """Evaluate the network.

        Args:
            x: The network's input, (B, C, H, W).
            label: A level, int64 from 1, or any other label, floating, (B,).
            cond: `label`: the class, int64, (B,); its absence, or the number of classes, is "no class".

        Returns:
            The network's output, (B, C, H, W).
        """
        how = self._how
        timestep = label if label.is_floating_point() else label - 1
        if how.whole:
            timestep = timestep.round().long()
        more: dict[str, Tensor] = {}
        if how.keyword is not None:
            given = None if cond is None else cond.get("label")
            if given is None:
                if how.none is None:
                    raise ConfigError("This model has no row for 'no class'; give every example its class.")
                given = torch.full((len(x),), how.none, dtype=torch.int64, device=x.device)
            more[how.keyword] = given
        if how.text:
            more[_TEXT] = (cond or {})[_TEXT].to(x.dtype)
        out: Tensor = self._answer(x, timestep, more)
        return out[:, : self._channels]

    def _answer(self, x: Tensor, timestep: Tensor, more: Mapping[str, Tensor]) -> Tensor:
        if hasattr(self.model, "pos_embed") and x.shape[-1] != x.shape[-2]:
            return _wide(self.model, x, timestep, more["class_labels"])
        out: Tensor = self.model(x, timestep, **more, return_dict=False)[0]
        return out


def _wide(model: Any, x: Tensor, timestep: Tensor, classes: Tensor) -> Tensor:
    """A diffusion transformer on an image that is not square.

    diffusers puts the patches of its answer together into a square, whatever the image; the blocks before that take
    any number of patches.
    """
    patch, rows, columns = model.patch_size, *(side // model.patch_size for side in x.shape[-2:])
    h = model.pos_embed(x)
    for block in model.transformer_blocks:
        h = block(h, timestep=timestep, class_labels=classes)
    told = model.transformer_blocks[0].norm1.emb(timestep, classes, hidden_dtype=h.dtype)
    shift, scale = model.proj_out_1(nn.functional.silu(told)).chunk(2, dim=1)
    h = model.proj_out_2(model.norm_out(h) * (1 + scale[:, None]) + shift[:, None])
    h = h.unflatten(1, (rows, columns)).unflatten(-1, (patch, patch, model.out_channels))
    out: Tensor = h.permute(0, 5, 1, 3, 2, 4).reshape(len(x), model.out_channels, rows * patch, columns * patch)
    return out
