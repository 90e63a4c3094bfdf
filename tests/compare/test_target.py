"""Real data and its floor."""

import pytest
import torch

from fokker.compare.target import Floor, Target, floor, of_data, of_law
from fokker.data import Chain
from fokker.errors import ConfigError
from fokker.exact import Gaussian
from fokker.perturbation import VP
from fokker_data.toy import Ring, TwoGaussians
from fokker_data.transforms import Standardise
from fokker_metrics.energy_distance import EnergyDistance
from fokker_metrics.prdc import PRDC


def test_of_identical_laws_an_unbiased_floor_is_zero_within_its_error():
    law = Gaussian(VP(), torch.zeros(2), torch.eye(2))
    target = of_law(law, Chain(), 300, seed=1)
    assert target.reference.shape == (2000, 2) and len(target.sets) == 20 and target.sets[0].shape == (300, 2)
    values = torch.tensor([EnergyDistance(unbiased=True)(x, target.reference) for x in target.sets])
    found = floor(EnergyDistance(unbiased=True), target)
    assert found.mean == pytest.approx(float(values.mean()))
    assert abs(found.mean) < 4 * float(values.std()) / 20**0.5
    assert found.limit > found.mean


def test_the_biased_floor_is_what_its_formula_says():
    """E|X - X'| / N of either set (Szekely & Rizzo, 2013); 2 / sqrt(pi) for standard normal numbers."""
    law = Gaussian(VP(), torch.zeros(1), torch.eye(1))
    found = floor(EnergyDistance(), of_law(law, Chain(), 500))
    assert found.mean == pytest.approx(2 / torch.pi**0.5 * (1 / 500 + 1 / 2000), rel=0.5)


def test_of_a_likeness_the_limit_is_below():
    found = floor(PRDC(part="coverage"), of_data(Ring(n=600), 200))
    assert found.limit <= found.mean <= 1


def test_the_draws_are_in_the_units_of_the_data():
    data = TwoGaussians(transforms=(Standardise(mean=(1.0, 1.0), std=(3.0, 3.0)),))
    target = of_law(data.law(VP()), Chain(data.transforms), 100)
    assert float(target.reference.abs().mean()) == pytest.approx(2, abs=0.05)


def test_sets_come_from_the_other_split_and_are_as_many_as_the_samples():
    data = Ring(n=500)
    target = of_data(data, 100)
    test, train = (data.open(split).fetch(range(500)).x for split in ("test", "train"))
    assert torch.equal(target.reference, test)
    rows = {tuple(x) for x in train.tolist()}
    assert all(len(each) == 100 and {tuple(x) for x in each.tolist()} <= rows for each in target.sets)
    assert torch.equal(of_data(data, 100, split="train").reference, train)


def test_too_few_examples_for_the_floor_are_said():
    target = of_data(Ring(n=50), 80)
    assert all(len(each) == 50 for each in target.sets)
    assert "the floor is that of 50 examples" in target.words


def test_of_a_class_are_reference_and_sets():
    target = of_data(TwoGaussians(n=400), 50, label=1)
    assert all(bool((x > 0).all()) for x in (target.reference, *target.sets))
    with pytest.raises(ConfigError, match="0 examples of class 7"):
        of_data(TwoGaussians(n=400), 50, label=7)


def test_the_seed_decides_the_sets():
    data = Ring(n=500)
    one, same, other = (of_data(data, 50, seed=seed).sets[0] for seed in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other)
    law = data.law(VP())
    one, same, other = (of_law(law, Chain(), 50, seed=seed).sets[0] for seed in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_a_floor_is_the_mean_and_the_nineteenth_of_twenty():
    class Size(EnergyDistance):
        def __call__(self, samples, reference):
            return float(samples[0, 0])

    sets = [torch.tensor([[float(k)]]) for k in range(21)]
    assert floor(Size(), Target(torch.zeros(1, 1), sets, "")) == Floor(10.0, 19.0)
