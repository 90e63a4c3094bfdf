"""Noise that follows a Brownian path for each sample.

torchsde's Brownian interval is a path that is known nowhere until it is asked about: increments are cut out of those of
longer stretches by the Brownian bridge, with numbers that a seed of each stretch decides (Kidger et al., 2021, section
4). Only over the halves of halves of the whole, `halfway_tree`, is its answer independent of what was asked before.
"""

from collections.abc import Sequence
from math import ceil, prod
from typing import Annotated

import torch
from annotated_types import Interval
from fokker.component import component
from fokker.errors import ConfigError
from fokker.noise import Noise, Path, PerSample, Time
from fokker.noise_source import NoiseClaims, NoiseSource
from torch import Tensor
from torchsde import BrownianInterval

__all__ = ["Brownian", "BrownianNoise", "drawn_path", "interval"]

_BLOCK_NUMEL = 4096
"""Numbers that share a path's tree: a tree for each sample of the plane would cost a thousand times as much."""
_BITS, _ENTROPY = 24, 96
"""Bits of a uniform number in float32, and those that decide a path that is drawn."""
_DIGITS = 9
"""Decimals to which times are told apart, unless said otherwise."""
_CACHE = 128
"""Stretches that a tree remembers; a step needs the ends of its own and all above them, twice the tree's depth."""


def interval(size: tuple[int, ...], entropy: int, digits: int | None) -> BrownianInterval:
    """A path over [0, 1] with its time integrals, float64 on the host.

    torchsde rounds times to decimals, as many as the logarithm of `tol` has whole ones.

    Args:
        size: Shape of its values.
        entropy: Decides all its numbers, at least 0.
        digits: Decimals to which times are told apart, by a tree of halves, so that the path is the same whatever was
            asked before; None for any times, and a path that is decided by the entropy and by all that was asked.
    """
    halves = {} if digits is None else {"halfway_tree": True, "tol": 10.0 ** -(digits + 0.5), "cache_size": _CACHE}
    return BrownianInterval(
        t0=0.0,
        t1=1.0,
        size=size,
        dtype=torch.float64,
        entropy=entropy,
        levy_area_approximation="space-time",
        **halves,
    )


def drawn_path(x: Tensor, noise: Noise, *, refines: bool) -> Path:
    """A path for each of some samples, decided by uniform numbers that are drawn for them.

    Args:
        x: A tensor like their states, (A, *D).
        noise: Where the numbers are drawn from.
        refines: Whether the path is the same whatever is asked of it.
    """
    numel = x[0].numel()
    like = torch.empty_like(x, dtype=torch.float32)  # the same numbers for states of any precision
    draws = [noise.uniform(like).flatten(1) for _ in range(ceil(_ENTROPY / (_BITS * numel)))]
    numbers = (torch.cat(draws, 1)[:, : _ENTROPY // _BITS].cpu().double() * 2**_BITS).long().tolist()
    digits = _DIGITS if refines else None
    paths = [interval((numel,), sum(n << _BITS * k for k, n in enumerate(row)), digits) for row in numbers]

    def asked(t: float, s: float) -> tuple[Tensor, Tensor]:
        a, b = 1 - t, 1 - s
        if refines:
            a, b = round(a, _DIGITS), round(b, _DIGITS)
        if not a < b:
            return torch.zeros_like(x), torch.zeros_like(x)
        pairs = [path(a, b, return_U=True) for path in paths]
        w, u = (torch.stack(values).reshape(x.shape).to(dtype=x.dtype) for values in zip(*pairs, strict=True))
        return w.to(x.device), u.to(x.device)

    return asked


@component
class Brownian(NoiseSource):
    """A Brownian path for each sample, by torchsde's Brownian interval (Kidger et al., 2021, section 4).

        z = (w(t) - w(s)) / sqrt(t - s),    w over the times from 1 down to 0

    A step sees what the path gains over it, so a grid with more steps refines the same path, and all samplers that are
    told of times are comparable path by path. Starts and correctors, which no path belongs to, draw as `independent`
    does, so the same seed has the same starts. Paths are made in float64 on the host: they are the same for every
    device and precision. What they were asked before makes no difference.

    A path is walked down once. What goes back up in time and down again is refused, and so are samplers with steps of
    each sample's own: they would see the same noise as though it were new.

    Args:
        digits: Decimals to which times are told apart; fewer cost less, and steps add up to those of a coarser grid
            within some such decimal only. A shorter step draws as `independent` does.
    """

    digits: Annotated[int, Interval(ge=3, le=12)] = _DIGITS

    @property
    def claims(self) -> NoiseClaims:
        """To be a path, where times are told apart finely enough for steps to add up to single precision."""
        return NoiseClaims(path=self.digits >= _DIGITS)

    def open(
        self,
        seed: int,
        index: Sequence[int],
        event_shape: Sequence[int],
        *,
        device: torch.device | str = "cpu",
        separate: bool = False,
    ) -> "BrownianNoise":
        """The paths of some samples; not for samplers that advance rows separately."""
        if separate:
            raise ConfigError(
                "The noise 'brownian' is walked by the whole batch from time to time of the grid, and this sampler has "
                "steps of each sample's own; leave --noise out ('torchsde-adaptive' walks a path of its own anyway)."
            )
        return BrownianNoise(seed, index, event_shape, device=device, digits=self.digits)


class BrownianNoise(Noise):
    """The paths of some samples.

    Args:
        seed: Any integer.
        index: Absolute indices of the batch's rows.
        event_shape: Shape `*D` of one state.
        device: Where states are.
        digits: See `Brownian`.
    """

    def __init__(
        self,
        seed: int,
        index: Sequence[int],
        event_shape: Sequence[int],
        *,
        device: torch.device | str = "cpu",
        digits: int = _DIGITS,
    ) -> None:
        self._others = PerSample(seed, index, event_shape, device=device)
        self._digits, self._passed = digits, 0.0
        numel = prod(event_shape)
        block = max(1, _BLOCK_NUMEL // max(1, numel))
        numbers = sorted({i // block for i in index})
        place = {number: k for k, number in enumerate(numbers)}
        # 64 bits of the seed above 64 of the block: no two blocks of any two seeds share a path
        high = (seed & 0xFFFFFFFFFFFFFFFF) << 64
        self._paths = [interval((block, numel), high | number, digits) for number in numbers]
        self._rows = torch.tensor([place[i // block] * block + i % block for i in index], dtype=torch.int64)

    def __call__(self, x: Tensor, t: Time | None = None, s: Time | None = None) -> Tensor:
        """What the path gains from `t` down to `s`, over sqrt(t - s); for anything else a draw of its own."""
        found = self._over(x, t, s)
        return self._others(x, t, s) if found is None else found[0]

    def integral(self, x: Tensor, t: Time | None = None, s: Time | None = None) -> tuple[Tensor, Tensor]:
        """The same, with the integral of what it gained since `t`, over (t - s)^(3/2)."""
        found = self._over(x, t, s)
        return self._others.integral(x, t, s) if found is None else found

    def path(self, x: Tensor) -> Path | None:
        """The paths, which may be asked about any stretch, any number of times; None where times are too coarse."""
        if self._digits < _DIGITS:
            return None

        def asked(t: float, s: float) -> tuple[Tensor, Tensor]:
            a, b = (round(1 - time, self._digits) for time in (t, s))
            if b <= a:
                return torch.zeros_like(x), torch.zeros_like(x)
            w, u = self._asked(x, a, b)
            return self._like(w, x), self._like(u, x)

        return asked

    def uniform(self, x: Tensor) -> Tensor:
        """Numbers of their own."""
        return self._others.uniform(x)

    def rows(self, index: Tensor) -> Noise:
        """Not to be had: rows that are advanced separately do not walk the path from time to time.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError("Brownian paths belong to the whole batch and cannot serve some of its rows.")

    def _over(self, x: Tensor, t: Time | None, s: Time | None) -> tuple[Tensor, Tensor] | None:
        """Increment and integral of a step down, scaled; None where there is none.

        Raises:
            ConfigError: If the step's times are not one for the batch, or if the path has been walked there already.
        """
        if t is None or s is None:
            return None
        if any(isinstance(time, Tensor) and time.ndim for time in (t, s)):
            raise ConfigError("The noise 'brownian' has one time for the whole batch; leave --noise out.")
        a, b = (round(1 - float(time), self._digits) for time in (t, s))
        if b <= a:
            return None
        if a < self._passed:  # `path` is for what asks twice on purpose
            raise ConfigError(
                f"The noise 'brownian' was walked down to t = {1 - self._passed:.6g} and is asked for the step from "
                f"{float(t):.6g} to {float(s):.6g}: a sampler that goes back up would see it twice. Leave --noise out."
            )
        self._passed = b
        w, u = self._asked(x, a, b)
        return self._like(w / (b - a) ** 0.5, x), self._like(u / (b - a) ** 1.5, x)

    def _asked(self, x: Tensor, a: float, b: float) -> tuple[Tensor, Tensor]:
        pairs = [path(a, b, return_U=True) for path in self._paths]
        w, u = (torch.cat(values)[self._rows].reshape(x.shape) for values in zip(*pairs, strict=True))
        return w, u

    @staticmethod
    def _like(values: Tensor, x: Tensor) -> Tensor:
        return values.to(dtype=x.dtype).to(x.device)  # cast on the host: not every device has float64
