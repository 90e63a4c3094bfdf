import pytest
import torch
from torch.testing import assert_close

from fokker.errors import DataError
from fokker.metric import as_rows


def test_examples_of_any_shape_become_rows():
    samples, reference = torch.randn(3, 2, 4, 5), torch.randn(7, 2, 4, 5, requires_grad=True)
    x, y = as_rows(samples, reference)
    assert_close(x, samples.reshape(3, 40))
    assert_close(y, reference.detach().reshape(7, 40))
    assert x.data_ptr() == samples.data_ptr()
    assert not y.requires_grad


def test_different_shapes_are_refused():
    with pytest.raises(DataError, match=r"shape \(2,\) cannot be compared with a reference of shape \(3,\)"):
        as_rows(torch.zeros(4, 2), torch.zeros(4, 3))


def test_values_that_are_not_finite_are_counted_and_located():
    samples = torch.zeros(5, 2)
    samples[2, 1], samples[4, 0] = float("nan"), float("inf")
    with pytest.raises(DataError, match=r"2 of 5 examples of the samples .* number 2"):
        as_rows(samples, torch.zeros(5, 2))
    with pytest.raises(DataError, match="of the reference"):
        as_rows(torch.zeros(5, 2), samples)


def test_too_few_examples_are_refused():
    with pytest.raises(DataError, match="reference hold 1 of the 2 or more"):
        as_rows(torch.zeros(2, 1), torch.zeros(1, 1), least=2)
    with pytest.raises(DataError, match="samples hold 0 of the 1"):
        as_rows(torch.zeros(0, 1), torch.zeros(1, 1))
