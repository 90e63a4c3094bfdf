"""Noise sources by name: where the random numbers of samples come from.

A source is opened for some samples and answers with their `Noise`. Which numbers a sample sees is decided by the seed
and by its absolute index, by nothing else.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from fokker.component import component
from fokker.noise import Noise, PerSample

__all__ = ["Independent", "NoiseClaims", "NoiseSource"]


@dataclass(frozen=True)
class NoiseClaims:
    """What a noise source claims of itself and the tests measure.

    Args:
        path: Whether the draws for steps down a grid are the increments of one Brownian path for each sample, so that
            a grid with more steps sees more of the same path.
    """

    path: bool = False


class NoiseSource(ABC):
    """Where the random numbers of samples come from; subclasses are components (`@component`)."""

    kind: ClassVar[str] = "noise"

    @property
    def claims(self) -> NoiseClaims:
        """What the source claims; nothing unless a subclass says so."""
        return NoiseClaims()

    @abstractmethod
    def open(
        self,
        seed: int,
        index: Sequence[int],
        event_shape: Sequence[int],
        *,
        device: torch.device | str = "cpu",
        separate: bool = False,
    ) -> Noise:
        """The noise of some samples, at the beginning of their numbers.

        Args:
            seed: Any integer.
            index: Absolute indices of the batch's rows, each at least 0.
            event_shape: Shape `*D` of one state.
            device: Where states are.
            separate: Whether the sampler advances rows separately, so that `Noise.rows` is wanted.

        Raises:
            ConfigError: If rows are to be advanced separately and the source has no such numbers.
        """


@component
class Independent(NoiseSource):
    """Every draw is independent of all others, whatever the times of its step: `fokker.noise.PerSample`."""

    def open(
        self,
        seed: int,
        index: Sequence[int],
        event_shape: Sequence[int],
        *,
        device: torch.device | str = "cpu",
        separate: bool = False,
    ) -> Noise:
        """Numbers per sample; a generator for each of them where rows are advanced separately."""
        return PerSample(seed, index, event_shape, device=device, block=1 if separate else None)
