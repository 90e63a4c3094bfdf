"""What was measured: numbers given, numbers in a file, or what held-out examples of the data would have given."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from fokker.errors import ConfigError, DataError
from fokker.guidance import Subject
from fokker_data.array import read_array
from fokker_guidance.regions import is_file

__all__ = ["Values", "held_out", "stored"]

Values = str | tuple[float, ...]
"""`test` or `train`, a file, or numbers."""


def held_out(values: Values, subject: Subject, index: Sequence[int]) -> Tensor | None:
    """Examples to measure, one for each sample: sample i gets example i modulo their number.

    Returns:
        In the data's own units, float64, (B, *D); None where `values` are not the word `test` or `train`.

    Raises:
        ConfigError: If it is another word, or there is no data.
    """
    if not isinstance(values, str) or is_file(values):
        return None
    if values not in ("test", "train"):
        raise ConfigError(f"There are no values {values!r}; give test or train, a file (.npy, .npz, .csv), or numbers.")
    if subject.data is None:
        raise ConfigError(f"There is no data here whose {values} examples could be measured; give a file, or numbers.")
    examples = subject.data.open("test" if values == "test" else "train")
    return examples.fetch([i % len(examples) for i in index]).x.double()


def stored(values: Values, size: int, index: Sequence[int]) -> Tensor:
    """Measurements that were given, `size` numbers each, one for all samples or one for each.

    Args:
        values: A file, or numbers. A file holds `size` numbers, or N times as many, of which sample i gets those at i
            modulo N.
        size: How many numbers a measurement has.
        index: Absolute indices of the samples, (B,).

    Returns:
        float64, (B, size).

    Raises:
        ConfigError: If the numbers are not that many.
        DataError: If the file cannot be read or does not fit.
    """
    if isinstance(values, str):
        found = torch.as_tensor(read_array(Path(values)).copy()).double()
        if not found.numel() or found.numel() % size or (found.numel() > size and found[0].numel() != size):
            raise DataError(
                f"{values} has the shape {tuple(found.shape)}; a measurement here has {size} numbers, so give that "
                "many, or that many for each of the rows."
            )
    else:
        found = torch.tensor(values, dtype=torch.float64)
        if found.numel() != size:
            raise ConfigError(f"A measurement here has {size} numbers; got {found.numel()}.")
    rows = found.reshape(-1, size)
    return rows[[i % len(rows) for i in index]]
