import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fokker.errors import ConfigError
from fokker.spec import MAX_DEPTH, Spec, as_spec, as_value, format, format_value, parse, parse_value

parts = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,8}", fullmatch=True)
names = parts | st.tuples(parts, parts).map("/".join)
keys = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,8}", fullmatch=True).filter(lambda key: key != "name")
scalars = st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | names


def specs_of(values):
    return st.builds(Spec, names, st.dictionaries(keys, values, max_size=4))


values = st.recursive(scalars, lambda v: st.lists(v, max_size=3).map(tuple) | specs_of(v), max_leaves=12)
specs = specs_of(values)
grammar = st.text(alphabet="ab1.0e-_/:,=()[]{}\"'\\ \ttrueinfxu", max_size=40)


def types(value):
    """The types all the way down: 1, 1.0 and True are equal but not the same."""
    if isinstance(value, Spec):
        return {key: types(v) for key, v in value.fields.items()}
    return [types(v) for v in value] if isinstance(value, tuple) else type(value)


@given(specs)
@example(Spec("a", {"k": "true"}))
@example(Spec("a", {"k": ("1", 1, 1.0, True, "-inf", "")}))
@example(Spec("a", {"k": Spec("b")}))
@example(Spec("a", {"k": "\ud800\x00\x7f\u2028"}))
@example(Spec("a", {"k": -0.0}))
def test_specs_round_trip(spec):
    text = format(spec)
    again = parse(text)
    assert again == spec
    assert types(again) == types(spec)
    assert format(again) == text
    assert "\n" not in text


@given(values)
def test_values_round_trip(value):
    assert parse_value(format_value(value)) == value


@given(specs)
def test_tables_round_trip(spec):
    assert as_spec(spec.table()) == spec
    assert as_spec(format(spec)) == spec
    assert as_spec(spec) is spec


@given(specs)
def test_colons_and_parentheses_mean_the_same(spec):
    fields = ",".join(f"{key}={format_value(value)}" for key, value in spec.fields.items())
    assert parse(f"{spec.name}({fields})") == spec
    if fields:
        assert parse(f"{spec.name}:{fields}") == spec
        assert parse_value(f"{spec.name}:{fields}") == parse_value(f"{spec.name}({fields})") == spec


@given(specs, st.text(" \t\n", min_size=1, max_size=3))
def test_white_space_between_tokens_means_nothing(spec, space):
    fields = f"{space},{space}".join(f"{key}{space}={space}{format_value(value)}" for key, value in spec.fields.items())
    assert parse(f"{space}{spec.name}{space}({space}{fields}{space}){space}") == spec


@given(st.text() | grammar)
@example("a:b=" + "[" * 5000)
@example("a(b=" * 5000)
@example("a:b=" * 5000)
@example("a:b=" + "9" * 5000)
@example("a:b=1e999999")
@example('a:b="\\ud800"')
@example('a:b="\\')
@example("a:b='x\ny'")
@example("\ud800")
@example("a:\u00a0=1")
@example("a:b=\x00")
@example("a:name=1")
@example("a:b=1,b=2")
def test_any_text_is_a_spec_or_a_clean_error(text):
    try:
        assert isinstance(parse(text), Spec)
    except ConfigError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 300
    try:
        parse_value(text)
    except ConfigError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("vp", Spec("vp")),
        ("vp()", Spec("vp")),
        ("fokker-foo/heun:churn=0.1", Spec("fokker-foo/heun", {"churn": 0.1})),
        ("1000t", Spec("1000t")),
        ("vp:beta_min=1,beta_max=2e1", Spec("vp", {"beta_min": 1, "beta_max": 20.0})),
        ("a:k=0x1F,l=1_000,m=+2,n=-.5", Spec("a", {"k": 31, "l": 1000, "m": 2, "n": "-.5"})),
        ("a:k=true,l=True,m=none", Spec("a", {"k": True, "l": "True", "m": "none"})),
        ("a:k=2020-01-01", Spec("a", {"k": "2020-01-01"})),
        ("a:k=log-snr", Spec("a", {"k": "log-snr"})),
        ("a:k=../data/set.npy", Spec("a", {"k": "../data/set.npy"})),
        ("a:k=\"x, y: (z)/\\u00e9\",l='\\n'", Spec("a", {"k": "x, y: (z)/é", "l": "\\n"})),
        ("a:k=[1,2,],l=[]", Spec("a", {"k": (1, 2), "l": ()})),
        (
            "a:k=[range:low=0,high=1,standardise]",
            Spec("a", {"k": (Spec("range", {"low": 0, "high": 1}), "standardise")}),
        ),
        ("pc:predictor=b(v=1),corrector=c", Spec("pc", {"predictor": Spec("b", {"v": 1}), "corrector": "c"})),
        ("pc:predictor=b:v=1,corrector=c", Spec("pc", {"predictor": Spec("b", {"v": 1, "corrector": "c"})})),
        ("a(b=c:d=1)", Spec("a", {"b": Spec("c", {"d": 1})})),
        ("a:b=c()", Spec("a", {"b": Spec("c")})),
    ],
)
def test_the_grammar_by_example(text, spec):
    assert parse(text) == spec
    assert types(parse(text)) == types(spec)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is not a spec: expected the name of a component at column 1, found the end."),
        ("vp:", "'vp:' is not a spec: expected a field, key=value, at column 4, found the end."),
        ("vp:beta", "expected '=' at column 8, found the end."),
        ("vp:beta=", "expected a value at column 9, found the end."),
        ("vp:beta=1,", "expected a field, key=value, after the comma at column 10, found ','"),
        ("vp:beta=1,2", "expected a field, key=value, after the comma at column 10, found ','"),
        ("vp(beta=1", "expected ',' or ')' at column 10, found the end."),
        ("vp(beta=1]", "expected ',' or ')' at column 10, found ']'"),
        ("vp:beta=[1", "expected ',' or ']' at column 11, found the end."),
        ("vp beta", "expected the end at column 4, found 'b'."),
        ("vp:beta=1,beta=2", "expected another field at column 11, found 'b'."),
        ("vp:name=1", "expected a field that is not called 'name' at column 4, found 'n'."),
        ("a/b/c", "expected the name of a component at column 1, found 'a'."),
        ("a:k=b=c", "expected the end at column 6, found '='; quotes make it text."),
        ("a:k=C:\\x", "expected a field, key=value, at column 7, found '\\\\'."),
        ('a:k="x', "expected a string as TOML has it at column 5, found '\"'"),
        ("a:k=" + "[" * 40, f"is nested deeper than {MAX_DEPTH} levels."),
        ("a:k=" + "9" * 5000, "has an integer of 5000 characters."),
    ],
)
def test_errors_say_where_and_what_was_expected(text, message):
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert message in str(caught.value)


def test_nan_is_read_and_written():
    assert math.isnan(parse("a:k=nan").fields["k"])
    assert format(parse("a:k=nan")) == "a:k=nan"


def test_specs_are_values():
    spec = parse("a:k=1,l=2")
    assert {spec: 1}[parse("a:l=2,k=1")] == 1
    assert str(spec) == "a:k=1,l=2"
    with pytest.raises(TypeError):
        spec.fields["k"] = 2


@pytest.mark.parametrize("name", ["", "a b", "a/b/c", "/a", "-a", "a:b"])
def test_a_spec_has_a_proper_name(name):
    with pytest.raises(ConfigError, match="is not a component's name"):
        Spec(name)


@pytest.mark.parametrize("key", ["", "name", "a b", "1a", "a.b"])
def test_a_field_has_a_proper_name(key):
    with pytest.raises(ConfigError, match="is not a field's name"):
        Spec("a", {key: 1})


def test_what_a_spec_cannot_hold_is_refused():
    with pytest.raises(ConfigError, match="None cannot be written in a spec"):
        format(Spec("a", {"k": None}))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, 'grid needs the name of a component, as in name = "...".'),
        ({"name": 3}, 'grid needs the name of a component, as in name = "...".'),
        (3, "grid must name a component, got 3."),
        ("karras:", "grid: 'karras:' is not a spec: expected a field"),
        ({"name": "a b"}, "grid: 'a b' is not a component's name."),
        ({"name": "a", "k": {"l": {}}}, 'grid.k needs the name of a component, as in name = "...".'),
        ({"name": "a", "k": [1, {"name": 2}]}, 'grid.k[1] needs the name of a component, as in name = "...".'),
        ({"name": "a", "k": __import__("datetime").date(2020, 1, 1)}, "grid.k cannot be a date or a time."),
        ({"name": "a", "k": None}, "grid.k cannot be None."),
    ],
)
def test_a_table_that_is_no_spec_is_named_by_its_key(value, message):
    with pytest.raises(ConfigError) as caught:
        as_spec(value, "grid")
    assert str(caught.value).startswith(message)


def test_arrays_become_tuples():
    assert as_value([1, [2.0, "x"]]) == (1, (2.0, "x"))
