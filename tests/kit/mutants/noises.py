"""Noise sources with one defect each."""

import torch

from fokker import component
from fokker.noise import Noise, PerSample, Seeded
from fokker.noise_source import Independent, NoiseClaims, NoiseSource


class Walk(Noise):
    """Increments of a path that is known on 1152 steps from 0.9 to 0.1, and other numbers for what is no step down."""

    def __init__(self, base, seed, index, shape):
        self.base = base
        fine = [
            torch.randn(
                (2, 1152, *shape), dtype=torch.float64, generator=torch.Generator().manual_seed(seed * 99991 + i)
            )
            for i in index
        ]
        steps, bridges = torch.stack(fine, 2)
        zero = torch.zeros_like(steps[:1])
        self.walked = torch.cat([zero, steps.cumsum(0)])
        inside = self.walked[:-1] + steps / 2 + bridges / 12**0.5
        self.integrals = torch.cat([zero, inside.cumsum(0)])

    def integral(self, x, t=None, s=None):
        i, j = (round(1152 * (0.9 - float(time)) / 0.8) for time in (t, s))
        z = (self.walked[j] - self.walked[i]) / (j - i) ** 0.5
        y = (self.integrals[j] - self.integrals[i] - (j - i) * self.walked[i]) / (j - i) ** 1.5
        return z.to(x.dtype), y.to(x.dtype)

    def __call__(self, x, t=None, s=None):
        return self.base(x) if t is None or t <= s else self.integral(x, t, s)[0]

    def path(self, x):
        def asked(t, s):
            z, y = self.integral(x, t, s)
            return (t - s) ** 0.5 * z, (t - s) ** 1.5 * y

        return asked

    def uniform(self, x):
        return self.base.uniform(x)

    def rows(self, index):
        raise NotImplementedError


@component
class Path(NoiseSource):
    """A path that is known where the grids of the checks have their times."""

    @property
    def claims(self):
        return NoiseClaims(path=True)

    def open(self, seed, index, event_shape, *, device="cpu", separate=False):
        return Walk(PerSample(seed, index, event_shape), seed, index, event_shape)


class Anew(Walk):
    """A path that is another each time it is asked for."""

    def path(self, x):
        return lambda t, s: tuple(self.base.integral(x))


@component
class AnotherPath(Path):
    def open(self, seed, index, event_shape, *, device="cpu", separate=False):
        return Anew(PerSample(seed, index, event_shape), seed, index, event_shape)


@component
class OneGenerator(NoiseSource):
    """Numbers of the batch, not of the sample."""

    def open(self, seed, index, event_shape, *, device="cpu", separate=False):
        return Seeded(seed)


@component
class ForgetsTheSeed(Independent):
    def open(self, seed, index, event_shape, *, device="cpu", separate=False):
        return PerSample(0, index, event_shape)


class Global(PerSample):
    def uniform(self, x):
        return torch.rand_like(x)


@component
class GlobalUniform(Independent):
    def open(self, seed, index, event_shape, *, device="cpu", separate=False):
        return Global(seed, index, event_shape)


class Double(PerSample):
    def __call__(self, x, t=None, s=None):
        return super().__call__(x.double(), t, s)


@component
class AlwaysDouble(Independent):
    def open(self, seed, index, event_shape, *, device="cpu", separate=False):
        return Double(seed, index, event_shape)


class Increment(PerSample):
    """The increment itself, not divided by the root of the step."""

    def __call__(self, x, t=None, s=None):
        z = super().__call__(x, t, s)
        return z * (t - s) ** 0.5 if t is not None and t > s else z


@component
class NotScaled(Independent):
    def open(self, seed, index, event_shape, *, device="cpu", separate=False):
        return Increment(seed, index, event_shape)


class Same(PerSample):
    """One draw for all steps."""

    kept = None

    def __call__(self, x, t=None, s=None):
        if t is None:
            return super().__call__(x)
        self.kept = super().__call__(x) if self.kept is None else self.kept
        return self.kept


@component
class OneDrawForAll(Independent):
    def open(self, seed, index, event_shape, *, device="cpu", separate=False):
        return Same(seed, index, event_shape)


class Centred(PerSample):
    def uniform(self, x):
        return super().uniform(x) - 0.5


@component
class UniformAboutZero(Independent):
    def open(self, seed, index, event_shape, *, device="cpu", separate=False):
        return Centred(seed, index, event_shape)


class TwoDraws(PerSample):
    def integral(self, x, t=None, s=None):
        z, u = self(x, t, s), self(x, t, s)
        return z, u / 3**0.5


@component
class UnrelatedIntegral(Independent):
    """The right variances, and no covariance."""

    def open(self, seed, index, event_shape, *, device="cpu", separate=False):
        return TwoDraws(seed, index, event_shape)


@component
class NoPath(Independent):
    @property
    def claims(self):
        return NoiseClaims(path=True)


class Shared(PerSample):
    """Rows draw from the generators of all."""

    def rows(self, index):
        view = super().rows(index)
        self._draw(torch.zeros(self._size, 3), normal=True)
        return view


@component
class RowsDrawForAll(Independent):
    def open(self, seed, index, event_shape, *, device="cpu", separate=False):
        return Shared(seed, index, event_shape, block=1 if separate else None)


MUTANTS = {
    "draws for the batch": (Independent(), OneGenerator(), "sample-i-is-sample-i"),
    "forgets the seed": (Independent(), ForgetsTheSeed(), "replayable"),
    "draws uniform numbers from the global generator": (Independent(), GlobalUniform(), "global-generators-untouched"),
    "draws in double precision": (Independent(), AlwaysDouble(), "any-event-shape"),
    "gives increments as they are": (Independent(), NotScaled(), "standard-normal"),
    "draws once for all steps": (Independent(), OneDrawForAll(), "standard-normal"),
    "centres uniform numbers": (Independent(), UniformAboutZero(), "uniform-numbers"),
    "has integrals that know nothing of the increment": (Independent(), UnrelatedIntegral(), "integrals"),
    "claims a path that is none": (Path(), NoPath(), "refines[in-two]"),
    "knows another path than it draws": (Path(), AnotherPath(), "known-path"),
    "draws for all rows where some are asked for": (Independent(), RowsDrawForAll(), "rows-on-their-own"),
}
