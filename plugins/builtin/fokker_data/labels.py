"""Labels as they are found in files, made into classes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fokker.errors import DataError

__all__ = ["check_labels"]


def check_labels(labels: NDArray[Any], n: int, source: str) -> NDArray[np.int64]:
    """Labels as classes 0, 1, ..., int64, (n,).

    Raises:
        DataError: If there are not n of them, or one is no whole number of at least 0.
    """
    if labels.size != n or labels.shape[0] != n:
        raise DataError(f"{source} holds labels of shape {labels.shape}; one is needed for each of {n} examples.")
    flat = labels.reshape(n)
    if flat.dtype.kind not in "biuf":
        raise DataError(f"{source} holds {flat.dtype} values: labels are whole numbers 0, 1, ...")
    whole = np.isfinite(flat) & (flat == np.floor(flat)) & (flat >= 0) & (flat < 2**31)
    if not whole.all():
        row = int(np.argmin(whole))
        raise DataError(f"{source}: row {row} (counted from 0) holds {flat[row]}: labels are whole numbers 0, 1, ...")
    return flat.astype(np.int64)
