"""Transforms: invertible maps between a source's own units and the units that a model sees.

    standardise   y = (x - mean) / std
    range         y = low + (high - low) x               x in [0, 1]
    dequantise    y = ((L - 1) x + u) / L                x = k / (L - 1), u uniform in [0, 1)
    logit         y = log(s / (1 - s)),  s = alpha + (1 - 2 alpha) x

Each acts on every value of an example by itself, so its log-determinant is a sum over the values.
"""

import math
from typing import Annotated, Literal

import torch
from annotated_types import Gt, Interval
from torch import Tensor

from fokker.component import component
from fokker.data import Transform
from fokker.errors import ConfigError, DataError
from fokker.noise import Noise

__all__ = ["Dequantise", "Logit", "Range", "Standardise"]

ROWS = 4096  # examples looked at together while fitting, so that the float64 copies stay small


@component
class Standardise(Transform):
    """Shift and scale to mean 0 and standard deviation 1.

        y = (x - mean) / std

    The statistics are those of the fitted examples, summed in float64; `std` divides by their number N. A feature
    that is constant over the examples is only shifted: its `std` is 1.

    Args:
        mean: What is subtracted: one number, or one per channel; none until fitted.
        std: What is divided by, of the length of `mean`; none until fitted.
        per: `channel` takes statistics over the examples and all but the first dimension of an event (so per feature
            where an event has one dimension), `all` takes one mean and one std over everything.
    """

    mean: tuple[float, ...] | None = None
    std: tuple[Annotated[float, Gt(0)], ...] | None = None
    per: Literal["all", "channel"] = "channel"

    def __post_init__(self) -> None:
        if (self.mean is None) != (self.std is None):
            raise ConfigError("Standardise takes mean and std together, got one of them: leave out both to fit.")
        if self.mean is not None and self.std is not None:
            if len(self.mean) != len(self.std):
                raise ConfigError(
                    f"Standardise.std must have the length of mean, {len(self.mean)}, got {len(self.std)} values."
                )
            if self.per == "all" and len(self.mean) != 1:
                raise ConfigError(f"Standardise(per=all) takes one mean and one std, got {len(self.mean)}.")

    @property
    def wants_examples(self) -> bool:
        """Whether its statistics were not given."""
        return self.mean is None

    def fit(self, x: Tensor) -> "Standardise":
        """The same transform with the mean and std of examples (N, *D); given values stay as they are.

        Raises:
            DataError: If there are no examples, or a value is not finite.
        """
        if self.mean is not None:
            return self
        if not x.numel():
            raise DataError(f"Standardise cannot be fitted on examples of shape {tuple(x.shape)}: there are no values.")
        groups = [self._grouped(block) for block in torch.split(x, ROWS)]
        count = sum(g.shape[1] for g in groups)
        mean = torch.stack([g.double().sum(1) for g in groups]).sum(0) / count
        squares = torch.stack([(g.double() - mean[:, None]).square().sum(1) for g in groups]).sum(0)
        std = (squares / count).sqrt()
        low = torch.stack([g.amin(1) for g in groups]).amin(0)
        high = torch.stack([g.amax(1) for g in groups]).amax(0)
        # The rounded mean of equal values need not be that value, so a constant is told by its range.
        std = torch.where((low == high) | (std == 0), torch.ones_like(std), std)
        if not (mean.isfinite() & std.isfinite()).all():
            raise DataError("Standardise cannot be fitted: the examples hold values that are not finite.")
        return Standardise(mean=tuple(mean.tolist()), std=tuple(std.tolist()), per=self.per)

    def forward(self, x: Tensor, noise: Noise) -> Tensor:
        """`(x - mean) / std`, (B, *D); draws nothing.

        Raises:
            ConfigError: If it is not fitted, or fitted for another number of channels.
        """
        mean, std = self._statistics(x)
        return (x - mean) / std

    def inverse(self, y: Tensor) -> Tensor:
        """`mean + std y`, (B, *D)."""
        mean, std = self._statistics(y)
        return mean + std * y

    def log_det(self, x: Tensor) -> Tensor:
        """`-sum log std` over the values of an event, (B,)."""
        _, std = self._statistics(x)
        per_event = -std.log().expand(x.shape[1:]).sum()
        return per_event.expand(x.shape[0])

    def _grouped(self, x: Tensor) -> Tensor:
        """Examples (N, *D) as (groups, values of the group)."""
        return x.reshape(1, -1) if self.per == "all" else x.movedim(1, 0).reshape(x.shape[1], -1)

    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.mean is None or self.std is None:
            raise ConfigError("Standardise has no mean and std yet: fit it on examples, or give both.")
        if self.per == "channel" and len(self.mean) != x.shape[1]:
            raise ConfigError(
                f"Standardise has {len(self.mean)} means, one per channel; examples of shape {tuple(x.shape[1:])} have "
                f"{x.shape[1]}: fit it on this data."
            )
        shape = (-1, *[1] * (x.ndim - 2))
        mean, std = (torch.tensor(v, dtype=x.dtype, device=x.device).reshape(shape) for v in (self.mean, self.std))
        return mean, std


@component
class Range(Transform):
    """Map [0, 1] linearly to [low, high].

        y = low + (high - low) x

    Values outside [0, 1] follow the same line.

    Args:
        low: Where 0 goes.
        high: Where 1 goes; greater than `low`.
    """

    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if self.high <= self.low:
            raise ConfigError(f"Range.high must be greater than low = {self.low}, got {self.high}.")

    def forward(self, x: Tensor, noise: Noise) -> Tensor:
        """`low + (high - low) x`, (B, *D); draws nothing."""
        return self.low + (self.high - self.low) * x

    def inverse(self, y: Tensor) -> Tensor:
        """`(y - low) / (high - low)`, (B, *D)."""
        return (y - self.low) / (self.high - self.low)

    def log_det(self, x: Tensor) -> Tensor:
        """`dim log(high - low)`, (B,)."""
        return x.new_full((x.shape[0],), x[0:1].numel() * math.log(self.high - self.low))


@component
class Dequantise(Transform):
    """Fill the gaps between the levels of quantised values with uniform noise (Theis et al., 2016, sec. 3.1).

        y = ((L - 1) x + u) / L,    u uniform in [0, 1)

    A level `x = k / (L - 1)` becomes uniform in [k/L, (k+1)/L). The inverse rounds down, so it returns exactly the
    level that went in: `forward` keeps a result that rounding would carry over the edge of its cell inside of it.

    Args:
        levels: Number L of levels; 256 for 8-bit images in [0, 1], 17 for the embedded digits.
    """

    levels: Annotated[int, Interval(ge=2, le=65536)] = 256

    def fit(self, x: Tensor) -> "Dequantise":
        """Check that examples (N, *D) are on the levels.

        Raises:
            DataError: If a value is not `k / (L - 1)` with k = 0, ..., L - 1.
        """
        for block in torch.split(x, ROWS):
            k = (self.levels - 1) * block
            off = ~(((k - k.round()).abs() <= self._margin(x)) & (k.round() >= 0) & (k.round() < self.levels))
            if off.any():
                raise DataError(
                    f"Dequantise(levels={self.levels}) needs values k/{self.levels - 1} in [0, 1], the examples hold "
                    f"{block[off][0].item():.6g}: set levels to the number of values that the data can take."
                )
        return self

    def forward(self, x: Tensor, noise: Noise) -> Tensor:
        """`((L - 1) x + u) / L`, (B, *D)."""
        k = (self.levels - 1) * x
        v = k + noise.uniform(x)
        level = k.detach().round()
        margin = self._margin(x)
        # u = 0 and u = 1 - 2^-24 round out of [k, k + 1); so do the divisions of whoever comes next.
        inside = torch.where((k - level).abs() <= margin, v.clamp(level + margin, level + 1 - margin), v)
        return (v + (inside - v).detach()) / self.levels

    def inverse(self, y: Tensor) -> Tensor:
        """The level `floor(L y) / (L - 1)`, (B, *D); values outside [0, 1) go to the nearest level."""
        return (self.levels * y).floor().clamp(0, self.levels - 1) / (self.levels - 1)

    def log_det(self, x: Tensor) -> Tensor:
        """`dim log((L - 1) / L)`, (B,)."""
        return x.new_full((x.shape[0],), x[0:1].numel() * math.log1p(-1 / self.levels))

    def log_cell(self, x: Tensor) -> Tensor:
        """`-dim log(L - 1)`, from the distance 1/(L - 1) of two levels, (B,)."""
        return x.new_full((x.shape[0],), -x[0:1].numel() * math.log(self.levels - 1))

    def _margin(self, x: Tensor) -> float:
        """Distance that rounding can move `L y` by, with room for a transform that follows."""
        return min(4 * self.levels * torch.finfo(x.dtype).eps, 0.25)


@component
class Logit(Transform):
    """Map [0, 1] to the whole line (Dinh et al., 2017, sec. 4.1).

        y = log s - log(1 - s),    s = alpha + (1 - 2 alpha) x

    Dinh et al. write `alpha + (1 - alpha) x`, which sends x = 1 to infinity; this is the symmetrical form.

    Args:
        alpha: Distance that 0 and 1 keep from the ends of the open interval, in (0, 0.5).
    """

    alpha: Annotated[float, Interval(gt=0, lt=0.5)] = 1e-6

    def fit(self, x: Tensor) -> "Logit":
        """Check that examples (N, *D) are in [0, 1].

        Raises:
            DataError: If a value is outside.
        """
        if x.numel():
            low, high = x.aminmax()
            if not (low >= 0 and high <= 1):
                raise DataError(
                    f"Logit needs values in [0, 1], the examples reach from {low.item():.6g} to {high.item():.6g}: "
                    f"place it before transforms that leave [0, 1]."
                )
        return self

    def forward(self, x: Tensor, noise: Noise) -> Tensor:
        """`log s - log(1 - s)`, (B, *D); draws nothing."""
        log_s, log_r = self._logs(x)
        return log_s - log_r

    def inverse(self, y: Tensor) -> Tensor:
        """`(sigmoid(y) - alpha) / (1 - 2 alpha)`, (B, *D)."""
        return (y.sigmoid() - self.alpha) / (1 - 2 * self.alpha)

    def log_det(self, x: Tensor) -> Tensor:
        """`sum log(1 - 2 alpha) - log s - log(1 - s)`, (B,)."""
        log_s, log_r = self._logs(x)
        return (math.log1p(-2 * self.alpha) - log_s - log_r).flatten(1).sum(1)

    def _logs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`log s` and `log(1 - s)`; the latter from 1 - x, which keeps its digits near x = 1."""
        scale = 1 - 2 * self.alpha
        return (self.alpha + scale * x).log(), (self.alpha + scale * (1 - x)).log()
