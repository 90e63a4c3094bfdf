import math

import torch
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from fokker.perturbation import VE, VP, Cosine, SubVP
from fokker.table import Betas, Sigmas
from fokker.testing import strategies


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
