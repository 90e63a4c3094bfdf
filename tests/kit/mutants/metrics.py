"""Metrics with one defect each."""

import math

import torch

from fokker import component
from fokker.errors import DataError
from fokker.metric import Metric, MetricClaims, as_rows
from fokker_metrics.energy_distance import EnergyDistance
from fokker_metrics.frechet import Frechet
from fokker_metrics.mmd import MMD
from fokker_metrics.pairs import between, distances, within
from fokker_metrics.prdc import PRDC
from fokker_metrics.sliced_wasserstein import SlicedWasserstein


@component
class Lopsided(EnergyDistance):
    """Subtracts the spread of the samples twice, and that of the reference never."""

    def __call__(self, samples, reference):
        x, y = as_rows(samples, reference)
        return 2 * between(distances, x, y) - 2 * within(distances, x, distinct=False)


@component
class WithItself(EnergyDistance):
    """Claims to vanish on equal sets, and leaves the pairs of an example with itself out within the sets only."""

    def __call__(self, samples, reference):
        x, y = as_rows(samples, reference)
        inner = within(distances, x, distinct=True) + within(distances, y, distinct=True)
        return abs(2 * between(distances, x, y) - inner)


@component
class Unbiased(EnergyDistance):
    """Claims never to be negative, and is an unbiased estimate."""

    def __call__(self, samples, reference):
        x, y = as_rows(samples, reference)
        inner = within(distances, x, distinct=True) + within(distances, y, distinct=True)
        return 2 * between(distances, x, y) - inner


@component
class Root(EnergyDistance):
    """The root of the distance, in the units of the distance."""

    def __call__(self, samples, reference):
        return math.sqrt(super().__call__(samples, reference))


@component
class Paired(SlicedWasserstein):
    """Compares the examples one by one, in the order in which they are."""

    def __call__(self, samples, reference):
        x, y = as_rows(samples, reference)
        n = min(len(x), len(y))
        return float((x[:n] - y[:n]).norm(dim=1).mean())


@component
class Subsampled(EnergyDistance):
    """Looks at a few examples, another few every time."""

    def __call__(self, samples, reference):
        chosen = torch.randperm(len(samples))[:20]
        return super().__call__(samples[chosen], reference)


@component
class OwnGenerator(EnergyDistance):
    """Looks at a few examples that a generator of its own chooses, seeded by the clock."""

    def __call__(self, samples, reference):
        generator = torch.Generator()
        generator.seed()
        chosen = torch.randperm(len(samples), generator=generator)[:20]
        return super().__call__(samples[chosen], reference)


@component
class Centred(SlicedWasserstein):
    """Takes the means off in place."""

    def __call__(self, samples, reference):
        value = super().__call__(samples, reference)
        samples -= samples.mean(0)
        return value


@component
class FirstChannel(SlicedWasserstein):
    """Looks at the first channel."""

    def __call__(self, samples, reference):
        as_rows(samples, reference)
        return super().__call__(samples[:, :1], reference[:, :1])


@component
class EqualSizes(SlicedWasserstein):
    """Sorts both sets and subtracts them, which takes as many of one as of the other."""

    def __call__(self, samples, reference):
        x, y = as_rows(samples, reference)
        return float((x.sort(0).values - y.sort(0).values).norm())


@component
class Similarity(MMD):
    """The mean of the kernel between the sets: the larger, the closer."""

    def __call__(self, samples, reference):
        return 1 - super().__call__(samples, reference)


@component
class Missed(PRDC):
    """The share that is missed, with the claim that larger is closer."""

    def __call__(self, samples, reference):
        return 1 - super().__call__(samples, reference)


@component
class Patient(Metric):
    """Distance of the means of the numbers that are finite, of whatever there is."""

    @property
    def claims(self):
        return MetricClaims()

    def __call__(self, samples, reference):
        return abs(float(samples.nanmean() - reference.nanmean()))


@component
class Flattening(SlicedWasserstein):
    """Compares as many numbers as both have."""

    def __call__(self, samples, reference):
        n = min(samples[0].numel(), reference[0].numel())
        return super().__call__(samples.flatten(1)[:, :n], reference.flatten(1)[:, :n])


@component
class Blind(SlicedWasserstein):
    """Has a seed that nothing reads."""

    def _directions(self, n, at_once):
        return SlicedWasserstein(projections=self.projections)._directions(n, at_once)


@component
class Picky(Frechet):
    """Refuses what it could compare, with an error that no user sees as such."""

    def __call__(self, samples, reference):
        try:
            return super().__call__(samples, reference)
        except DataError as error:
            raise ValueError(str(error)) from error


MUTANTS = {
    "is lopsided": (EnergyDistance(), Lopsided(), "symmetric"),
    "counts pairs of an example with itself between the sets only": (
        EnergyDistance(),
        WithItself(),
        "zero-on-equal-sets",
    ),
    "is an unbiased estimate that claims to be positive": (EnergyDistance(), Unbiased(), "nonnegative"),
    "takes a root and claims the units of the square": (EnergyDistance(), Root(), "degree"),
    "pairs samples with the reference": (SlicedWasserstein(), Paired(), "any-order"),
    "subsamples by the global generator": (EnergyDistance(), Subsampled(), "deterministic"),
    "subsamples by the clock": (EnergyDistance(), OwnGenerator(), "deterministic"),
    "writes into the samples": (SlicedWasserstein(), Centred(), "input-untouched"),
    "sees the first channel alone": (SlicedWasserstein(), FirstChannel(), "any-shape"),
    "needs sets of equal sizes": (SlicedWasserstein(), EqualSizes(), "sets-of-different-sizes[2]"),
    "is larger for what is closer": (MMD(), Similarity(), "farther-is-larger"),
    "counts what is missed as likeness": (PRDC(), Missed(), "farther-is-larger"),
    "leaves out what is not finite": (Frechet(), Patient(), "refuses-what-is-not-finite"),
    "compares as many numbers as both have": (Frechet(), Flattening(), "refuses-other-shapes"),
    "refuses with an error that is no user's": (Frechet(), Picky(), "refuses-other-shapes"),
    "has a seed that nothing reads": (SlicedWasserstein(), Blind(), "field[seed]"),
}
