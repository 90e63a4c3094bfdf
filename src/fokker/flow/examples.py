"""Examples as a model sees them, in chunks: any number of them, each the same whatever the chunks are."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from fokker.data import Chain, Examples
from fokker.errors import ConfigError, DataError
from fokker.network import DataSpec
from fokker.noise import Noise, PerSample

__all__ = ["Inputs", "check_examples", "read"]

_STREAM = 1 << 42
"""Separates dequantisation and probes from other uses of a seed."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """Some neighbouring examples in the model's units.

    Args:
        first: Position of the first one in its split.
        x: The examples, (B, *D).
        volume: What makes a log-density of the model one of the data, in nats, float64 on the host, (B,); see
            `fokker.data.Chain.forward_with_log_volume`.
        labels: Their class labels where the model has classes, int64 on the host, (B,).
        told: What else the model is told of them, on the device of the examples.
        noise: Source of what is drawn for them next, such as probes.
    """

    first: int
    x: Tensor
    volume: Tensor
    labels: Tensor | None
    told: Mapping[str, Tensor]
    noise: Noise

    @property
    def cond(self) -> Mapping[str, Tensor] | None:
        """The conditions for the model."""
        label = {} if self.labels is None else {"label": self.labels.to(self.x.device)}
        return {**self.told, **label} or None


def check_examples(examples: Examples, spec: DataSpec, *, n: int, first: int = 0, label: int | None = None) -> None:
    """Refuse data that a model cannot take, before anything is read.

    Args:
        examples: The opened split.
        spec: Shape and classes of the data that the model was made for.
        n: Number of examples that are wanted.
        first: Position of the first one.
        label: Class of all examples, instead of their own.

    Raises:
        ConfigError: If the shapes differ, or if a model with classes finds no labels of its own.
        DataError: If there are not so many examples.
    """
    if tuple(examples.event_shape) != spec.event_shape:
        raise ConfigError(
            f"The model was made for examples of shape {spec.event_shape}; this data has {examples.event_shape}."
        )
    if dict(examples.condition) != dict(spec.condition) and spec.condition:
        there, asked = (
            ", ".join(f"{k} {tuple(v)}" for k, v in c.items()) for c in (examples.condition, spec.condition)
        )
        raise ConfigError(
            f"The model is told {asked} of each example; the conditions of this data are: {there or 'none'}."
        )
    if spec.classes is not None and label is None:
        classes = examples.classes
        if classes is None or classes > spec.classes:
            found = "no labels" if classes is None else f"labels of {classes}"
            raise ConfigError(
                f"The model was trained with labels of {spec.classes} classes, and this data has {found}; give "
                f"--label, the class of all examples."
            )
    if first >= len(examples):
        raise DataError(f"There are {len(examples)} examples; the first one that is asked for is {first}.")
    if first + n > len(examples):
        raise DataError(f"There are {len(examples)} examples; {first} to {first + n - 1} were asked for.")


def read(
    examples: Examples,
    chain: Chain,
    spec: DataSpec,
    *,
    n: int,
    first: int = 0,
    batch_size: int = 256,
    seed: int = 0,
    label: int | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Iterator[Inputs]:
    """Read examples `first` to `first + n - 1` and bring them into the model's units.

    Args:
        examples: The opened split.
        chain: The transforms that the model was trained behind.
        spec: Shape and classes of the data that it was made for.
        n: Number of examples.
        first: Position of the first one.
        batch_size: Examples that come together.
        seed: Decides, with an example's position, its dequantisation and what is drawn for it next.
        label: Class of all examples, where the model has classes; their own unless given.
        device: Of the examples.
        dtype: Of the examples.

    Raises:
        ConfigError: If the model cannot take the data.
        DataError: If there are not so many examples, or one cannot be read.
    """
    check_examples(examples, spec, n=n, first=first, label=label)
    for start in range(first, first + n, batch_size):
        index = range(start, min(start + batch_size, first + n))
        batch = examples.fetch(index)
        # drawn on the host: an example has the same numbers on every device
        noise = PerSample(seed, index, spec.event_shape, stream=_STREAM)
        x, volume = chain.forward_with_log_volume(batch.x.to(dtype), noise)
        labels = None
        if spec.classes is not None:
            labels = batch.cond["label"] if label is None else torch.full((len(index),), label)
        told = {}
        for name in spec.condition:
            value = batch.cond[name]
            told[name] = value.to(device, dtype if value.is_floating_point() else value.dtype)
        yield Inputs(start, x.to(device), volume.double(), labels, told, noise)
