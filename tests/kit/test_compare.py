import pytest
import torch
from hypothesis import strategies as st

from fokker.testing import CheckFailed, NotApplicable
from fokker.testing.compare import close, examples, for_all, same


def test_the_worst_element_is_told():
    with pytest.raises(CheckFailed, match=r"sigma is 1.5 where 1 was expected, off by 0.5"):
        close(torch.tensor([1.0, 1.5, 1.1]), torch.ones(3), "sigma")
    close(torch.tensor([1.0, 1.5]), torch.ones(2), "sigma", atol=0.5)
    close(torch.tensor([2.0, 300.0]), torch.tensor([2.0, 299.0]), "sigma", rtol=0.01)


@pytest.mark.parametrize(
    ("actual", "expected", "words"),
    [
        (torch.ones(2), torch.ones(3), r"shape \(2,\) where \(3,\)"),
        (torch.tensor(float("nan")), torch.tensor(1.0), "nan where 1"),
        (torch.tensor(1.0), torch.tensor(float("nan")), "1 where nan"),
        (torch.tensor(float("inf")), torch.tensor(-float("inf")), "inf where -inf"),
        (torch.tensor(1.0), torch.tensor(float("inf")), "1 where inf"),
    ],
)
def test_shapes_and_values_that_are_not_finite_fail(actual, expected, words):
    with pytest.raises(CheckFailed, match=words):
        close(actual, expected, "it", rtol=0.1, atol=0.1)


def test_equal_infinities_and_empty_tensors_agree():
    close(torch.tensor([float("inf")]), torch.tensor([float("inf")]), "it")
    close(torch.empty(0, 2), torch.empty(0, 2), "it")


def test_same_means_bit_for_bit_and_of_one_dtype():
    same(torch.ones(2), torch.ones(2), "it")
    with pytest.raises(CheckFailed, match=r"float64 where torch.float32"):
        same(torch.ones(2).double(), torch.ones(2), "it")
    with pytest.raises(CheckFailed):
        same(torch.ones(2) * (1 + 1e-7), torch.ones(2), "it")


def test_the_simplest_failing_example_is_told():
    def small(n):
        if n > 10:
            raise CheckFailed(f"{n} is large")

    with pytest.raises(CheckFailed, match=r"^11 is large$"):
        for_all(small, st.integers(0, 1000))
    for_all(small, st.integers(0, 10))


def test_examples_are_the_same_every_time():
    drawn = [examples(st.floats(0, 1), 8) for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == 8


def test_what_is_assumed_away_every_time_is_not_applicable():
    def never(n):
        raise NotApplicable("refused")

    with pytest.raises(NotApplicable, match="every value that was tried"):
        for_all(never, st.integers())
