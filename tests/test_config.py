import copy
import json
import tomllib
from typing import Annotated, Literal

import pytest
import tomli_w
from annotated_types import Ge, Gt, Interval, Len
from hypothesis import given
from hypothesis import strategies as st

from fokker import config
from fokker.component import component
from fokker.errors import ConfigError, FokkerError
from fokker.grid import Grid
from fokker.plugins import load_plugins
from fokker.plugins.registry import Provider, Registry
from fokker.spec import Spec


@component
class Leaf(Grid):
    """A grid with every type of scalar.

    Args:
        rate: A rate.
    """

    rate: Annotated[float, Gt(0)] = 1.0
    count: Annotated[int, Interval(ge=1, le=9)] = 3
    word: Literal["alpha", "beta"] = "alpha"
    flag: bool = False
    text: str = ""
    limit: Annotated[float, Ge(0)] | None = 1.0
    sizes: Annotated[tuple[Annotated[int, Gt(0)], ...], Len(1)] = (1, 2)
    pair: tuple[float, float] | None = None

    def __post_init__(self):
        if self.limit is not None and self.limit > self.rate * 10:
            raise ConfigError(f"Leaf.limit must be at most ten times rate = {self.rate:g}, got {self.limit:g}.")

    def times(self, perturbation, steps): ...


@component
class Branch(Grid):
    """A grid made of grids."""

    first: Grid
    second: Grid | None = None
    rest: tuple[Grid, ...] = ()
    leaf: Leaf = Leaf()

    def times(self, perturbation, steps): ...


@component
class Shadow(Grid):
    """Fields with names that pydantic has for itself."""

    schema: int = 1
    copy: int = 2
    model_config: int = 3
    json: int = 4

    def times(self, perturbation, steps): ...


@component
class Settings:
    """Settings that have no name."""

    grid: Grid
    steps: Annotated[int, Ge(1)] = 10


@pytest.fixture(scope="module")
def registry():
    own = Registry(Provider("fokker", "core"))
    own.grid("leaf", Leaf)
    own.grid("branch", Branch)
    own.grid("shadow", Shadow)
    foreign = Registry(Provider("foo", "foo"))
    foreign.grid("uniform", "fokker.grid:Uniform")
    own.merge(foreign)
    return own


@pytest.fixture(scope="module")
def host():
    return load_plugins(environ={})


def error_of(registry, value, kind="grid", **kwargs):
    with pytest.raises(ConfigError) as caught:
        config.build(registry, kind, value, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


leaves = st.builds(
    Leaf,
    rate=st.floats(1, 1e300),
    count=st.integers(1, 9),
    word=st.sampled_from(["alpha", "beta"]),
    flag=st.booleans(),
    text=st.text(st.characters(exclude_categories=["Cs"])),
    limit=st.none() | st.floats(0, 10),
    sizes=st.lists(st.integers(1, 2**60), min_size=1, max_size=4).map(tuple),
    pair=st.none() | st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)),
)
trees = st.recursive(
    leaves | st.builds(Shadow, copy=st.integers(-5, 5)),
    lambda grids: st.builds(
        Branch, first=grids, second=st.none() | grids, rest=st.lists(grids, max_size=2).map(tuple), leaf=leaves
    ),
    max_leaves=5,
)


@given(grid=trees)
def test_tables_round_trip_through_toml(registry, grid):
    table = config.to_table(registry, grid)
    assert config.build(registry, "grid", table) == grid
    assert config.build(registry, "grid", tomllib.loads(tomli_w.dumps(table))) == grid


@pytest.mark.parametrize(
    "value",
    [
        "leaf:rate=2,word=beta,sizes=[3]",
        "leaf(rate=2.0, word=beta, sizes=[3])",
        "fokker/leaf:rate=2,word=beta,sizes=[3]",
        {"name": "leaf", "rate": 2, "word": "beta", "sizes": [3]},
        Spec("leaf", {"rate": 2.0, "word": "beta", "sizes": (3,)}),
        Leaf(rate=2.0, word="beta", sizes=(3,)),
    ],
)
def test_all_forms_mean_the_same(registry, value):
    assert config.build(registry, "grid", value) == Leaf(rate=2.0, word="beta", sizes=(3,))


@pytest.mark.parametrize(
    "value",
    [
        "branch:first=leaf,rest=[leaf:rate=2,leaf]",
        "branch(first=leaf(), rest=[leaf(rate=2), leaf()])",
        {"name": "branch", "first": "leaf", "rest": ["leaf:rate=2", {"name": "leaf"}]},
    ],
)
def test_sub_components_are_built_at_any_depth(registry, value):
    assert config.build(registry, "grid", value) == Branch(Leaf(), rest=(Leaf(rate=2.0), Leaf()))


def test_a_whole_number_will_do_for_a_float(registry):
    built = config.build(registry, "grid", {"name": "leaf", "rate": 2, "pair": [1, 2]})
    assert built == Leaf(rate=2.0, pair=(1.0, 2.0))
    assert isinstance(built.rate, float)


def test_none_is_written_where_leaving_out_means_something_else(registry):
    table = config.to_table(registry, Leaf(limit=None))
    assert table["limit"] == "none"
    assert "pair" not in table
    assert config.build(registry, "grid", "leaf:limit=none").limit is None
    assert config.build(registry, "grid", "leaf").limit == 1.0
    assert config.build(registry, "grid", "branch:first=leaf,second=none").second is None


def test_a_registered_none_is_a_component(registry):
    with_none = Registry(Provider("fokker", "core"))
    with_none.grid("branch", Branch)
    with_none.grid("none", Shadow)
    assert config.build(with_none, "grid", "branch:first=none,second=none").second == Shadow()


def test_an_empty_value_that_toml_cannot_say_is_refused(registry):
    @component
    class Titled:
        """A title that is there unless it is taken away."""

        title: str | None = "untitled"

    assert config.settings_table(registry, Titled()) == {"title": "untitled"}
    with pytest.raises(ConfigError, match=r"Titled\.title is empty, which TOML cannot say"):
        config.settings_table(registry, Titled(title=None))


def test_names_of_strangers_are_qualified_in_tables(registry):
    uniform = config.build(registry, "grid", "uniform:end=0.5")
    table = config.to_table(registry, uniform)
    assert table == {"name": "foo/uniform", "end": 0.5}
    assert config.build(registry, "grid", table) == uniform


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"rate": -1}, "grid.rate must be a number greater than 0, got -1."),
        ({"rate": "abc"}, "grid.rate must be a number greater than 0, got 'abc'."),
        ({"rate": "3"}, "grid.rate must be a number greater than 0, got '3'."),
        ({"rate": True}, "grid.rate must be a number greater than 0, got true."),
        ({"rate": float("inf")}, "grid.rate must be a number greater than 0, got inf."),
        ({"rate": float("nan")}, "grid.rate must be a number greater than 0, got nan."),
        ({"count": 3.0}, "grid.count must be an integer at least 1 and at most 9, got 3.0."),
        ({"count": 10}, "grid.count must be an integer at least 1 and at most 9, got 10."),
        ({"count": True}, "grid.count must be an integer at least 1 and at most 9, got true."),
        ({"flag": 1}, "grid.flag must be true or false, got 1."),
        ({"flag": "true"}, "grid.flag must be true or false, got 'true'."),
        ({"text": 3}, "grid.text must be text, got 3. Put it in quotes."),
        ({"word": "bata"}, "grid.word must be one of alpha, beta, got 'bata'. Did you mean 'beta'?"),
        ({"word": 1}, "grid.word must be one of alpha, beta, got 1."),
        ({"limit": "nine"}, "grid.limit must be a number at least 0, got 'nine'."),
        ({"sizes": [1, 0]}, "grid.sizes[1] must be an integer greater than 0, got 0."),
        ({"sizes": []}, "grid.sizes must be a list of integers of length at least 1 and each greater than 0, got []."),
        ({"sizes": 1}, "grid.sizes must be a list of integers of length at least 1 and each greater than 0, got 1."),
        ({"pair": [1]}, "grid.pair must be a list of 2 numbers, got [1]."),
        ({"pair": [1, 2, 3]}, "grid.pair must be a list of 2 numbers, got [1, 2, 3]."),
        ({"pair": [1, "x"]}, "grid.pair[1] must be a number, got 'x'."),
        ({"rate": "leaf(rate=1)"}, "grid.rate must be a number greater than 0, got 'leaf(rate=1)'."),
        ({"rate": {"name": "leaf"}}, "grid.rate must be a number greater than 0, got 'leaf'."),
        ({"limit": 11}, "grid.limit must be at most ten times rate = 1, got 11."),
        (
            {"rat": 1},
            "grid has no field 'rat'. Did you mean 'rate'? It has rate, count, word, flag, text, limit, sizes, pair.",
        ),
        (
            {"rate": 0, "count": 0},
            "grid.rate must be a number greater than 0, got 0. "
            "grid.count must be an integer at least 1 and at most 9, got 0.",
        ),
    ],
)
def test_a_misfit_is_one_line_with_its_key_and_what_is_allowed(registry, value, message):
    assert error_of(registry, {"name": "leaf", **value}) == message


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("branch", "grid.first is missing; it is a grid."),
        ("branch:first=3", "grid.first must name a component, got 3."),
        ("branch:first=laef", "grid.first: No grid named 'laef'. Did you mean 'leaf'?"),
        ("branch:first=leaf(rate=0)", "grid.first.rate must be a number greater than 0, got 0."),
        ("branch:first=leaf,rest=leaf", "grid.rest must be a list of components, as in [standardise], got 'leaf'."),
        ("branch:first=leaf,rest=[leaf,leaf(rate=0)]", "grid.rest[1].rate must be a number greater than 0, got 0."),
        ("branch:first=leaf,leaf=shadow", "grid.leaf must be a Leaf, got 'shadow'."),
        ("branch:first=leaf:limit=11", "grid.first.limit must be at most ten times rate = 1, got 11."),
        ("branch:first=branch(first=leaf(x=1))", "grid.first.first has no field 'x'. It has rate, count,"),
        ("laef", "No grid named 'laef'. Did you mean 'leaf'?"),
        ("shadow:z=1", "grid has no field 'z'. It has schema, copy, model_config, json."),
        ({"rate": 1}, 'grid needs the name of a component, as in name = "...".'),
    ],
)
def test_a_nested_misfit_has_its_full_key(registry, value, message):
    assert error_of(registry, value).startswith(message)


def test_where_names_the_place(registry):
    assert error_of(registry, "leaf:rate=0", where="sample.grid").startswith("sample.grid.rate must be")
    assert error_of(registry, "laef", where="sample.grid").startswith("sample.grid: No grid named 'laef'.")


def test_a_kind_that_is_not_there_is_refused(registry):
    assert error_of(registry, "leaf", kind="gird").startswith("No kind 'gird'. Did you mean 'grid'?")


@given(value=st.text() | st.dictionaries(st.text(), st.text() | st.integers() | st.floats() | st.booleans()))
def test_any_value_builds_or_is_refused_cleanly(registry, value):
    try:
        config.build(registry, "grid", value)
    except FokkerError as error:
        assert str(error)


@given(
    key=st.sampled_from(["rate", "count", "word", "flag", "text", "limit", "sizes", "pair", "no"]),
    value=st.recursive(st.text() | st.integers() | st.floats() | st.booleans(), st.lists, max_leaves=4),
)
def test_any_field_is_taken_as_it_is_or_refused(registry, key, value):
    try:
        built = config.build(registry, "grid", {"name": "leaf", key: value})
    except ConfigError:
        return
    taken = getattr(built, key)
    assert taken == (tuple(value) if isinstance(value, list) else None if value == "none" and key == "limit" else value)


def test_settings_have_no_name(registry):
    settings = config.build_settings(registry, Settings, {"grid": "leaf:rate=2"}, "sample")
    assert settings == Settings(Leaf(rate=2.0))
    table = config.settings_table(registry, settings)
    assert table["steps"] == 10
    assert table["grid"]["name"] == "leaf"
    assert config.build_settings(registry, Settings, table, "sample") == settings
    for value, message in [
        ({"grid": "leaf", "step": 1}, "sample has no field 'step'. Did you mean 'steps'? It has grid, steps."),
        ({}, "sample.grid is missing; it is a grid."),
        (3, "sample must be a table, got 3."),
    ]:
        with pytest.raises(ConfigError) as caught:
            config.build_settings(registry, Settings, value, "sample")
        assert str(caught.value) == message


def test_a_component_that_is_not_registered_has_no_table(registry):
    with pytest.raises(ConfigError, match="Settings is not a registered component"):
        config.to_table(registry, Settings(Leaf()))


def test_schema_says_what_build_takes(registry):
    leaf = config.schema(registry, "grid", "leaf")
    assert leaf["additionalProperties"] is False
    assert leaf["required"] == ["name"]
    properties = leaf["properties"]
    assert list(properties) == ["name", "rate", "count", "word", "flag", "text", "limit", "sizes", "pair"]
    assert properties["name"] == {"const": "leaf"}
    assert properties["rate"] == {
        "title": "rate",
        "type": "number",
        "exclusiveMinimum": 0,
        "default": 1.0,
        "description": "A rate.",
    }
    assert properties["sizes"]["default"] == [1, 2]
    assert "default" not in properties["pair"]
    branch = config.schema(registry, "grid", "branch")
    assert branch["required"] == ["name", "first"]
    assert branch["properties"]["leaf"]["default"]["name"] == "leaf"
    assert {"type": "string"} in branch["properties"]["first"]["anyOf"]
    json.dumps([leaf, branch])


@pytest.mark.parametrize(
    ("assignment", "result"),
    [
        ("steps=3", {"steps": 3}),
        ("train.lr=1e-3", {"train": {"lr": 1e-3}}),
        ("train.compile=true", {"train": {"compile": True}}),
        ("data.root=../shared/data", {"data": {"name": "images", "root": "../shared/data"}}),
        ('data.root="3"', {"data": {"name": "images", "root": "3"}}),
        ("data.root=a=b", {"data": {"name": "images", "root": "a=b"}}),
        ("data.root=", {"data": {"name": "images", "root": ""}}),
        ("data.root=2020-01-01", {"data": {"name": "images", "root": "2020-01-01"}}),
        ("data.root=1\nb = 2", {"data": {"name": "images", "root": "1\nb = 2"}}),
        ("data.transforms=[standardise]", {"data": {"name": "images", "transforms": ["standardise"]}}),
        ("data.size=[32, 32]", {"data": {"name": "images", "size": [32, 32]}}),
        (
            "data.transforms=[range:low=0,logit]",
            {"data": {"name": "images", "transforms": [{"name": "range", "low": 0}, "logit"]}},
        ),
        ("sampler=ddim:eta=1", {"sampler": "ddim:eta=1"}),
        ('grid={name = "karras", rho = 3}', {"grid": {"name": "karras", "rho": 3}}),
        ("grid.rho=3", {"grid": {"name": "log-snr", "rho": 3}}),
        ("list.1.low=3", {"list": ["a", {"name": "range", "high": 2, "low": 3}]}),
        ("list.0=b", {"list": ["b", "range:high=2"]}),
        ("empty.a.b=1", {"empty": {"a": {"b": 1}}}),
    ],
)
def test_set_path_sets_one_value(assignment, result):
    table = {"data": {"name": "images"}, "grid": "log-snr", "list": ["a", "range:high=2"], "empty": None}
    expected = {**copy.deepcopy(table), **result}
    config.set_path(table, assignment)
    assert table == expected


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("steps", "--set takes key=value with a dotted key, such as train.lr=0.001, got 'steps'."),
        ("=3", "--set takes key=value"),
        ("a..b=3", "--set takes key=value"),
        ("steps.a=3", "--set cannot set anything inside steps, which is 3."),
        ("list.2=3", "--set list.2: the array has 1 entries, counted from 0, and none is '2'."),
        ("list.x.y=3", "--set list.x: the array has 1 entries, counted from 0, and none is 'x'."),
        ("list=[a", "'[a' is not a spec: expected ',' or ']'"),
        ("text.a=1", "text: 'not a spec' is not a spec: expected the end"),
    ],
)
def test_set_path_refuses_what_is_no_assignment(assignment, message):
    with pytest.raises(ConfigError) as caught:
        config.set_path({"steps": 3, "list": ["a"], "text": "not a spec"}, assignment)
    assert str(caught.value).startswith(message)


@given(st.text())
def test_any_text_is_an_assignment_or_refused(text):
    table = {}
    try:
        config.set_path(table, text)
    except ConfigError as error:
        assert "\n" not in str(error)
        assert table == {}
    else:
        assert list(table) == [text.partition("=")[0].split(".")[0].strip()]


def test_every_installed_component_round_trips(host):
    seen = 0
    for entry in host.registry:
        if entry.kind == "recipe":
            continue
        cls = entry.load()
        schema = config.schema(host, entry.kind, entry.qualified)
        assert schema["title"] == cls.__name__
        if schema["required"] == ["name"]:
            component = config.build(host, entry.kind, entry.name)
            assert component == cls()
            table = config.to_table(host, component, entry.kind)
            assert table["name"] == entry.name
            assert config.build(host, entry.kind, tomllib.loads(tomli_w.dumps(table))) == component
            seen += 1
    assert seen > 30
