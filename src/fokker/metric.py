"""Metrics: how far samples are from a reference, as one number.

A metric compares two sets of examples in the data's own units. It is a function of the two sets and of its fields
alone: where it projects or draws at random, the seed is a field.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fokker.errors import DataError

__all__ = ["Metric", "MetricClaims", "as_rows"]


@dataclass(frozen=True)
class MetricClaims:
    """What a metric claims of itself and the tests measure.

    Args:
        symmetric: Whether the two sets can be exchanged.
        zero_on_equal_sets: Whether the value is zero, to rounding, where both hold the same examples.
        nonnegative: Whether the value is never below zero, as that of an unbiased estimate may be.
        degree: The power of the data's scale that the value has, which is its unit: 1 for a distance in the data's own
            units, 2 for its square, 0 for a pure number; None where a field, such as a bandwidth, sets the scale.
        any_order: Whether the order of examples never matters; it does where some of them train a classifier.
        any_shape: Whether only the numbers of an example matter, and not how they are laid out.
        larger_is_closer: Whether it is a likeness instead of a distance.
    """

    symmetric: bool = False
    zero_on_equal_sets: bool = False
    nonnegative: bool = False
    degree: int | None = None
    any_order: bool = True
    any_shape: bool = True
    larger_is_closer: bool = False


class Metric(ABC):
    """A distance, or a likeness, of two sets of examples; subclasses are components (`@component`).

    Two independent sets of the same law give its floor: the value that no sampler can be expected to beat at that
    number of examples.
    """

    kind: ClassVar[str] = "metric"

    @property
    @abstractmethod
    def claims(self) -> MetricClaims:
        """What the metric claims and the tests measure."""

    @abstractmethod
    def __call__(self, samples: Tensor, reference: Tensor) -> float:
        """Compare samples with a reference.

        Args:
            samples: In the data's own units, (N, *D).
            reference: Examples of the data, (M, *D), in any order; M need not be N.

        Returns:
            The smaller, the closer, unless it claims `larger_is_closer`.

        Raises:
            DataError: If the sets cannot be compared, or hold a value that is not finite.
        """


def as_rows(samples: Tensor, reference: Tensor, *, least: int = 1) -> tuple[Tensor, Tensor]:
    """Both sets as matrices with one example a row, (N, d) and (M, d), once they are known to be comparable.

    Args:
        samples: (N, *D).
        reference: (M, *D).
        least: Number of examples that either set must have.

    Returns:
        The two matrices, without gradients, where `samples` is, or on the host where that device has no float64; views
        where that can be had.

    Raises:
        DataError: If the shapes of the examples differ, if examples are too few, or if a value is not finite.
    """
    if samples.shape[1:] != reference.shape[1:]:
        raise DataError(
            f"Samples of shape {tuple(samples.shape[1:])} cannot be compared with a reference of shape "
            f"{tuple(reference.shape[1:])}: give both the same shape and units."
        )
    device = torch.device("cpu") if samples.device.type == "mps" else samples.device
    rows = []
    for name, x in (("samples", samples), ("reference", reference)):
        if len(x) < least:
            raise DataError(f"The {name} hold {len(x)} of the {least} or more examples that this metric needs.")
        x = x.detach().to(device).reshape(len(x), -1)
        finite = x.isfinite().all(dim=1)
        if not finite.all():
            first = int((~finite).nonzero()[0])
            raise DataError(
                f"{int((~finite).sum())} of {len(x)} examples of the {name} hold a value that is not finite, the first "
                f"is number {first}, counted from 0: leave them out or find out why."
            )
        rows.append(x)
    return rows[0], rows[1]
