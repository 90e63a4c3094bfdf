import re

import pytest
import torch

from fokker.errors import ConfigError, DataError
from fokker_guidance.operators import Disjoint, Matrix, average, grey, operator, region
from fokker_guidance.regions import known


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def dense(a, residual, scale, weight):
    """A'^T (A' A'^T + weight I)^+ residual, written out."""
    rows = a.matrix() * scale.flatten()
    gram = rows @ rows.T + weight * torch.eye(len(rows), dtype=torch.float64)
    return (residual @ torch.linalg.pinv(gram, hermitian=True) @ rows).reshape(-1, *a.event_shape)


CASES = {
    "mask": lambda: region(known("every-2", (2, 4, 4))),
    "average": lambda: average((2, 4, 4), 2),
    "grey": lambda: grey((3, 2, 2)),
    "matrix": lambda: Matrix((2, 3), normal(4, 6)),
    "wide": lambda: Matrix((2, 3), normal(9, 6)),  # more numbers than the data has, so that A A^T is singular
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("weight", [0.0, 0.7])
def test_pull_is_the_weighed_pseudo_inverse(case, weight):
    a = CASES[case]()
    scale = 0.5 + torch.rand(a.event_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    residual = normal(5, a.size, seed=1)
    each = scale.expand(5, *a.event_shape)
    expected = dense(a, residual, scale, weight)
    torch.testing.assert_close(a.pull(residual, each, weight), expected, rtol=1e-8, atol=1e-10)
    if weight:  # one weight for each example
        weights = torch.linspace(0.1, 2, 5, dtype=torch.float64)
        found = a.pull(residual, each, weights.reshape(5, *[1] * len(a.event_shape)))
        for i, w in enumerate(weights.tolist()):
            torch.testing.assert_close(found[i], dense(a, residual[i : i + 1], scale, w)[0], rtol=1e-8, atol=1e-10)
    # another scale right after
    torch.testing.assert_close(a.pull(residual, 2 * each, weight), dense(a, residual, 2 * scale, weight))


@pytest.mark.parametrize("case", CASES)
def test_the_adjoint_is_the_transpose(case):
    a = CASES[case]()
    x, y = normal(3, *a.event_shape), normal(3, a.size, seed=1)
    torch.testing.assert_close((a(x) * y).sum(1), (x * a.adjoint(y)).flatten(1).sum(1))
    torch.testing.assert_close(a(x), x.flatten(1) @ a.matrix().T)


def test_an_infinite_weight_changes_nothing():
    for a in (average((2, 4, 4), 2), Matrix((2, 3), normal(4, 6))):
        pulled = a.pull(normal(2, a.size), torch.ones(2, *a.event_shape, dtype=torch.float64), float("inf"))
        assert not pulled.any()


def test_averages_are_means_of_blocks():
    x = normal(2, 3, 4, 6)
    expected = torch.nn.functional.avg_pool2d(x, 2).flatten(1)
    torch.testing.assert_close(operator("average-2", (3, 4, 6))(x), expected)
    torch.testing.assert_close(operator("average-3", (6,))(x[:, 0, 0]), x[:, 0, 0].reshape(2, 2, 3).mean(2))


def test_grey_is_the_mean_of_the_channels():
    x = normal(2, 3, 4, 6)
    torch.testing.assert_close(operator("grey", (3, 4, 6))(x), x.mean(1).flatten(1))


def test_identity_measures_everything_in_order():
    x = normal(2, 3, 4)
    assert torch.equal(operator("identity", (3, 4))(x), x.flatten(1))


def test_a_region_measures_what_is_known_in_order():
    x = normal(2, 3, 4)
    assert torch.equal(operator("left-0.25", (3, 4))(x), x[:, :, 0])


def test_a_matrix_is_read_from_a_file(saved):
    rows = normal(2, 12)
    x = normal(5, 3, 4)
    torch.testing.assert_close(operator(saved(rows), (3, 4))(x), x.flatten(1) @ rows.T)


@pytest.mark.parametrize(
    ("text", "shape", "message"),
    [
        ("average-3", (1, 4, 6), "average-3 takes axes that 3 divides; examples have the shape (1, 4, 6)."),
        ("grey", (1, 4), "A grey level is a mean of two channels at least"),
        ("blur", (4,), "There is no region 'blur'"),
        ("top", (4,), "Examples of shape (4,) have no top"),
    ],
)
def test_a_word_that_does_not_fit_is_refused(text, shape, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        operator(text, shape)


def test_a_file_that_does_not_fit_is_refused(saved):
    with pytest.raises(DataError, match=r"has the shape \(2, 3\); an operator on examples of shape \(4,\) is a matrix"):
        operator(saved(normal(2, 3)), (4,))
    with pytest.raises(DataError, match="nothing but zeros"):
        operator(saved(torch.zeros(2, 4)), (4,))
    with pytest.raises(DataError, match="not finite"):
        operator(saved(torch.full((2, 4), float("inf"))), (4,))


def test_overlaps_are_for_matrices():
    assert isinstance(operator("average-2", (4,)), Disjoint)


@pytest.mark.parametrize(
    ("word", "rows"),
    [
        ("left", ["##..", "##.."]),
        ("right", ["..##", "..##"]),
        ("right-0.25", ["...#", "...#"]),
        ("top", ["####", "...."]),
        ("bottom", ["....", "####"]),
        ("every-2", ["#.#.", "...."]),
        ("border", ["####", "####", "#..#", "#..#", "#..#", "#..#", "####", "####"][2:4]),
    ],
)
def test_words_for_regions(word, rows):
    if word == "border":
        found = known(word, (1, 4, 4))[0, 1:3]
    else:
        found = known(word, (1, 2, 4))[0]
    assert ["".join("#" if v else "." for v in row) for row in found.tolist()] == rows


def test_a_border_and_a_centre_make_the_whole():
    for shape in ((6,), (2, 8, 5), (1, 4, 4, 4)):
        border, centre = known("border", shape), known("centre", shape)
        assert torch.equal(border, ~centre)
        assert centre.any() and border.any()


def test_regions_of_a_single_axis_and_of_volumes():
    assert known("left", (5,)).tolist() == [True, True, False, False, False]
    assert known("every-2", (5,)).tolist() == [True, False, True, False, True]
    assert known("top", (1, 2, 4, 3))[0, :, :2].all() and not known("top", (1, 2, 4, 3))[0, :, 2:].any()


def test_a_mask_from_a_file(saved):
    assert known(saved([[1, 0], [0, 2]]), (2, 2)).tolist() == [[True, False], [False, True]]
    assert known(saved(torch.ones(7, 2, 2)), (2, 2)).shape == (7, 2, 2)
    with pytest.raises(DataError, match="a mask of examples"):
        known(saved([1, 0, 0]), (2, 2))


def test_nothing_known_is_refused(saved):
    for mask, shape in ((saved([0, 0]), (2,)), ("left", (1,)), ("left-0.1", (3,))):
        with pytest.raises(ConfigError, match="Nothing is known"):
            known(mask, shape)
