"""Transforms with one defect each."""

import math

import torch

from fokker import component
from fokker.data import Transform
from fokker.errors import ConfigError
from fokker_data.transforms import Dequantise, Logit, Range, Standardise


@component
class LogitWithoutLogDet(Logit):
    def log_det(self, x):
        return x.new_zeros(len(x))


@component
class DequantiseWithoutLogDet(Dequantise):
    def log_det(self, x):
        return x.new_zeros(len(x))


@component
class DequantiseWithoutCell(Dequantise):
    def log_cell(self, x):
        return None


@component
class CellOfBytes(Dequantise):
    """Takes the levels to be one apart."""

    def log_cell(self, x):
        return x.new_zeros(len(x))


@component
class EmptyCell(Range):
    """Says of a cell that nothing fills."""

    def log_cell(self, x):
        return x.new_zeros(len(x))


@component
class MeanLogDet(Logit):
    def log_det(self, x):
        return super().log_det(x) / x[0].numel()


@component
class SummedLogDet(Logit):
    def log_det(self, x):
        return super().log_det(x).sum()


@component
class OffAtOne(Dequantise):
    """A level of 1.0 is the last but one."""

    def inverse(self, y):
        return (self.levels * y).floor().clamp(0, self.levels - 2) / (self.levels - 1)


@component
class Rounding(Dequantise):
    """Rounds to the nearest level where it should round down."""

    def inverse(self, y):
        return (self.levels * y).round().clamp(0, self.levels - 1) / (self.levels - 1)


@component
class OutOfItsCell(Dequantise):
    """Lets rounding carry a draw of almost 1 into the next level."""

    def forward(self, x, noise):
        return ((self.levels - 1) * x + noise.uniform(x)) / self.levels


@component
class GlobalNoise(Dequantise):
    def forward(self, x, noise):
        return ((self.levels - 1) * x + torch.rand_like(x)) / self.levels


@component
class Infinite(Logit):
    """Sends the ends to infinity."""

    def forward(self, x, noise):
        return x.log() - (1 - x).log()


@component
class Refitting(Standardise):
    """Forgets the mean and std that it has."""

    def fit(self, x):
        fitted = Standardise(per=self.per).fit(x)
        return Refitting(fitted.mean, fitted.std, self.per)


@component
class OverTheBatch(Standardise):
    """Takes its statistics from the batch."""

    def fit(self, x):
        return self

    def forward(self, x, noise):
        return (x - x.mean(0)) / x.std(0, correction=0)


@component
class InPlace(Range):
    def forward(self, x, noise):
        return x.mul_(self.high - self.low).add_(self.low)


@component
class Pictures(Range):
    """Knows three dimensions alone."""

    def forward(self, x, noise):
        return super().forward(x, noise).reshape(len(x), x.shape[1], -1) if x.ndim == 5 else super().forward(x, noise)


@component
class Unstored(Transform):
    """Subtracts the mean, which it keeps as a tensor."""

    mean: torch.Tensor | None = None

    def fit(self, x):
        return self if self.mean is not None else Unstored(x.double().mean().reshape(1))

    def forward(self, x, noise):
        if self.mean is None:
            raise ConfigError("fit it first")
        return x - self.mean.to(x.dtype)

    def inverse(self, y):
        return y + self.mean.to(y.dtype)

    def log_det(self, x):
        return x.new_zeros(len(x))


@component
class Deaf(Range):
    """Begins at -1 whatever `low` is."""

    def forward(self, x, noise):
        return (abs(self.high) + 1) * x - 1

    def inverse(self, y):
        return (y + 1) / (abs(self.high) + 1)

    def log_det(self, x):
        return x.new_full((len(x),), x[0].numel() * math.log1p(abs(self.high)))


MUTANTS = {
    "logit without its log-determinant": (Logit(), LogitWithoutLogDet(), "log-det[unit]"),
    "dequantises without its log-determinant": (Dequantise(), DequantiseWithoutLogDet(), "log-det[levels]"),
    "dequantises without a cell": (Dequantise(), DequantiseWithoutCell(), "cell[levels]"),
    "takes the levels to be one apart": (Dequantise(), CellOfBytes(), "cell[levels]"),
    "claims a cell that nothing fills": (Range(), EmptyCell(), "cell[reals]"),
    "averages the log-determinant over dimensions": (Logit(), MeanLogDet(), "log-det[unit]"),
    "sums the log-determinant over the batch": (Logit(), SummedLogDet(), "event-shape[16]"),
    "is off by one level at 1.0": (Dequantise(), OffAtOne(), "inverse[levels]"),
    "rounds to the nearest level": (Dequantise(), Rounding(), "inverse[levels]"),
    "lets a draw of almost 1 round into the next level": (Dequantise(), OutOfItsCell(), "inverse[levels]"),
    "uses the global generator": (Dequantise(), GlobalNoise(), "replayable"),
    "takes the ends and sends them to infinity": (Logit(), Infinite(), "maps-what-it-fits[unit]"),
    "forgets what was fitted": (Standardise(), Refitting(), "fitted-once"),
    "takes its statistics from the batch": (Standardise(), OverTheBatch(), "alone"),
    "writes into its input": (Range(), InPlace(), "input-untouched"),
    "flattens volumes": (Range(), Pictures(), "event-shape[1x8x9x10]"),
    "keeps what it fits as a tensor": (Standardise(), Unstored(), "stored"),
    "begins at -1 whatever low is": (Range(), Deaf(), "field[low]"),
}
