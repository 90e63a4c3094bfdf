"""Which values of an example are known: by a word that means something for any event shape, or by a file."""

import re
from pathlib import Path

import torch
from torch import Tensor

from fokker.errors import ConfigError, DataError
from fokker_data.array import read_array

__all__ = ["is_file", "known"]

_SIDE = re.compile(r"(left|right|top|bottom)(?:-(0?\.\d+))?")
_EVERY = re.compile(r"every-([2-9]\d*)")
_WORDS = "left, right, top, bottom (half, or a share as in left-0.25), every-K, border, centre"


def is_file(text: str) -> bool:
    """Whether a text names an array in a file rather than something by a word."""
    return Path(text).suffix in (".npy", ".npz", ".csv")


def known(mask: str, event_shape: tuple[int, ...]) -> Tensor:
    """Where values are known.

    Args:
        mask: A file, of which what is not 0 is known, or one of these words:

            - `left`, `right`: half of the last axis; `left-0.25` another share of it;
            - `top`, `bottom`: the same of the axis before the last;
            - `every-K`: every K-th position of each axis but the first (of the only axis), from the first on;
            - `border`: all but the middle half of each of these axes; `centre`: the middle half.
        event_shape: *D.

    Returns:
        Booleans, *D, or (N, *D) from a file with a mask for each example.

    Raises:
        ConfigError: If the word is unknown, or does not fit the shape, or nothing is known.
        DataError: If the file cannot be read, or does not fit the shape.
    """
    if is_file(mask):
        found = torch.as_tensor(read_array(Path(mask)).copy()) != 0
        if found.shape[-len(event_shape) :] != event_shape or found.ndim > len(event_shape) + 1:
            raise DataError(
                f"{mask} has the shape {tuple(found.shape)}; a mask of examples {event_shape} has their shape, or "
                "that with one dimension more for masks of their own."
            )
    else:
        found = _region(mask, event_shape)
    if not bool(found.any()):
        raise ConfigError(f"Nothing is known of examples of shape {event_shape} by the mask {mask!r}.")
    return found


def _region(word: str, shape: tuple[int, ...]) -> Tensor:
    found = torch.zeros(shape, dtype=torch.bool)
    space = range(len(shape) > 1, len(shape))
    if match := _SIDE.fullmatch(word):
        side, share = match.group(1), float(match.group(2) or 0.5)
        axis = len(shape) - (1 if side in ("left", "right") else 2)
        if axis < 0:
            raise ConfigError(f"Examples of shape {shape} have no {side}; known regions are {_WORDS}.")
        size = shape[axis]
        count = round(share * size)
        first = 0 if side in ("left", "top") else size - count
        found.narrow(axis, first, count).fill_(True)
    elif match := _EVERY.fullmatch(word):
        step = int(match.group(1))
        found[tuple(slice(None, None, step) if axis in space else slice(None) for axis in range(len(shape)))] = True
    elif word in ("border", "centre"):
        middle = tuple(slice(n // 4, n - n // 4) if axis in space else slice(None) for axis, n in enumerate(shape))
        found[middle] = True
        found = ~found if word == "border" else found
    else:
        raise ConfigError(f"There is no region {word!r}; give a file of a mask, or one of {_WORDS}.")
    return found
