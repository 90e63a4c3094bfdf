import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fokker.draw.curves import Thinned, draw_loss, loss_curve
from fokker.draw.style import SAMPLES, figure


def series(values, most=2048):
    found = Thinned(most)
    for step, value in enumerate(values, start=1):
        found.add(step, value)
    return found


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200), st.sampled_from([2, 4, 8, 64]))
def test_thinned_series_keeps_all_values_in_bounded_memory(values, most):
    thin = series(values, most)
    counts = thin._rows[1, : thin._used]
    assert len(thin.mean) <= most and thin.length == counts.sum() == len(values)
    at = 0
    for k, count in enumerate(counts.astype(int)):
        part = values[at : at + count]
        assert thin.mean[k] == pytest.approx(np.mean(part), rel=1e-9, abs=1e-6)
        assert (thin.ends[0][k], thin.ends[1][k]) == (min(part), max(part))
        assert thin.steps[k] == pytest.approx(at + (count + 1) / 2)
        at += count


def test_short_series_is_kept_as_it_is():
    thin = series([3.0, 1.0, 2.0])
    assert thin.mean.tolist() == [3, 1, 2]
    assert thin.steps.tolist() == [1, 2, 3]
    assert thin.smooth().tolist() == [3, 1, 2]


def test_running_mean_leaves_a_line_and_takes_away_noise():
    line = 5 - 0.001 * np.arange(1000)
    smooth = series(line).smooth()
    assert smooth[12:-12] == pytest.approx(line[12:-12])
    noise = np.random.default_rng(0).normal(size=10_000)
    smooth = series(noise).smooth()
    assert smooth.std() < 0.15
    assert smooth.mean() == pytest.approx(noise.mean(), abs=0.02)


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([3.0, 2.5, 2.0], "linear"),
        ([30.0, 3.0, 2.0], "log"),
        ([30.0, 3.0, -2.0], "linear"),
        ([30.0, 3.0, 0.0], "linear"),
    ],
)
def test_axis_is_logarithmic_where_the_loss_spans_a_decade(values, scale):
    ax = figure(400, 200).add_subplot()
    draw_loss(ax, series(values))
    assert ax.get_yscale() == scale
    low, high = ax.get_ylim()
    assert low <= min(values) and high >= max(values)


def test_single_jumps_leave_room_for_the_rest():
    values = [1.0 + 0.1 * math.sin(k) for k in range(1000)]
    values[500] = 1e6
    ax = figure(400, 200).add_subplot()
    draw_loss(ax, series(values))
    smooth = series(values).smooth()
    assert ax.get_ylim()[1] < 2 * smooth.max()


def test_curve_falls_as_the_loss_does(look, tmp_path):
    rows = [{"step": k, "loss": 2.0 - k / 100} for k in range(100)]
    picture = loss_curve(rows, tmp_path / "loss.png")
    assert (tmp_path / "loss.png").read_bytes() == picture.png
    at, columns = look.coloured(picture, SAMPLES)
    assert len(at) > 300
    assert np.corrcoef(at, columns)[0, 1] > 0.99
    assert at.min() < 0.2 and at.max() > 0.7


def test_learning_rate_has_a_place_of_its_own(look):
    rows = [{"step": k, "loss": 1.0, "lr": 1e-3 * min(1, k / 50)} for k in range(100)]
    with_rate = loss_curve(rows)
    without = loss_curve([{"step": row["step"], "loss": row["loss"]} for row in rows])
    assert with_rate.size == without.size
    assert look.coloured(with_rate, SAMPLES)[0].max() < 0.6 < look.coloured(without, SAMPLES)[0].max() + 0.3
    assert len(look.coloured(with_rate, "#767676", tolerance=10)[0]) > len(
        look.coloured(without, "#767676", tolerance=10)[0]
    )


def test_rows_without_a_finite_loss_are_left_out():
    rows = [{"step": k, "loss": 1.0 + k} for k in range(50)]
    odd = [
        {"step": 3},
        {"loss": 7.0},
        {"step": 9, "loss": float("nan")},
        {"step": 9, "loss": None},
        {"step": 9, "loss": "x"},
    ]
    assert loss_curve([*rows[:20], *odd, *rows[20:]]) == loss_curve(rows)


def test_empty_log_says_so(look):
    assert loss_curve([]) != loss_curve([{"step": 0, "loss": 0.0}])
    assert look.ink(loss_curve([])).any()
