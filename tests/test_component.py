from dataclasses import MISSING, FrozenInstanceError
from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Gt, Interval, Len, MaxLen, MinLen, MultipleOf, Predicate
from hypothesis import given
from hypothesis import strategies as st

from fokker.component import component, constraint_text, describe, reference, summary, type_text
from fokker.errors import ConfigError, FokkerError
from fokker.grid import Grid, Uniform


@component
class Example:
    """Every type of field (Author & Author, 2021, eq. 3; Other, 1999).

    More words (not a citation).

    Args:
        rate: A rate,
            in 1 / s: per second.
        count: A count.
        word: A word.

    Raises:
        rate: Not a field's description.
    """

    rate: Annotated[float, Gt(0)]
    count: Annotated[int, Interval(ge=2, le=64), MultipleOf(2)] = 4
    word: Literal["a", "b"] = "a"
    flag: bool = False
    text: str | None = None
    sizes: Annotated[tuple[Annotated[int, Gt(0)], ...], Len(1, 3)] = (1,)
    pair: tuple[float, float] | None = None
    grid: Grid = Uniform()


@component
class Ordered:
    """Two numbers in order."""

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self):
        if self.high <= self.low:
            raise ConfigError(f"Ordered.high must be greater than low = {self.low:g}, got {self.high:g}.")


@component
class Bounded(Ordered):
    """Two numbers in order, and a third."""

    top: Annotated[float, Ge(0)] = 0.0


def test_a_component_is_a_frozen_value():
    one, other = Example(2.0, sizes=[1, 2]), Example(rate=2, sizes=(1, 2))
    assert one == other
    assert hash(one) == hash(other)
    assert one.sizes == (1, 2)
    assert repr(one).startswith("Example(rate=2.0, count=4, word='a'")
    with pytest.raises(FrozenInstanceError):
        one.rate = 3.0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rate": 0}, "Example.rate must be greater than 0, got 0."),
        ({"rate": float("nan")}, "Example.rate must be a finite number, got nan."),
        ({"rate": float("inf")}, "Example.rate must be a finite number, got inf."),
        ({"rate": "1"}, "Example.rate must be a finite number, got '1'."),
        ({"rate": True}, "Example.rate must be a finite number, got True."),
        ({"rate": None}, "Example.rate must be a finite number, got None."),
        ({"count": 4.0}, "Example.count must be a whole number, got 4.0."),
        ({"count": True}, "Example.count must be a whole number, got True."),
        ({"count": 1}, "Example.count must be at least 2, got 1."),
        ({"count": 66}, "Example.count must be at most 64, got 66."),
        ({"count": 5}, "Example.count must be a multiple of 2, got 5."),
        ({"word": "c"}, "Example.word must be one of a, b, got 'c'."),
        ({"flag": 1}, "Example.flag must be true or false, got 1."),
        ({"text": 1}, "Example.text must be text, got 1."),
        ({"sizes": ()}, "Example.sizes must be of length at least 1, got ()."),
        ({"sizes": (1,) * 4}, "Example.sizes must be of length at most 3, got (1, 1, 1, 1)."),
        ({"sizes": (1, 0)}, "Example.sizes[1] must be greater than 0, got 0."),
        ({"sizes": 1}, "Example.sizes must be a list, got 1."),
        ({"sizes": "1"}, "Example.sizes must be a list, got '1'."),
        ({"pair": (1.0,)}, "Example.pair takes 2 values, got 1."),
        ({"pair": (1.0, "x")}, "Example.pair[1] must be a finite number, got 'x'."),
        ({"grid": "uniform"}, "Example.grid must be a Grid, got 'uniform'."),
        ({"grid": None}, "Example.grid must be a Grid, got None."),
    ],
)
def test_bounds_hold_on_direct_construction(fields, message):
    with pytest.raises(ConfigError) as caught:
        Example(**{"rate": 1.0, **fields})
    assert str(caught.value) == message


@given(st.integers() | st.floats() | st.text() | st.booleans() | st.none() | st.lists(st.integers()))
def test_any_value_is_taken_or_refused(value):
    for name in ("rate", "count", "word", "flag", "text", "sizes", "pair", "grid"):
        try:
            made = Example(**{"rate": 1.0, name: value})
        except FokkerError:
            continue
        assert getattr(made, name) == (tuple(value) if isinstance(value, list) else value)


def test_rules_between_fields_run_after_the_bounds():
    with pytest.raises(ConfigError, match=r"Ordered\.high must be a finite number, got 'x'"):
        Ordered(high="x")
    with pytest.raises(ConfigError, match=r"Ordered\.high must be greater than low = 2, got 1\."):
        Ordered(low=2)


def test_a_rule_holds_for_a_subclass_too():
    with pytest.raises(ConfigError, match=r"Ordered\.high must be greater than low = 2"):
        Bounded(low=2)
    with pytest.raises(ConfigError, match=r"Bounded\.top must be at least 0"):
        Bounded(top=-1)


def test_a_bound_that_cannot_be_checked_is_the_authors_error():
    @component
    class Odd:
        """Bounded by a function."""

        number: Annotated[int, Predicate(lambda n: n % 2 == 1)] = 1

    with pytest.raises(TypeError, match="is not a bound that components know"):
        Odd()


def test_describe_tells_all_that_a_reader_needs():
    fields = {field.name: field for field in describe(Example)}
    assert list(fields) == ["rate", "count", "word", "flag", "text", "sizes", "pair", "grid"]
    assert fields["rate"].default is MISSING
    assert fields["rate"].doc == "A rate, in 1 / s: per second."
    assert fields["count"].default == 4
    assert fields["text"].doc == ""
    assert {field.name: (field.type, field.constraint) for field in fields.values()} == {
        "rate": ("number", "greater than 0"),
        "count": ("integer", "at least 2 and at most 64 and a multiple of 2"),
        "word": ("word", "one of a, b"),
        "flag": ("true or false", ""),
        "text": ("text or none", ""),
        "sizes": ("list of integers", "of length at least 1 and of length at most 3 and each greater than 0"),
        "pair": ("list of 2 numbers or none", ""),
        "grid": ("grid", ""),
    }


@pytest.mark.parametrize(
    ("annotation", "text", "constraint"),
    [
        (Annotated[float, Gt(0)] | None, "number or none", "greater than 0"),
        (tuple[Grid, ...], "list of grid", ""),
        (
            Annotated[tuple[str, ...], MinLen(2), MaxLen(2)],
            "list of text",
            "of length at least 2 and of length at most 2",
        ),
        (int | float, "integer or number", ""),
    ],
)
def test_annotations_in_words(annotation, text, constraint):
    assert type_text(annotation) == text
    assert constraint_text(annotation) == constraint


def test_the_docstring_gives_summary_and_reference():
    assert summary(Example) == "Every type of field (Author & Author, 2021, eq. 3; Other, 1999)."
    assert reference(Example) == "Author & Author, 2021, eq. 3; Other, 1999"
    assert reference(Ordered) == ""
