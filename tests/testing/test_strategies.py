import math
from typing import Annotated, Literal

import pytest
import torch
from annotated_types import Ge, Gt, Interval, Len, Lt, MultipleOf
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from fokker.component import component
from fokker.errors import ConfigError
from fokker.perturbation import VE, VP, Cosine, Perturbation, SubVP
from fokker.table import Betas, Sigmas
from fokker.testing import strategies
from fokker.testing.compare import examples
from fokker.weighting import MinSNR, Weighting
from fokker_networks.unet import UNet


@given(strategies.continuous(), strategies.tables())
def test_tables_have_knots_and_the_others_have_none(continuous, table):
    assert continuous.knots is None
    assert len(table.knots) >= 2


def test_every_kind_of_perturbation_is_drawn():
    def drawn(strategy, condition):
        without_shrinking = settings(max_examples=500, phases=[Phase.generate], derandomize=True, database=None)
        return find(strategy, condition, settings=without_shrinking)

    for kind in (VP, SubVP, VE, Cosine, Sigmas, Betas):
        drawn(strategies.perturbations(), lambda p, kind=kind: isinstance(p, kind))
    for schedule in ("linear", "scaled-linear", "cosine", "values"):
        drawn(strategies.tables(), lambda p, s=schedule: isinstance(p, Betas) and p.schedule == s)
    drawn(strategies.tables(), lambda p: isinstance(p, Sigmas) and p.values is not None)


@given(st.data())
def test_draws_stay_in_their_ranges(data):
    assert 0.2 <= data.draw(strategies.times(0.2, 0.4)) <= 0.4
    assert 1e-7 <= data.draw(strategies.log_uniform(1e-7, 1e3)) <= 1e3
    shape = data.draw(strategies.event_shapes(dims=3, numel=30))
    assert 1 <= len(shape) <= 3 and 1 <= math.prod(shape) <= 30
    x = data.draw(strategies.states((2, *shape)))
    assert x.shape == (2, *shape) and x.dtype == torch.float64


@component
class Many:
    """Fields of every type."""

    small: Annotated[float, Gt(0)] = 1e-3
    share: Annotated[float, Interval(ge=0, le=1)] = 0.5
    below: Annotated[float, Lt(2)] = 1.0
    any_number: float = 0.0
    count: Annotated[int, Ge(1)] = 3
    width: Annotated[int, MultipleOf(8), Ge(8)] = 16
    word: Literal["a", "b"] = "a"
    on: bool = False
    maybe: Annotated[float, Gt(0)] | None = None
    levels: Annotated[tuple[Annotated[int, Ge(0)], ...], Len(2)] = (1, 2)
    pair: tuple[float, Annotated[float, Gt(0)]] = (1.0, 2.0)
    weighting: Weighting = MinSNR()
    parts: tuple[Weighting, ...] = ()
    path: str = "there"

    def __post_init__(self):
        if self.word == "b" and self.on:
            raise ConfigError("b cannot be on.")


def test_every_field_of_a_component_is_drawn():
    drawn = examples(strategies.component(Many), 200)
    for name in Many.__dataclass_fields__:
        values = {getattr(c, name) for c in drawn}
        assert values == {"there"} if name == "path" else len(values) > 1, name
    assert any(c.maybe is None for c in drawn) and any(c.maybe for c in drawn)
    assert {type(c.weighting).__name__ for c in drawn} >= {"MinSNR", "Simple", "P2"}
    assert not any(c.word == "b" and c.on for c in drawn)


def test_numbers_stay_near_the_default_and_within_their_bounds():
    drawn = examples(strategies.component(Many), 300)
    small = sorted(c.small for c in drawn)
    assert 1e-4 <= small[0] < 3e-4 and 3e-3 < small[-1] <= 1e-2
    assert sum(v < 1e-3 for v in small) > 60  # spread over decades, not over the interval
    assert {0.0, 1.0} <= {c.share for c in drawn}
    assert all(c.below < 2 for c in drawn)
    assert all(c.width % 8 == 0 for c in drawn)


def test_what_a_class_refuses_is_not_drawn():
    for cls in (VP, VE, Sigmas, Betas, UNet):
        assert all(isinstance(c, cls) for c in examples(strategies.component(cls), 30))


@pytest.mark.parametrize(
    ("annotation", "near", "fits"),
    [
        (Annotated[float, Gt(0), Lt(1)], None, lambda v: 0 < v < 1),
        (Annotated[float, Ge(1)], 7.0, lambda v: 1 <= v <= 70),
        (Annotated[int, Interval(ge=0, le=2)], None, lambda v: v in (0, 1, 2)),
        (int | None, 5, lambda v: v is None or isinstance(v, int)),
        (Perturbation, None, lambda v: isinstance(v, Perturbation)),
    ],
    ids=["share", "at least", "few", "optional", "component"],
)
def test_values_of_one_field(annotation, near, fits):
    assert all(map(fits, examples(strategies.field_values(annotation, near), 50)))
