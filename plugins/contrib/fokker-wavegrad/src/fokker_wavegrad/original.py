"""Published WaveGrad weights: the checkpoints of lmnt-com's implementation, whose names are used here as they are."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

__all__ = ["Original", "opened"]

_MARKS = ("downsample.0.weight", "film.0.input_conv.weight", "first_conv.weight", "last_conv.weight")
"""Tensors that together tell WaveGrad from other networks."""


@dataclass(frozen=True, eq=False)
class Original:
    """What an original checkpoint holds.

    Args:
        weights: Tensors by their names.
    """

    weights: Mapping[str, Tensor]

    @property
    def sizes(self) -> dict[str, Any]:
        """The fields of a network that its shapes tell."""
        w = self.weights
        up, down = self._channels("upsample.{}.block1.weight"), self._channels("downsample.{}.residual_dense.weight", 1)
        return {"up": up, "down": [w["downsample.0.weight"].shape[0], *down], "first": w["first_conv.weight"].shape[0]}

    @property
    def mels(self) -> int:
        """Bands of the spectrogram."""
        return int(self.weights["first_conv.weight"].shape[1])

    def _channels(self, name: str, first: int = 0) -> list[int]:
        found, k = [], first
        while (weight := self.weights.get(name.format(k))) is not None:
            found.append(int(weight.shape[0]))
            k += 1
        return found


def opened(content: Any) -> Original | None:
    """Read a checkpoint of the original.

    Its program saves a dictionary whose `model` holds the network's tensors, beside the optimizer's state; a plain
    dictionary of tensors will do too. Names may carry the `module.` of a network on several devices.

    Args:
        content: What was read from the file.

    Returns:
        The tensors in float32, or None if this is no such checkpoint.
    """
    if isinstance(content, Mapping) and isinstance(content.get("model"), Mapping):
        content = content["model"]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        return None
    tensors = {re.sub(r"^module\.", "", str(name)): value.float() for name, value in content.items()}
    if not all(mark in tensors and tensors[mark].ndim == 3 for mark in _MARKS):
        return None
    return Original(tensors)
