import pytest
import torch

from fokker.data import Chain, Transform
from fokker.errors import ConfigError
from fokker.noise import Zero
from fokker_data.transforms import Dequantise, Logit, Range, Standardise
from fokker_guidance.inpaint import Inpaint
from fokker_guidance.linear import Linear
from fokker_guidance.units import units

CHAINS = {
    "none": (),
    "range": (Range(-1.0, 3.0),),
    "standardise": (Standardise(mean=(0.5, -2.0), std=(3.0, 0.01)),),
    "both": (Dequantise(17), Range(), Standardise(mean=(0.1,), std=(0.7,), per="all")),
}


@pytest.mark.parametrize("name", CHAINS)
def test_units_are_what_the_chain_does(name):
    chain = Chain(CHAINS[name])
    found = units(chain, (2, 3))
    x = torch.randint(0, 17, (5, 2, 3), generator=torch.Generator().manual_seed(0)).double() / 16
    u = chain.forward(x, Zero())
    torch.testing.assert_close(found.shift + found.scale * u, x, rtol=1e-9, atol=1e-9)


class Mixed(Transform):
    """Turns an example round: values change their places."""

    def forward(self, x, noise):
        return x.flip(-1)

    def inverse(self, y):
        return y.flip(-1)

    def log_det(self, x):
        return x.new_zeros(len(x))


class Rotated(Mixed):
    """Keeps constant examples as they are."""

    def forward(self, x, noise):
        return 0.6 * x + 0.4 * x.flip(-1)


@pytest.mark.parametrize("transform", [Logit(), Mixed(), Rotated()], ids=lambda t: type(t).__name__)
def test_other_transforms_are_refused_with_their_names(transform, subject):
    kind = type(transform).__name__
    x = torch.rand(3, 4, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ConfigError, match=f"shift and scale each value by itself; Range, {kind} do more"):
        Linear().conditions(subject(x, Range(0.1, 0.9), transform), [0])


def test_single_values_are_known_behind_any_transform_of_single_values(subject):
    x = torch.rand(3, 4, generator=torch.Generator().manual_seed(0))
    chain = (Logit(alpha=0.01), Standardise(mean=(0.1, 0.2, 0.3, 0.4), std=(1.0, 2.0, 3.0, 4.0)))
    guidance = Inpaint()
    found = guidance.conditions(subject(x, *chain), [2, 1])
    expected = Chain(chain).forward(x.double(), Zero())[[2, 1]]
    torch.testing.assert_close(found[f"{guidance!r}.y"][:, :2], expected[:, :2])
    with pytest.raises(ConfigError, match="mix known values with unknown ones"):
        guidance.conditions(subject(x, Rotated()), [0])
