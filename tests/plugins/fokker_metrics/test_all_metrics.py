"""What holds for every metric of the plugin."""

import dataclasses

import pytest
import torch

import fokker_metrics
from fokker.errors import ConfigError, DataError
from fokker.metric import Metric
from fokker.plugins.registry import Registry
from fokker_metrics.energy_distance import EnergyDistance
from fokker_metrics.frechet import Frechet
from fokker_metrics.mmd import MMD
from fokker_metrics.prdc import PRDC
from fokker_metrics.sliced_wasserstein import SlicedWasserstein

METRICS = [
    SlicedWasserstein(),
    SlicedWasserstein(p=1),
    EnergyDistance(),
    EnergyDistance(unbiased=True),
    MMD(),
    MMD(unbiased=True),
    MMD(bandwidth=1.0),
    MMD(kernel="polynomial"),
    Frechet(),
]
LIKENESSES = [PRDC(part=part) for part in ("precision", "recall", "density", "coverage")]
VANISHING = [m for m in METRICS if m.claims.zero_on_equal_sets]
SYMMETRIC = [m for m in METRICS if m.claims.symmetric]
SCALED = [m for m in (*METRICS, *LIKENESSES) if m.claims.degree is not None]
SHAPES = [(1,), (2,), (16,), (1, 128), (3, 17, 23), (1, 8, 9, 10)]


def sets(n, m, shape=(2,), seed=0):
    generator = torch.Generator().manual_seed(seed)
    draw = [torch.randn((k, *shape), generator=generator, dtype=torch.float64) for k in (n, m)]
    return draw[0], draw[1] * 1.5 + 0.25


def test_every_metric_is_registered():
    registry = Registry()
    fokker_metrics.fokker_register(registry)
    loaded = {entry.load() for entry in registry.entries("metric")}
    assert loaded == {type(metric) for metric in (*METRICS, *LIKENESSES)}
    assert all(issubclass(cls, Metric) for cls in loaded)


@pytest.mark.parametrize("metric", VANISHING, ids=repr)
@pytest.mark.parametrize("shape", SHAPES, ids=repr)
def test_equal_sets_are_at_no_distance(metric, shape):
    x, _ = sets(30, 1, shape)
    shuffled = x[torch.randperm(30, generator=torch.Generator().manual_seed(1))]
    assert 0 <= metric(x, shuffled) < 1e-7


@pytest.mark.parametrize("metric", LIKENESSES, ids=repr)
@pytest.mark.parametrize("shape", SHAPES, ids=repr)
def test_equal_sets_are_wholly_alike(metric, shape):
    x, _ = sets(30, 1, shape)
    assert metric(x, x[torch.randperm(30, generator=torch.Generator().manual_seed(1))]) == 1


@pytest.mark.parametrize("metric", METRICS, ids=repr)
@pytest.mark.parametrize("shape", SHAPES, ids=repr)
def test_different_sets_are_at_some_distance(metric, shape):
    x, y = sets(30, 40, shape)
    assert metric(x, y + 1) > 0.01


@pytest.mark.parametrize("metric", METRICS, ids=repr)
def test_a_farther_set_is_at_a_larger_distance(metric):
    x, y = sets(50, 60)
    distances = [metric(x + shift, y) for shift in (0.5, 1.0, 2.0)]
    assert distances == sorted(distances)


@pytest.mark.parametrize("metric", SYMMETRIC, ids=repr)
def test_sets_can_be_exchanged(metric):
    x, y = sets(30, 41)
    assert metric(x, y) == pytest.approx(metric(y, x), rel=1e-12)


@pytest.mark.parametrize("metric", SCALED, ids=repr)
def test_value_follows_the_units_of_the_data(metric):
    x, y = sets(30, 41)
    assert metric(10 * x, 10 * y) == pytest.approx(10**metric.claims.degree * metric(x, y), rel=1e-10)


@pytest.mark.parametrize("metric", [*METRICS, *LIKENESSES], ids=repr)
def test_single_precision_is_enough_for_the_sets(metric):
    x, y = sets(30, 41)
    assert metric(x.float(), y.float()) == pytest.approx(metric(x, y), rel=1e-5)


@pytest.mark.parametrize("metric", [*METRICS, *LIKENESSES], ids=repr)
def test_global_generator_is_left_alone(metric):
    state = torch.get_rng_state()
    first = metric(*sets(20, 20))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(5)
    assert metric(*sets(20, 20)) == first


@pytest.mark.parametrize(
    ("metric", "changes"),
    [
        (SlicedWasserstein(), {"projections": 3, "p": 1, "seed": 1}),
        (EnergyDistance(), {"unbiased": True}),
        (PRDC(), {"part": "density", "k": 2}),
        (MMD(), {"kernel": "polynomial", "bandwidth": 0.3, "unbiased": True}),
    ],
    ids=lambda v: type(v).__name__,
)
def test_every_field_changes_the_value(metric, changes):
    assert {f.name for f in dataclasses.fields(metric)} == set(changes)
    value = metric(*sets(30, 41))
    for name, other in changes.items():
        assert dataclasses.replace(metric, **{name: other})(*sets(30, 41)) != pytest.approx(value, rel=1e-6), name


@pytest.mark.parametrize("metric", [*METRICS, *LIKENESSES], ids=repr)
def test_sets_that_cannot_be_compared_are_refused(metric):
    with pytest.raises(DataError, match="cannot be compared"):
        metric(torch.zeros(4, 2), torch.zeros(4, 3))
    with pytest.raises(DataError, match="not finite"):
        metric(torch.full((9, 2), torch.nan), torch.zeros(9, 2))


def test_impossible_fields_are_refused():
    with pytest.raises(ConfigError, match="p must be one of 1, 2"):
        SlicedWasserstein(p=3)
    with pytest.raises(ConfigError, match="projections must be at least 1"):
        SlicedWasserstein(projections=0)
    with pytest.raises(ConfigError, match="bandwidth must be greater than 0"):
        MMD(bandwidth=0.0)
