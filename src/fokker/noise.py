"""Noise: the only source of randomness of samplers, objectives and transforms.

A noise source is called with the state and the times of the step that it serves, `noise(x, t, s)`, and answers with
standard normal numbers of the state's shape, dtype and device. Nothing draws from a global generator.

`PerSample` makes sample `i` depend on the seed and on `i` alone. Samples lie in blocks by their absolute index; each
block has a generator of its own, whole blocks are drawn and then cut, so that neither the batch size nor the
neighbours matter. A generator for each single sample would cost 200 times as much for small data.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from math import prod, sqrt
from typing import TypeAlias

import torch
from torch import Tensor

__all__ = ["Noise", "Path", "PerSample", "Recorded", "Seeded", "SilentEnd", "Time", "Zero", "block_seed"]

_BLOCK_NUMEL = 4096
_MASK = 0xFFFFFFFF

Time = Tensor | float

Path: TypeAlias = Callable[[float, float], tuple[Tensor, Tensor]]
"""A Brownian path, asked from a time down to an earlier one: W and int W as in `Noise.integral`, but not divided by
powers of the step's length, (B, *D) each. It may be asked about any stretch, any number of times, and says the same."""


class Noise(ABC):
    """A source of random numbers for a batch of states."""

    @abstractmethod
    def __call__(self, x: Tensor, t: Time | None = None, s: Time | None = None) -> Tensor:
        """Standard normal numbers like `x`, (B, *D), for the step from `t` to `s`.

        A source that represents a Brownian path returns its increment over [s, t] divided by sqrt(t - s); others
        ignore the times.
        """

    def integral(self, x: Tensor, t: Time | None = None, s: Time | None = None) -> tuple[Tensor, Tensor]:
        """The increment of a Brownian path over the step from `t` to `s`, and the path's integral over its time.

            z = W(h) / h^(1/2),    y = (int_0^h W(r) dr) / h^(3/2),    h = t - s,    W(0) = 0 at `t`
            Var z = 1,    Var y = 1/3,    Cov(z, y) = 1/2

        What schemes of a strong order above 1 need (Kloeden & Platen, 1992, eq. 10.4.3). Both have the state's shape,
        (B, *D). Two draws make the pair, y = z / 2 + u / sqrt(12); a source that represents a Brownian path returns
        the path's own pair instead.
        """
        z, u = self(x, t, s), self(x, t, s)
        return z, z / 2 + u / sqrt(12)

    def path(self, x: Tensor) -> Path | None:
        """The Brownian path behind the draws, for samplers that try steps before they take them; None if there is none.

        Args:
            x: A tensor like the states, (B, *D).
        """
        return None

    def add_to(self, x: Tensor, factor: float, t: Time | None = None, s: Time | None = None) -> Tensor:
        """x + factor z for a draw z, written over `x`, (B, *D); a source may draw z where nobody sees it."""
        return x.add_(self(x, t, s), alpha=factor)

    @abstractmethod
    def uniform(self, x: Tensor) -> Tensor:
        """Numbers uniform in [0, 1) like `x`, (B, *D) or (B,)."""

    def rademacher(self, x: Tensor) -> Tensor:
        """-1 or 1 with equal probability, like `x`, (B, *D)."""
        return (self.uniform(x) < 0.5).to(x.dtype) * 2 - 1

    @abstractmethod
    def rows(self, index: Tensor) -> "Noise":
        """The source of some rows of the batch, int64 (n,), for samplers that advance rows separately.

        Draws for some rows leave the numbers that other rows will see untouched, if the source was made for it.
        """

    @property
    def final(self) -> "Noise":
        """The source for the very last update of a trajectory: silent where the end was asked to be a mean."""
        return self


class Zero(Noise):
    """No noise: every draw is zero (uniform draws are 1/2)."""

    def __call__(self, x: Tensor, t: Time | None = None, s: Time | None = None) -> Tensor:
        """Zeros."""
        return torch.zeros_like(x)

    def uniform(self, x: Tensor) -> Tensor:
        """1/2."""
        return torch.full_like(x, 0.5)

    def rows(self, index: Tensor) -> "Noise":
        """The same source."""
        return self


class SilentEnd(Noise):
    """Another source whose very last update is without noise, which makes the end a mean.

    Args:
        noise: The source of all other updates.
    """

    def __init__(self, noise: Noise) -> None:
        self._noise = noise

    def __call__(self, x: Tensor, t: Time | None = None, s: Time | None = None) -> Tensor:
        """The other source's numbers."""
        return self._noise(x, t, s)

    def integral(self, x: Tensor, t: Time | None = None, s: Time | None = None) -> tuple[Tensor, Tensor]:
        """The other source's pair."""
        return self._noise.integral(x, t, s)

    def path(self, x: Tensor) -> Path | None:
        """The other source's path."""
        return self._noise.path(x)

    def add_to(self, x: Tensor, factor: float, t: Time | None = None, s: Time | None = None) -> Tensor:
        """The other source's sum."""
        return self._noise.add_to(x, factor, t, s)

    def uniform(self, x: Tensor) -> Tensor:
        """The other source's numbers."""
        return self._noise.uniform(x)

    def rows(self, index: Tensor) -> "Noise":
        """The same for some rows."""
        return SilentEnd(self._noise.rows(index))

    @property
    def final(self) -> Noise:
        """Zero."""
        return Zero()


class Recorded(Noise):
    """Draws that were recorded beforehand, in the order in which they are asked for.

    Args:
        draws: Tensors like the state; normal, uniform and Rademacher draws alike take the next one.
    """

    def __init__(self, draws: Sequence[Tensor] | Tensor) -> None:
        self._draws: Iterator[Tensor] = iter(draws)

    def _next(self, x: Tensor) -> Tensor:
        draw = next(self._draws, None)
        if draw is None:
            raise IndexError("More random draws were asked for than were recorded.")
        if draw.shape != x.shape:
            raise ValueError(f"A draw of shape {tuple(draw.shape)} was recorded; {tuple(x.shape)} was asked for.")
        return draw.to(x.device, x.dtype)

    def __call__(self, x: Tensor, t: Time | None = None, s: Time | None = None) -> Tensor:
        """The next draw."""
        return self._next(x)

    def uniform(self, x: Tensor) -> Tensor:
        """The next draw."""
        return self._next(x)

    def rademacher(self, x: Tensor) -> Tensor:
        """The next draw."""
        return self._next(x)

    def rows(self, index: Tensor) -> "Noise":
        """Not to be had: a record is of the whole batch."""
        raise ValueError("Recorded draws belong to the whole batch and cannot serve some of its rows.")


class Seeded(Noise):
    """One generator for the whole batch: fastest, but the numbers of a sample depend on its batch.

    Args:
        seed: Any integer.
        device: Where the generator lives; states must be there too.
    """

    def __init__(self, seed: int, device: torch.device | str = "cpu") -> None:
        self._generator = _generator(block_seed(seed, 0), device)

    def __call__(self, x: Tensor, t: Time | None = None, s: Time | None = None) -> Tensor:
        """The generator's next normal numbers."""
        return torch.empty_like(x, memory_format=torch.contiguous_format).normal_(generator=self._generator)

    def uniform(self, x: Tensor) -> Tensor:
        """The generator's next uniform numbers."""
        return torch.empty_like(x, memory_format=torch.contiguous_format).uniform_(generator=self._generator)

    def rows(self, index: Tensor) -> "Noise":
        """The same source."""
        return self


class PerSample(Noise):
    """Numbers that depend on the seed and the absolute index of a sample, not on its batch.

    Args:
        seed: Any integer; two seeds, and two streams of a seed, give unrelated numbers.
        index: Absolute indices of the batch's rows, each at least 0: a range or a list.
        event_shape: Shape `*D` of one state.
        device: Where numbers are drawn; the same device kind gives the same numbers bit for bit.
        stream: Separates uses of one seed, such as training steps.
        block: Samples that share a generator; `max(1, 4096 // numel)` unless given. A different block size is a
            different set of numbers. 1 lets `rows` advance single samples.
    """

    def __init__(
        self,
        seed: int,
        index: Sequence[int],
        event_shape: Sequence[int],
        *,
        device: torch.device | str = "cpu",
        stream: int = 0,
        block: int | None = None,
    ) -> None:
        numel = prod(event_shape)
        self._block = block or max(1, _BLOCK_NUMEL // max(1, numel))
        self._size = len(index)
        self._device = torch.device(device)
        numbers = sorted({i // self._block for i in index})
        slot = {number: k for k, number in enumerate(numbers)}
        self._generators = [_generator(block_seed(seed, number, stream), self._device) for number in numbers]
        rows = [slot[i // self._block] * self._block + i % self._block for i in index]
        first = rows[0] if rows else 0
        # a run of neighbours is a slice, which costs no copy
        self._cut: slice | Tensor = (
            slice(first, first + len(rows))
            if rows == list(range(first, first + len(rows)))
            else torch.tensor(rows, device=self._device)
        )
        self._kept: Tensor | None = None

    def _draw(self, x: Tensor, *, normal: bool, keep: bool = False) -> Tensor:
        if x.shape[0] != self._size:
            raise ValueError(f"This noise was made for {self._size} samples; the state has {x.shape[0]}.")
        event = x.shape[1:]
        # the buffer is laid out by sample, whatever the memory format of x
        whole = self._kept if keep else None
        if whole is None or whole.dtype != x.dtype or whole.shape[1:] != event:
            whole = torch.empty((len(self._generators) * self._block, *event), dtype=x.dtype, device=self._device)
            if keep:
                self._kept = whole
        parts = whole.split(self._block) if len(self._generators) > 1 else (whole,) * len(self._generators)
        for part, generator in zip(parts, self._generators, strict=True):
            if normal:
                part.normal_(generator=generator)
            else:
                part.uniform_(generator=generator)
        drawn = whole if self._cut == slice(0, len(whole)) else whole[self._cut]
        return drawn if drawn.device == x.device else drawn.to(x.device)

    def __call__(self, x: Tensor, t: Time | None = None, s: Time | None = None) -> Tensor:
        """Each sample's next normal numbers."""
        return self._draw(x, normal=True)

    def add_to(self, x: Tensor, factor: float, t: Time | None = None, s: Time | None = None) -> Tensor:
        """The sum with each sample's next normal numbers, drawn into the same memory every time."""
        if type(self).__call__ is not PerSample.__call__:  # a subclass that draws in its own way
            return super().add_to(x, factor, t, s)
        return x.add_(self._draw(x, normal=True, keep=True), alpha=factor)

    def uniform(self, x: Tensor) -> Tensor:
        """Each sample's next uniform numbers."""
        return self._draw(x, normal=False)

    def rows(self, index: Tensor) -> "Noise":
        """The source of some rows; it shares their generators, so it takes `block=1`."""
        if self._block != 1:
            raise ValueError("Rows can be advanced separately only with PerSample(block=1).")
        view = object.__new__(PerSample)
        order = range(self._size)[self._cut] if isinstance(self._cut, slice) else self._cut.tolist()
        view._block, view._size, view._device, view._kept = 1, len(index), self._device, None
        view._generators = [self._generators[order[i]] for i in index.tolist()]
        view._cut = slice(0, len(index))
        return view


def block_seed(seed: int, block: int, stream: int = 0) -> int:
    """A 32-bit seed for each block: a bijection of the block number, keyed by the seed and the stream.

    Within one seed and stream no two of the first 2^32 blocks share a generator's seed, as two of a hash's values
    would after some 2^16 of them. (`torch.Generator.manual_seed` reads the low 32 bits only.) Each round multiplies
    by an odd number, adds, and folds the high half onto the low one, all of which can be undone.
    """
    key = _mix64((seed & 0xFFFFFFFFFFFFFFFF) ^ _mix64(stream + 0x9E3779B97F4A7C15))
    h = block & _MASK
    for _ in range(3):
        key = _mix64(key + 0x9E3779B97F4A7C15)
        h = (h * ((key & _MASK) | 1) + (key >> 32)) & _MASK
        h ^= h >> 16
    return h


def _mix64(z: int) -> int:
    """The finaliser of SplitMix64 (Steele et al., 2014)."""
    z &= 0xFFFFFFFFFFFFFFFF
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return z ^ (z >> 31)


def _generator(seed: int, device: torch.device | str) -> torch.Generator:
    generator = torch.Generator(device=device)
    generator.manual_seed(seed)
    return generator
