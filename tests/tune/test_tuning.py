"""What is chosen by the data: in few dimensions and in many, and beside values that are given."""

import dataclasses

import pytest

from fokker.errors import ConfigError
from fokker.tune.spread import Largest, Spread
from fokker.tune.tuning import tune

PLANE = Spread(10_000, 10_000, 2, 0.0, 2.0, 0.001, Largest(6.4, 0.0, 49_995_000, exact=True))
CIFAR = dataclasses.replace(PLANE, dim=3072, sigma_data=0.25, largest=Largest(50.0, 0.0, 49_995_000, exact=True))


def test_in_the_plane_gamma_is_capped():
    found = tune(PLANE)
    assert (found.sigma_data, found.sigma_max, found.sigma_min) == (2.0, 6.4, 0.02)
    assert found.capped and found.gamma <= 2 and found.levels == 10
    assert found.gamma ** (found.levels - 2) < 320 / 1.8  # one level less would be too few
    assert (found.steps_per_level, found.nfe) == (18, 181)
    assert found.step_size == pytest.approx(0.297, abs=0.002)
    assert found.width_error <= 0.085 < tune(PLANE, steps_per_level=17).width_error
    assert found.note.startswith("Technique 2 (C(gamma) = 0.5) has no solution in 2 dimensions: gamma is capped at 2")
    assert "asks for gamma = 4 in 8 dimensions" in tune(dataclasses.replace(PLANE, dim=8)).note


def test_in_many_dimensions_the_techniques_decide():
    """CIFAR-10's constants: 220 levels where 232 are published, 5 updates and nearly the published step."""
    found = tune(CIFAR, sigma_min=0.01)
    assert (found.levels, found.steps_per_level) == (220, 5)
    assert not found.capped and found.note == ""
    assert found.coverage == pytest.approx(0.5, abs=0.02)
    assert found.step_size * 1e-4 == pytest.approx(6.2e-6, rel=0.06)
    assert found.variance_ratio <= 1.06 < tune(CIFAR, sigma_min=0.01, steps_per_level=4).variance_ratio
    published = tune(CIFAR, sigma_min=0.01, levels=232, steps_per_level=5)
    assert published.step_size * 1e-4 == pytest.approx(6.184e-6, rel=1e-4)


@pytest.mark.parametrize("scale", [0.1, 30.0])
def test_scale_changes_units_alone(scale):
    scaled = dataclasses.replace(PLANE, sigma_data=2 * scale, largest=Largest(6.4 * scale, 0.0, 1, exact=True))
    one, other = dataclasses.asdict(tune(PLANE)), dataclasses.asdict(tune(scaled))
    for name, value in one.items():
        unit = scale if name in ("sigma_data", "sigma_max", "sigma_min") else 1
        assert other[name] == (value if isinstance(value, (str, bool)) else pytest.approx(unit * value, rel=1e-9)), name


def test_what_is_given_stays_and_the_rest_follows():
    found = tune(PLANE, sigma_max=100.0, sigma_min=0.1, levels=5)
    assert (found.sigma_max, found.sigma_min, found.levels) == (100.0, 0.1, 5)
    assert found.gamma == pytest.approx(1000 ** (1 / 4))
    assert tune(PLANE, steps_per_level=40).step_size < 0.25
    with pytest.raises(ConfigError, match=r"sigma_max = 6.4 must be greater than sigma_min = 7; the data's largest"):
        tune(PLANE, sigma_min=7.0)


def test_what_is_to_be_known_is_noted():
    some = dataclasses.replace(CIFAR, read=2000, largest=Largest(50.0, 0.5, 999, exact=False))
    assert "largest distance found among 2,000 of the 10,000 examples" in tune(some).note
    assert "0.5 between draws" in tune(some).note
    assert "largest distance found, with" in tune(dataclasses.replace(some, read=10_000)).note
    assert tune(some, sigma_max=60.0).note == ""
    assert "add the transform 'standardise'" in tune(dataclasses.replace(CIFAR, mean=3.0)).note
