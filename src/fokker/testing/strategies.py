"""Hypothesis strategies for what components are tested with.

They draw the whole range in which float64 formulas can be compared, simple cases first when they shrink, and leave out
what no comparison survives, such as an alpha that underflows.
"""

from itertools import accumulate
from math import exp, log
from operator import mul

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor

from fokker.perturbation import VE, VP, Cosine, Perturbation, SubVP
from fokker.table import Betas, Sigmas

__all__ = ["continuous", "event_shapes", "log_uniform", "perturbations", "states", "tables", "times"]


def log_uniform(low: float, high: float) -> SearchStrategy[float]:
    """Numbers between `low` > 0 and `high` whose logarithms are spread evenly."""
    return st.floats(log(low), log(high)).map(exp).map(lambda value: min(max(value, low), high))


def continuous() -> SearchStrategy[Perturbation]:
    """Perturbations without levels: vp, sub-vp, ve and cosine with all their fields drawn."""
    t_min = st.sampled_from([1e-3, 1e-5, 0.0, 0.01])
    rates = st.tuples(log_uniform(0.01, 2.0), st.floats(0, 30), t_min)
    ve = st.tuples(log_uniform(1e-3, 0.5), log_uniform(2.0, 1e5))
    return st.one_of(
        rates.map(lambda r: VP(beta_min=r[0], beta_max=r[0] + r[1], t_min=r[2])),
        rates.map(lambda r: SubVP(beta_min=r[0], beta_max=r[0] + r[1], t_min=r[2])),
        ve.map(lambda r: VE(sigma_min=r[0], sigma_max=r[0] * r[1])),
        st.builds(Cosine, log_snr_min=st.floats(-25, -1), t_min=t_min),
    )


def tables() -> SearchStrategy[Perturbation]:
    """Perturbations with levels: sigmas and betas, from their formulas and as given values."""
    geometric = st.tuples(log_uniform(1e-3, 0.5), log_uniform(2.0, 1e5), st.integers(2, 100))
    ratios = st.lists(st.floats(1.01, 4.0), min_size=1, max_size=12)
    linear = st.tuples(st.sampled_from(["linear", "scaled-linear"]), st.integers(2, 100), log_uniform(1e-5, 0.05))
    return st.one_of(
        geometric.map(lambda g: Sigmas(minimum=g[0], maximum=g[0] * g[1], levels=g[2])),
        st.tuples(log_uniform(1e-3, 1.0), ratios).map(lambda g: Sigmas(values=tuple(accumulate([g[0], *g[1]], mul)))),
        linear.flatmap(
            lambda g: st.floats(g[2], 0.1).map(
                lambda end: Betas(schedule=g[0], steps=g[1], start=g[2], end=end)  # type: ignore[arg-type]
            )
        ),
        st.integers(2, 100).map(lambda n: Betas(schedule="cosine", steps=n)),
        st.lists(log_uniform(1e-4, 0.9), min_size=2, max_size=12).map(
            lambda values: Betas(schedule="values", values=tuple(values))
        ),
    )


def perturbations() -> SearchStrategy[Perturbation]:
    """Perturbations of every kind."""
    return st.one_of(continuous(), tables())


def times(low: float = 0.0, high: float = 1.0) -> SearchStrategy[float]:
    """Times between `low` and `high`, both included."""
    return st.floats(low, high)


def event_shapes(dims: int = 4, numel: int = 60) -> SearchStrategy[tuple[int, ...]]:
    """Shapes of one example with up to `dims` dimensions and about `numel` numbers at most."""
    side = max(2, int(numel ** (1 / dims)))
    return st.lists(st.integers(1, side), min_size=1, max_size=dims).map(tuple)


def states(shape: tuple[int, ...]) -> SearchStrategy[Tensor]:
    """Standard normal states of this shape, float64; the seed is what shrinks."""
    return st.integers(0, 2**31 - 1).map(
        lambda seed: torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    )
