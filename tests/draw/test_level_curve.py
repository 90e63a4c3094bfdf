import math

import numpy as np
import pytest

from fokker.draw import level_losses
from fokker.draw.style import DATA, SAMPLES
from fokker.levels import LevelLoss


def rising(optimum=True, scale=1.0, n=9):
    known = {"excess": 0.1 * scale, "excess_stderr": 0.02 * abs(scale)} if optimum else {}
    return [
        LevelLoss(
            k / n,
            -2 * math.log(10 ** (k / 2 - 2)),
            scale * (1 + k),
            0.1 * abs(scale),
            scale * (0.9 + k) if optimum else None,
            **known,
        )
        for k in range(n)
    ]


def test_more_noise_is_further_right(look, tmp_path):
    picture = level_losses(rising(optimum=False), tmp_path / "l.png", width=500)
    assert (tmp_path / "l.png").read_bytes() == picture.png
    assert picture.size == (500, 250)
    rows, columns = look.coloured(picture, SAMPLES, tolerance=60)
    left, right = rows[(columns > 0.15) & (columns < 0.35)].mean(), rows[columns > 0.8].mean()
    assert left > right + 0.2
    assert level_losses(rising(optimum=False)[::-1], width=500) == picture


def test_the_optimum_has_a_line_and_a_panel(look):
    picture = level_losses(rising(), width=500)
    assert picture.size == (500, 375)
    assert len(look.coloured(picture, DATA, tolerance=30)[0]) > 100
    rows, _ = look.coloured(picture, SAMPLES, tolerance=60)
    below = rows[rows > 0.62]
    assert len(below) > 50
    assert np.ptp(below) < 0.35


def test_an_optimum_that_is_known_somewhere_only_is_left_out():
    rows = rising()
    assert level_losses([*rows[:3], *rising(optimum=False)[3:]], width=500).size == (500, 250)


@pytest.mark.parametrize(
    "rows", [rising(n=1), rising(scale=1e-30), rising(scale=-1.0), rising(scale=math.nan), rising(scale=0.0)]
)
def test_any_losses_are_drawn(rows):
    assert level_losses(rows, width=300).size[0] == 300
    assert level_losses([LevelLoss(0.0, math.inf, 1.0, math.nan)], width=300).size[0] == 300
