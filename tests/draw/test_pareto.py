"""Pictures of quality against cost."""

import math
import warnings

import numpy as np
import pytest

from fokker.draw.pareto import Curve, Panel, pareto


def curve(label="a", values=(1.0, 0.1), errors=(0.0, 0.0), **more):
    nfe = [5.0 * 2**k for k in range(len(values))]
    return Curve(label, nfe, [n / 1000 for n in nfe], values, errors, **more)


def size(panels, **more):
    return pareto(panels, **more).size


def test_a_panel_for_each_metric_and_each_cost():
    width, one = size([Panel("m", [curve()])], width=600)
    _, two = size([Panel("m", [curve()]), Panel("k", [curve()])], width=600)
    assert width == 600 and two > 1.7 * one


def test_a_single_budget_is_drawn_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pareto([Panel("m", [Curve(label, [10], [0.01], [1.0], [0.0]) for label in ("a", "b")])], width=600)


@pytest.mark.parametrize(
    "panel",
    [
        Panel("zero and below", [curve(values=(1.0, 0.0)), curve("b", values=(0.5, -0.1))], floor=(0.0, 0.01)),
        Panel("all zero", [curve(values=(0.0, 0.0))]),
        Panel("likeness", [curve(values=(0.5, 0.9))], floor=(0.95, 0.9), likeness=True),
        Panel("errors larger than values", [curve(errors=(5.0, 5.0))]),
        Panel("one point", [curve(values=(1.0,), errors=(0.0,), own=True)]),
        Panel("floor far below", [curve()], floor=(1e-9, 1e-9)),
        Panel("floor above", [curve()], floor=(3.0, 9.0)),
        Panel("many", [curve(f"{'long ' * 4}{k}") for k in range(30)]),
    ],
    ids=lambda panel: panel.name,
)
def test_any_values_can_be_drawn(panel):
    picture = pareto([panel], width=600)
    pixels = np.asarray(picture.image().convert("L"))
    assert (pixels < 200).mean() > 0.005


def test_the_picture_shows_values_errors_and_the_floor():
    def pixels(**more):
        return np.asarray(
            pareto([Panel("m", [curve(errors=more.pop("errors", (0.0, 0.0)))], **more)], width=500).image()
        )

    plain = pixels()
    for changed in (pixels(errors=(0.3, 0.05)), pixels(floor=(0.1, 0.5))):
        assert changed.shape != plain.shape or not np.array_equal(changed, plain)


def test_it_is_saved(tmp_path):
    picture = pareto([Panel("m", [curve(values=(math.e, 1.0))])], tmp_path / "p.png", width=400)
    assert (tmp_path / "p.png").read_bytes() == picture.png
