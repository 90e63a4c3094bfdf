import math

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch.testing import assert_close

from fokker.data import Chain
from fokker.errors import ConfigError, DataError
from fokker.noise import Recorded, Seeded, Zero
from fokker_data.transforms import Dequantise, Logit, Range, Standardise

SHAPES = [(2,), (16,), (1, 128), (3, 17, 23), (1, 8, 9, 10)]


class At(Zero):
    """Uniform draws that are all the same number."""

    def __init__(self, u):
        self.u = u

    def uniform(self, x):
        return torch.full_like(x, self.u)


def levels_of(n, dtype=torch.float32):
    return torch.arange(n, dtype=dtype) / (n - 1)


def autograd_log_det(transform, x, noise):
    """Log-determinant of one example from the whole Jacobian."""
    jacobian = torch.autograd.functional.jacobian(lambda v: transform.forward(v[None], noise)[0].flatten(), x)
    return torch.linalg.slogdet(jacobian.reshape(x.numel(), x.numel())).logabsdet


@pytest.mark.parametrize(
    "transform",
    [
        Standardise(mean=(0.5, -1.0, 3.0), std=(0.1, 2.0, 7.0)),
        Standardise(mean=(0.5,), std=(0.25,), per="all"),
        Range(-1, 1),
        Range(0, 255),
        Dequantise(),
        Dequantise(levels=2),
        Logit(),
        Logit(alpha=0.05),
    ],
    ids=repr,
)
def test_log_det_is_that_of_the_jacobian(transform):
    x = torch.rand(4, 3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x[0] = torch.tensor([0, 1, 1 / 255, 254 / 255, 0.5, 0.25])[:, None].reshape(3, 2)
    expected = torch.stack([autograd_log_det(transform, one, At(0.3)) for one in x])
    assert_close(transform.log_det(x), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("u", [0.0, 0.5, 1 - 2**-53])
def test_dequantise_has_its_slope_at_the_edges_of_a_cell_too(u):
    x = torch.tensor([0, 1 / 255, 1], dtype=torch.float64)
    expected = 3 * math.log(255 / 256)
    assert autograd_log_det(Dequantise(), x, At(u)).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("transform", [Standardise(), Standardise(per="all"), Range(-1, 1), Range(2, 5), Logit(1e-3)])
def test_inverse_returns_what_went_in(transform, shape):
    x = torch.rand(5, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x[0], x[1] = 0, 1
    fitted = transform.fit(x)
    y = fitted.forward(x, Zero())
    assert y.shape == x.shape and y.dtype == x.dtype
    assert_close(fitted.inverse(y), x, rtol=0, atol=1e-13)
    assert fitted.log_det(x).shape == (5,)


# -- standardise


@pytest.mark.parametrize("shape", SHAPES)
def test_standardised_examples_have_mean_0_and_std_1_per_channel(shape):
    x = 5 + 3 * torch.randn(50, *shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    fitted = Standardise().fit(x)
    assert len(fitted.mean) == shape[0]
    y = fitted.forward(x, Zero()).movedim(1, 0).flatten(1)
    assert_close(y.mean(1), torch.zeros(shape[0], dtype=torch.float64), rtol=0, atol=1e-12)
    assert_close(y.std(1, correction=0), torch.ones(shape[0], dtype=torch.float64), rtol=1e-12, atol=0)


def test_standardise_all_takes_one_mean_and_one_std():
    x = torch.tensor([[0.0, 10.0], [2.0, 12.0]])
    fitted = Standardise(per="all").fit(x)
    assert fitted == Standardise(mean=(6.0,), std=(math.sqrt(26.0),), per="all")


def test_standardise_matches_numpy_over_many_blocks():
    x = torch.from_numpy(np.random.RandomState(0).lognormal(size=(10_001, 3)).astype(np.float32))
    fitted = Standardise().fit(x)
    np.testing.assert_allclose(fitted.mean, x.double().numpy().mean(0), rtol=1e-13)
    np.testing.assert_allclose(fitted.std, x.double().numpy().std(0), rtol=1e-12)


@given(value=st.floats(-(2**99), 2**99, width=32), n=st.integers(1, 10))
@example(value=0.1, n=3)  # the mean of three float32 0.1 is not that 0.1
@example(value=1e30, n=7)
def test_constant_feature_is_only_shifted(value, n):
    x = torch.full((n, 1), value)
    fitted = Standardise().fit(x)
    assert fitted.std == (1.0,)
    assert_close(fitted.inverse(fitted.forward(x, Zero())), x)


def test_fitted_values_are_kept():
    given_values = Standardise(mean=(1.0,), std=(2.0,))
    assert given_values.fit(torch.randn(5, 1)) is given_values


def test_standardise_refuses_what_cannot_work():
    with pytest.raises(ConfigError, match="no mean and std yet"):
        Standardise().forward(torch.zeros(1, 2), Zero())
    with pytest.raises(ConfigError, match="together"):
        Standardise(mean=(0.0,))
    with pytest.raises(ConfigError, match="length of mean"):
        Standardise(mean=(0.0, 1.0), std=(1.0,))
    with pytest.raises(ConfigError, match=r"std\[1\] must be greater than 0"):
        Standardise(mean=(0.0, 1.0), std=(1.0, 0.0))
    with pytest.raises(ConfigError, match="one mean"):
        Standardise(mean=(0.0, 1.0), std=(1.0, 1.0), per="all")
    with pytest.raises(ConfigError, match=r"2 means.*have 3"):
        Standardise(mean=(0.0, 1.0), std=(1.0, 1.0)).inverse(torch.zeros(1, 3))
    with pytest.raises(DataError, match="not finite"):
        Standardise().fit(torch.tensor([[1.0], [math.nan]]))
    with pytest.raises(DataError, match="no values"):
        Standardise().fit(torch.zeros(0, 2))


# -- range


def test_range_maps_the_ends():
    y = Range(-1, 1).forward(torch.tensor([[0.0, 0.5, 1.0]]), Zero())
    assert y.tolist() == [[-1.0, 0.0, 1.0]]
    with pytest.raises(ConfigError, match="greater than low"):
        Range(1, 1)


# -- dequantise


@pytest.mark.parametrize("levels", [2, 3, 17, 100, 255, 256, 1000, 4096, 65536])
@pytest.mark.parametrize("u", [0.0, 2**-24, 0.5, 1 - 2**-24])
def test_dequantise_returns_every_level_exactly_in_float32(levels, u):
    x = levels_of(levels)[None]
    d = Dequantise(levels=levels)
    y = d.forward(x, At(u))
    assert torch.equal(d.inverse(y), x)
    assert y.min() >= 0 and y.max() < 1


@given(k=st.integers(0, 255), u=st.floats(0, 1, exclude_max=True, width=32))
def test_dequantise_is_its_formula_and_stays_in_its_cell(k, u):
    x = torch.tensor([[k / 255]])
    y = Dequantise().forward(x, At(u))
    assert k <= 256 * y.double().item() < k + 1
    assert_close(y.double(), torch.tensor([[(k + u) / 256]], dtype=torch.float64), rtol=0, atol=1e-6)


@pytest.mark.parametrize("following", [(Range(-1, 1),), (Logit(0.05),), (Logit(1e-6),), (Range(0, 1), Range(-1, 1))])
@pytest.mark.parametrize("levels", [2, 17, 256, 1000])
def test_levels_survive_the_rounding_of_the_transforms_that_follow(following, levels):
    chain = Chain((Dequantise(levels=levels), *following))
    x = levels_of(levels)[None]
    for u in (0.0, 1 - 2**-24):
        assert torch.equal(chain.inverse(chain.forward(x, At(u))), x)


def test_dequantise_is_linear_between_levels():
    x = torch.rand(100, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u = torch.rand(100, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert_close(Dequantise().forward(x, Recorded([u])), (255 * x + u) / 256, rtol=0, atol=1e-14)


def test_dequantised_levels_fill_the_unit_interval_evenly():
    x = torch.randint(0, 4, (40_000, 1), generator=torch.Generator().manual_seed(0)) / 3
    y = Dequantise(levels=4).forward(x, Seeded(0))
    counts = torch.histc(y, bins=16, min=0, max=1)
    assert (counts - 2500).abs().max() < 5 * math.sqrt(2500)


def test_inverse_of_dequantise_takes_samples_outside_to_the_nearest_level():
    assert Dequantise(levels=3).inverse(torch.tensor([-0.5, 0.4, 1.0, 7.0])).tolist() == [0.0, 0.5, 1.0, 1.0]


def test_dequantise_refuses_data_that_is_not_on_its_levels():
    digits = levels_of(17)[:, None]
    assert Dequantise(levels=17).fit(digits) == Dequantise(levels=17)
    with pytest.raises(DataError, match=r"levels=256.*0\.0625"):
        Dequantise().fit(digits)
    with pytest.raises(DataError, match="hold 2"):
        Dequantise().fit(torch.tensor([[2.0]]))
    with pytest.raises(DataError, match="hold nan"):
        Dequantise().fit(torch.tensor([[math.nan]]))
    for levels in (256, 4096, 65536):
        Dequantise(levels=levels).fit(levels_of(levels)[:, None])


# -- logit


@given(x=st.floats(0, 1), alpha=st.floats(1e-9, 0.49))
@example(x=0.0, alpha=1e-6)
@example(x=1.0, alpha=1e-6)
def test_logit_returns_what_went_in(x, alpha):
    value = torch.tensor([[x]], dtype=torch.float64)
    logit = Logit(alpha)
    y = logit.forward(value, Zero())
    assert y.isfinite().all()
    assert_close(logit.inverse(y), value, rtol=0, atol=5e-16 / (1 - 2 * alpha))


def test_logit_is_symmetrical_and_keeps_its_digits_at_both_ends():
    y = Logit().forward(torch.tensor([[0.0, 1.0, 0.5, 255 / 256]]), Zero())
    end = math.log(1e-6 / (1 - 1e-6))
    s = 1e-6 + (1 - 2e-6) * 255 / 256
    assert_close(y.double(), torch.tensor([[end, -end, 0.0, math.log(s / (1 - s))]]).double(), rtol=2e-7, atol=1e-7)


def test_logit_refuses_data_outside_of_the_unit_interval():
    assert Logit().fit(torch.tensor([[0.0, 1.0]])) == Logit()
    for bad in (-0.1, 1.1, math.nan):
        with pytest.raises(DataError, match=r"values in \[0, 1\]"):
            Logit().fit(torch.tensor([[0.5, bad]]))


# -- together


def test_chain_adds_up_log_determinants():
    chain = Chain((Dequantise(levels=4), Logit(0.05), Standardise())).fit(levels_of(4)[:, None], At(0.5))
    x = levels_of(4, torch.float64)[:, None]
    y, log_det = chain.forward_with_log_det(x, At(0.25))
    step = 1e-6
    slope = (chain.forward(x, At(0.25 + step)) - chain.forward(x, At(0.25 - step))) / (2 * step) * 3
    assert_close(log_det, slope.log()[:, 0], rtol=1e-7, atol=1e-7)
    assert_close(chain.inverse(y), x, rtol=0, atol=0)
