"""Weights of the published NCSN and NCSNv2 checkpoints under the names that they have here.

The originals count stages and refine blocks `res1, res2, res3, (res31,) res4, ...` from the finest and `refine1,
refine2, (refine31,) refine3, ...` from the coarsest, and number levels from 0 at the largest noise; here level 1 has
the smallest, so the rows of a table of levels are turned round.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

__all__ = ["Original", "multipliers_of", "opened", "renamed"]

_PARTS = {
    "begin_conv": "begin",
    "normalizer": "norm",
    "end_conv": "end",
    "conv1": "conv_1",
    "conv2": "conv_2",
    "normalize1": "norm_1",
    "normalize2": "norm_2",
    "adapt_convs": "adapt",
    "output_convs": "output",
    "crp": "chain",
    "msf": "fuse",
}
_UNIT = re.compile(r"(\d+)_(\d+)_(conv|norm)")


@dataclass(frozen=True, eq=False)
class Original:
    """What an original checkpoint holds.

    Args:
        weights: Tensors by their original names.
        ema: Their moving average by the same names, or None.
    """

    weights: Mapping[str, Tensor]
    ema: Mapping[str, Tensor] | None

    @property
    def sizes(self) -> dict[str, Any]:
        """The fields of a network that its shapes tell."""
        return {"channels": self.weights["begin_conv.weight"].shape[0], "multipliers": multipliers_of(self.weights)}

    def train(self) -> dict[str, Any]:
        """The settings of a training that the file decides: whether there is a moving average."""
        return {"ema": 0.999 if self.ema else 0.0}


def opened(content: Any, mark: str) -> Original | None:
    """Read a checkpoint of the originals.

    They save a list, of which the first is the network's tensors, and in NCSNv2 the last may be those of the moving
    average; between them is the state of the optimizer. A plain dictionary of tensors will do too. The names may carry
    the `module.` of a network on several devices.

    Args:
        content: What was read from the file.
        mark: A tensor that tells the network from others.

    Returns:
        The tensors, or None if this is no such checkpoint.
    """
    parts = content if isinstance(content, (list, tuple)) else [content]
    groups = [group for part in parts if (group := _tensors(part)) and "begin_conv.weight" in group]
    if not groups or mark not in groups[0]:
        return None
    return Original(groups[0], groups[1] if len(groups) > 1 else None)


def _tensors(part: Any) -> dict[str, Tensor] | None:
    """A dictionary of tensors alone, without the prefix; None for anything else."""
    if not isinstance(part, Mapping) or not all(isinstance(value, Tensor) for value in part.values()):
        return None
    return {str(name).removeprefix("module."): value for name, value in part.items()}


def renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights under the names of a `RefineNet`, rows of levels turned round, in float32.

    A tensor that the originals do not have stays, for the caller to refuse.
    """
    deepest = "res31.0.conv1.weight" in weights
    out = {}
    for name, value in weights.items():
        tensor = value.float()
        out[_renamed(name, deepest)] = tensor.flip(0) if name.endswith("embed.weight") else tensor
    return out


def _renamed(name: str, deepest: bool) -> str:
    first, *rest = name.split(".")
    own: list[str]
    if found := re.fullmatch(r"res(\d+)", first):
        own = ["stages", str(_place(found[1], ("1", "2", "3", "31"), deepest))]
        # a block that halves keeps its convolutions inside modules of their own
        rest = [part for i, part in enumerate(rest) if not (part == "conv" and i == 2)]
    elif found := re.fullmatch(r"refine(\d+)", first):
        own = ["refines", str(_place(found[1], ("1", "2", "31", "3"), deepest))]
    else:
        own = [_PARTS.get(first, first)]
    for part in rest:
        if unit := _UNIT.fullmatch(part):
            own += [f"{unit[3]}s", str(int(unit[1]) - 1), str(int(unit[2]) - 1)]
        else:
            own.append(_PARTS.get(part, part))
    return ".".join(["net", *own])


def _place(number: str, order: tuple[str, ...], deepest: bool) -> int:
    """Position of a stage or block; in the network with a `31` everything behind it moves by one."""
    if deepest and number in order:
        return order.index(number)
    return int(number) if deepest else int(number) - 1


def multipliers_of(weights: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Channels of each stage in units of those of the first, read off the shapes."""
    widths = {}
    for name, value in renamed(weights).items():
        if found := re.fullmatch(r"net\.stages\.(\d+)\.1\.conv_2\.weight", name):
            widths[int(found[1])] = value.shape[0]
    return tuple(widths[k] // widths[0] for k in sorted(widths))
