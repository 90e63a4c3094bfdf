"""Linear operators: what is measured of an example, y = A x + n.

In a model's units, x = shift + scale u, the operator is A' = A diag(scale). What guidances need of it is

    pull(r) = A'^T (A' A'^T + lambda I)^+ r

the smallest change of u, weighed against lambda, that explains a residual r. Where the rows of A do not overlap, as
with masks, averages of blocks and grey levels, A' A'^T is diagonal and nothing has to be inverted.
"""

import re
from abc import ABC, abstractmethod
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from fokker.errors import ConfigError, DataError
from fokker.perturbation import Scale
from fokker_data.array import read_array
from fokker_guidance.regions import is_file, known

__all__ = ["Disjoint", "Matrix", "Operator", "average", "grey", "operator", "region"]

_AVERAGE = re.compile(r"average-([2-9]\d*)")


class Operator(ABC):
    """A linear operator on examples of one shape.

    Args:
        event_shape: *D.
        size: How many numbers it measures, m.
    """

    def __init__(self, event_shape: tuple[int, ...], size: int) -> None:
        self.event_shape = event_shape
        self.size = size

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """A x, (B, m), of `x` (B, *D); gradients pass."""

    @abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """A^T y, (B, *D), of `y` (B, m)."""

    @abstractmethod
    def pull(self, residual: Tensor, scale: Tensor, weight: Scale) -> Tensor:
        """A'^T (A' A'^T + weight I)^+ residual with A' = A diag(scale).

        Args:
            residual: (B, m).
            scale: The data's own units in one of the model's, (B, *D), the same in each row.
            weight: At least 0, a number or (B, 1, ..., 1); infinite where nothing is to be changed.

        Returns:
            (B, *D).
        """

    def matrix(self) -> Tensor:
        """A as a matrix, float64, (m, numel)."""
        d = prod(self.event_shape)
        return self(torch.eye(d, dtype=torch.float64).reshape(d, *self.event_shape)).T


class Disjoint(Operator):
    """Each value of an example counts in one measured number at most.

    Args:
        event_shape: *D.
        row: Which measured number each value counts in, int64, *D; -1 for none.
        weight: How much it counts, *D.
    """

    def __init__(self, event_shape: tuple[int, ...], row: Tensor, weight: Tensor) -> None:
        super().__init__(event_shape, int(row.max()) + 1)
        self._where = (row.flatten() >= 0).nonzero().flatten()
        self._row = row.flatten()[self._where]
        self._weight = weight.double().flatten()[self._where]

    def __call__(self, x: Tensor) -> Tensor:
        """See `Operator`."""
        where, row, weight = self._on(x)
        values = weight * x.flatten(1)[:, where]
        return x.new_zeros(len(x), self.size).index_add(1, row, values)

    def adjoint(self, y: Tensor) -> Tensor:
        """See `Operator.adjoint`."""
        where, row, weight = self._on(y)
        flat = y.new_zeros(len(y), prod(self.event_shape)).index_copy(1, where, weight * y[:, row])
        return flat.reshape(len(y), *self.event_shape)

    def pull(self, residual: Tensor, scale: Tensor, weight: Scale) -> Tensor:
        """See `Operator.pull`."""
        where, row, each = self._on(residual)
        squares = (each * scale.flatten(1)[:, where]) ** 2
        gram = residual.new_zeros(len(residual), self.size).index_add(1, row, squares)
        return scale * self.adjoint(residual / (gram + _flat(weight)))

    def _on(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self._where.to(x.device), self._row.to(x.device), self._weight.to(x.device, x.dtype)


class Matrix(Operator):
    """Any matrix.

    Args:
        event_shape: *D.
        rows: A, (m, numel).
    """

    def __init__(self, event_shape: tuple[int, ...], rows: Tensor) -> None:
        super().__init__(event_shape, len(rows))
        self._rows = rows.double()
        self._factors: tuple[Tensor, Tensor, Tensor] | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """See `Operator`."""
        return x.flatten(1) @ self._rows.to(x.device, x.dtype).T

    def adjoint(self, y: Tensor) -> Tensor:
        """See `Operator.adjoint`."""
        return (y @ self._rows.to(y.device, y.dtype)).reshape(len(y), *self.event_shape)

    def pull(self, residual: Tensor, scale: Tensor, weight: Scale) -> Tensor:
        """See `Operator.pull`."""
        values, vectors = (f.to(residual.device, residual.dtype) for f in self._eigen(scale[0]))
        part = residual @ vectors / (values + _flat(weight))
        return scale * self.adjoint(part @ vectors.T)

    def _eigen(self, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Eigenvalues above 0 and eigenvectors of A' A'^T in float64; kept, since the scale is that of a run."""
        if self._factors is None or not torch.equal(self._factors[0], scale):
            rows = self._rows * scale.flatten().to("cpu", torch.float64)
            values, vectors = torch.linalg.eigh(rows @ rows.T)
            keep = values > 1e-10 * values[-1]  # what a row repeats of others, rounding tells from 0
            self._factors = scale.clone(), values[keep], vectors[:, keep]
        return self._factors[1:]


def _flat(weight: Scale) -> Scale:
    """A coefficient that multiplies (B, m)."""
    return weight.reshape(-1, 1) if isinstance(weight, Tensor) else weight


def operator(text: str, event_shape: tuple[int, ...]) -> Operator:
    """An operator by its name.

    Args:
        text: A file with a matrix (m, numel), or one of these words: `identity`, `average-K` (means of blocks of K
            along each axis but the first, or the only axis), `grey` (mean of the channels, the first axis), or a
            region of `fokker_guidance.regions`, whose values are measured.
        event_shape: *D.

    Raises:
        ConfigError: If the word is unknown or does not fit the shape.
        DataError: If the file cannot be read or does not fit the shape.
    """
    d = prod(event_shape)
    if is_file(text):
        rows = torch.as_tensor(read_array(Path(text)).copy())
        if rows.ndim != 2 or rows.shape[1] != d or not len(rows):
            raise DataError(
                f"{text} has the shape {tuple(rows.shape)}; an operator on examples of shape {event_shape} is a matrix "
                f"of {d} columns."
            )
        if not bool(rows.isfinite().all()) or not bool((rows != 0).any()):
            raise DataError(f"{text} holds values that are not finite, or nothing but zeros.")
        return Matrix(event_shape, rows)
    if text == "identity":
        return Disjoint(event_shape, torch.arange(d).reshape(event_shape), torch.ones(event_shape))
    if text == "grey":
        return grey(event_shape)
    if match := _AVERAGE.fullmatch(text):
        return average(event_shape, int(match.group(1)))
    try:
        return region(known(text, event_shape))
    except ConfigError as error:
        raise ConfigError(f"{error} Operators are also identity, average-K, grey, and a file with a matrix.") from None


def region(mask: Tensor) -> Operator:
    """The values where a mask, booleans *D, is true."""
    row = torch.where(mask.flatten(), mask.flatten().cumsum(0) - 1, -1).reshape(mask.shape)
    return Disjoint(tuple(mask.shape), row, mask.double())


def grey(event_shape: tuple[int, ...]) -> Operator:
    """The mean of the channels at each place.

    Raises:
        ConfigError: If there are fewer than two channels.
    """
    channels = event_shape[0]
    if channels < 2:
        raise ConfigError(f"A grey level is a mean of two channels at least; examples of shape {event_shape} have one.")
    row = torch.arange(prod(event_shape[1:])).reshape(1, *event_shape[1:]).expand(event_shape)
    return Disjoint(event_shape, row, torch.full(event_shape, 1 / channels))


def average(event_shape: tuple[int, ...], k: int) -> Operator:
    """Means of blocks of k along each axis but the first, or along the only axis.

    Raises:
        ConfigError: If k does not divide these axes.
    """
    first = int(len(event_shape) > 1)
    if any(n % k for n in event_shape[first:]):
        raise ConfigError(f"average-{k} takes axes that {k} divides; examples have the shape {event_shape}.")
    row = torch.zeros((), dtype=torch.int64)
    for axis, n in enumerate(event_shape):
        step = k if axis >= first else 1
        place = torch.arange(n) // step
        row = row.unsqueeze(-1) * (n // step) + place
    return Disjoint(
        event_shape, row.reshape(event_shape), torch.full(event_shape, float(k) ** (first - len(event_shape)))
    )
