import pytest
import torch

from fokker.errors import DataError
from fokker_metrics import prdc
from fokker_metrics.prdc import PRDC

PARTS = ("precision", "recall", "density", "coverage")
D = torch.float64


def column(*values):
    return torch.tensor(values, dtype=D)[:, None]


def found(samples, reference, k=1):
    return {part: PRDC(part=part, k=k)(samples, reference) for part in PARTS}


def test_points_on_a_line_by_hand():
    reference, samples = column(0.0, 1.0, 4.0), column(0.2, 0.9, 7.0)
    # radii 1, 1, 3 about 0, 1, 4; .7, .7, 6.1 about .2, .9, 7
    assert found(samples, reference) == {
        "precision": pytest.approx(2 / 3),  # .2 and .9; 7 lies on the edge of (1, 7), and that is outside
        "recall": pytest.approx(1.0),  # 0 in (-.5, .9), 1 in (.2, 1.6), 4 in (.9, 13.1)
        "density": pytest.approx((2 + 2 + 0) / 3),  # .2 and .9 are in the balls of 0 and of 1; 7 in none
        "coverage": pytest.approx(2 / 3),  # (1, 7) holds no sample
    }


def test_the_second_neighbour_by_hand():
    # k = 2: radii 4, 3, 4 about 0, 1, 4
    reference, samples = column(0.0, 1.0, 4.0), column(0.2, 0.9, 7.0)
    assert found(samples, reference, k=2) == {
        "precision": pytest.approx(1.0),  # 7 is in (0, 8)
        "recall": pytest.approx(1.0),
        "density": pytest.approx((3 + 3 + 1) / (2 * 3)),
        "coverage": pytest.approx(1.0),
    }


def test_a_mode_that_is_missing_costs_recall_and_coverage_alone():
    generator = torch.Generator().manual_seed(0)
    mode = torch.randn(200, 3, generator=generator, dtype=D)
    other = torch.randn(200, 3, generator=generator, dtype=D) + 20
    samples = torch.randn(200, 3, generator=generator, dtype=D)
    values = found(samples, torch.cat([mode, other]), k=5)
    assert values["precision"] > 0.9 and values["density"] > 0.8
    assert 0.4 < values["recall"] < 0.5 and 0.4 < values["coverage"] < 0.5


def test_noise_beside_the_data_costs_precision_and_density_alone():
    generator = torch.Generator().manual_seed(1)
    draw = [torch.randn(200, 3, generator=generator, dtype=D) for _ in range(3)]
    values = found(torch.cat([draw[0], draw[1] + 20]), draw[2], k=5)
    assert 0.4 < values["precision"] < 0.51 and 0.4 < values["density"] < 0.6
    assert values["recall"] > 0.9 and values["coverage"] > 0.9


@pytest.mark.parametrize(("n", "m", "k", "d"), [(30, 20, 3, 2), (12, 40, 5, 16)])
def test_coverage_and_density_of_one_law_have_their_exact_expectation(n, m, k, d):
    # the k nearest of the M - 1 + N others of a reference are all references, or the ball holds a sample
    generator = torch.Generator().manual_seed(2)
    draws = torch.randn(600, n + m, d, generator=generator, dtype=D)
    covered = torch.tensor([PRDC(k=k)(x[:n], x[n:]) for x in draws])
    dense = torch.tensor([PRDC(part="density", k=k)(x[:n], x[n:]) for x in draws])
    i = torch.arange(1, k + 1, dtype=D)
    expected = 1 - float(((m - i) / (m + n - i)).prod())
    assert abs(float(covered.mean()) - expected) < 4 * float(covered.std()) / 600**0.5
    assert abs(float(dense.mean()) - 1) < 4 * float(dense.std()) / 600**0.5


def test_recall_is_precision_with_the_sets_exchanged():
    x, y = torch.randn(30, 2, dtype=D), torch.randn(41, 2, dtype=D) * 1.5
    assert PRDC(part="recall")(x, y) == PRDC(part="precision")(y, x) != PRDC(part="precision")(x, y)


def test_blocks_give_what_all_pairs_at_once_give(monkeypatch):
    x, y = torch.randn(40, 20, dtype=D), torch.randn(33, 20, dtype=D)
    whole = found(x, y, k=3)
    monkeypatch.setattr(prdc, "_NUMEL", 200)
    assert found(x, y, k=3) == whole


def test_copies_have_no_ball():
    x = column(1.0, 1.0, 1.0, 5.0)
    assert found(x, x) == dict.fromkeys(PARTS, 0.25)  # 5 alone lies in a ball, its own


def test_too_few_examples_are_refused():
    with pytest.raises(DataError, match="hold 5 of the 6 or more examples"):
        PRDC()(torch.zeros(5, 2), torch.zeros(9, 2))
