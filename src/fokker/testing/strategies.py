"""Hypothesis strategies for what components are tested with.

They draw the whole range in which float64 formulas can be compared, simple cases first when they shrink, and leave out
what no comparison survives, such as an alpha that underflows.
"""

import dataclasses
import types
import typing
from itertools import accumulate
from math import exp, inf, log, nextafter
from operator import mul
from typing import Annotated, Any, Literal, get_args, get_origin

import annotated_types as at
import hypothesis
import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor

from fokker.component import describe
from fokker.errors import FokkerError
from fokker.perturbation import VE, VP, Cosine, Perturbation, SubVP
from fokker.plugins.host import load_plugins
from fokker.plugins.registry import INTERFACES, Registry
from fokker.table import Betas, Sigmas

__all__ = [
    "component",
    "continuous",
    "event_shapes",
    "field_values",
    "log_uniform",
    "perturbations",
    "states",
    "tables",
    "times",
]


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


def component(cls: type, *, near: object = None, registry: Registry | None = None) -> SearchStrategy[Any]:
    """Instances of a component's class with every field drawn, not only the required ones.

    What the class refuses is drawn again, so the rules of its `__post_init__` hold.

    Args:
        cls: The class.
        near: An instance whose values the fields are drawn near, which names the files of a class that needs some; the
            defaults unless given.
        registry: Where sub-components are taken from; that of the installed plugins unless given.
    """
    registry = load_plugins().registry if registry is None else registry
    drawn = {
        f.name: field_values(f.annotation, f.default if near is None else getattr(near, f.name), registry=registry)
        for f in describe(cls)
    }

    def make(values: dict[str, Any]) -> Any:
        try:
            return cls(**values)
        except FokkerError:
            hypothesis.reject()

    return st.fixed_dictionaries(drawn).map(make)


def field_values(annotation: Any, near: Any = None, *, registry: Registry | None = None) -> SearchStrategy[Any]:
    """Values that an annotated field allows.

    Numbers stay within their bounds and within a factor of ten of `near`, so that what is made with them can be run;
    a range over several decades is drawn log-uniformly. Texts are names of things outside, such as files: they are
    `near` alone. A field for a component draws registered ones that need nothing.

    Args:
        annotation: The annotation, with its bounds.
        near: The field's default, or any value that makes sense.
        registry: Where components are taken from; that of the installed plugins unless given.
    """
    bounds: list[Any] = []
    if get_origin(annotation) is Annotated:
        annotation, *metadata = get_args(annotation)
        for each in metadata:
            bounds.extend(each if isinstance(each, at.GroupedMetadata) else [each])
    near = None if near is dataclasses.MISSING else near
    origin = get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        inner = [a for a in get_args(annotation) if a is not type(None)]
        options = [field_values(Annotated[(a, *bounds)] if bounds else a, near, registry=registry) for a in inner]
        return st.one_of(*([st.none()] if len(inner) < len(get_args(annotation)) else []), *options)
    if origin is Literal:
        return st.sampled_from(get_args(annotation))
    if annotation is bool:
        return st.booleans()
    if annotation is float:
        return _floats(bounds, near)
    if annotation is int:
        return _integers(bounds, near)
    if origin is tuple:
        return _tuples(get_args(annotation), bounds, near, registry)
    kind = getattr(annotation, "kind", None)
    if kind in INTERFACES:
        found = _registered(annotation, load_plugins().registry if registry is None else registry)
        return st.sampled_from([*([near] if isinstance(near, annotation) else []), *found])
    return st.just(near)


def _interval(bounds: list[Any]) -> tuple[float, float, bool, bool]:
    low, high, open_low, open_high = -inf, inf, False, False
    for bound in bounds:
        match bound:
            case at.Gt(gt=value):
                low, open_low = float(value), True  # type: ignore[arg-type]
            case at.Ge(ge=value):
                low = float(value)  # type: ignore[arg-type]
            case at.Lt(lt=value):
                high, open_high = float(value), True  # type: ignore[arg-type]
            case at.Le(le=value):
                high = float(value)  # type: ignore[arg-type]
    return low, high, open_low, open_high


def _floats(bounds: list[Any], near: Any) -> SearchStrategy[float]:
    low, high, open_low, open_high = _interval(bounds)
    middle = float(near) if isinstance(near, (int, float)) and near else 1.0
    scale = 10 * abs(middle)
    if low >= 0 and (open_low or middle > low):  # a quantity with a scale
        bottom = max(low, abs(middle) / 10) or abs(middle) / 10
        top = min(high, scale)
        edges = [v for v, is_open in ((low, open_low), (high, open_high)) if abs(v) < inf and not is_open]
        bottom = nextafter(bottom, inf) if open_low and bottom == low else bottom
        top = nextafter(top, -inf) if open_high and top == high else top
        inside = log_uniform(bottom, top) if bottom < top else st.just(bottom)
        return st.one_of(inside, st.sampled_from(edges)) if edges else inside
    return st.floats(max(low, -scale), min(high, scale), exclude_min=open_low and low > -scale, exclude_max=open_high)


def _integers(bounds: list[Any], near: Any) -> SearchStrategy[int]:
    low, high, open_low, open_high = _interval(bounds)
    middle = near if isinstance(near, int) and not isinstance(near, bool) else 4
    bottom = int(low) + open_low if low > -inf else middle - 8
    top = int(min(high - open_high, max(2 * middle, bottom + 8)))
    step: Any = next((b.multiple_of for b in bounds if isinstance(b, at.MultipleOf)), 1)
    return st.integers(-(-bottom // step), top // step).map(lambda n: n * step)


def _tuples(
    inner: tuple[Any, ...], bounds: list[Any], near: Any, registry: Registry | None
) -> SearchStrategy[tuple[Any, ...]]:
    first = near[0] if isinstance(near, tuple) and near else None
    if not (len(inner) == 2 and inner[1] is Ellipsis):
        values = near if isinstance(near, tuple) and len(near) == len(inner) else [None] * len(inner)
        return st.tuples(*(field_values(a, v, registry=registry) for a, v in zip(inner, values, strict=True)))
    least = max((b.min_length for b in bounds if isinstance(b, at.MinLen)), default=0)
    most = min((b.max_length for b in bounds if isinstance(b, at.MaxLen)), default=least + 3)
    each = field_values(inner[0], first, registry=registry)
    return st.lists(each, min_size=least, max_size=most).map(tuple)


def _registered(interface: type, registry: Registry) -> list[Any]:
    found = []
    for entry in registry.entries(interface.kind):  # type: ignore[attr-defined]
        cls = entry.load()
        if all(f.default is not dataclasses.MISSING for f in describe(cls)) and issubclass(cls, interface):
            found.append(cls())
    return found
