"""The laws that toy sources name, behind their transforms; that they are those of the points is the kit's check."""

import dataclasses

import pytest
import torch
from torch.testing import assert_close

from fokker.data import Chain
from fokker.errors import ConfigError
from fokker.noise import Seeded, Zero
from fokker.perturbation import VP
from fokker.vanishing import Vanishing
from fokker_data.roll import roll_law
from fokker_data.toy import Checkerboard, Moons, Ring, SwissRoll, TwoGaussians
from fokker_data.transforms import Logit, Range, Standardise

D = torch.float64


def test_the_roll_s_is_that_of_its_quadrature():
    x = SwissRoll(n=5).open().fetch(range(5)).x.double()
    for noise in (0.5, 1.0):
        found, expected = SwissRoll(noise=noise).law(VP()), roll_law(VP(), noise=noise)
        assert_close(found.score(x, 0.2), expected.score(x, 0.2))
    assert SwissRoll(noise=0.05).law(VP()) is None


def test_moments():
    law = TwoGaussians(weights=(0.8, 0.2), centre=3.0, variance=0.5).law(VP())
    assert law.weights.tolist() == pytest.approx([0.8, 0.2])
    assert law.means.tolist() == [[-3, -3], [3, 3]]
    law = Ring(modes=4, radius=2.0, std=0.3).law(VP())
    assert_close(law.means, torch.tensor([[2.0, 0], [0, 2], [-2, 0], [0, -2]], dtype=D), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "source", [SwissRoll(), TwoGaussians(weights=(0.8, 0.2)), Ring()], ids=lambda s: type(s).__name__
)
def test_a_density_behind_transforms_is_the_density_over_their_jacobian(source):
    x = source.open("test").fetch(range(20)).x
    chain = Chain((Range(low=-2.0, high=3.0), Standardise())).fit(source.open().fetch(range(1000)).x, Seeded(0))
    y, log_det = chain.forward_with_log_det(x.double(), Zero())
    behind = dataclasses.replace(source, transforms=chain.transforms).law(Vanishing())
    expected = source.law(Vanishing()).log_prob(x.double(), 0.0) - log_det
    assert_close(behind.log_prob(y, 0.0), expected, rtol=0, atol=1e-6)


def test_no_law_behind_a_transform_that_bends():
    assert Ring(transforms=(Logit(),)).law(VP()) is None


def test_a_transform_that_is_not_fitted_is_named():
    with pytest.raises(ConfigError, match="Standardise has no mean and std yet"):
        Ring(transforms=(Standardise(),)).law(VP())


def test_others_name_none():
    assert Moons().law(VP()) is None
    assert Checkerboard().law(VP()) is None
