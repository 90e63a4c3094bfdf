import subprocess
import sys
from abc import abstractmethod
from dataclasses import dataclass
from importlib import import_module

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fokker.component import component
from fokker.errors import ConfigError, FokkerError, PluginError
from fokker.grid import Grid
from fokker.plugins.registry import INTERFACES, KINDS, Provider, Registry


@component
class Halves(Grid):
    """Halves the time again and again."""

    def times(self, perturbation, steps):
        return 0.5**perturbation


class Abstract(Grid):
    @abstractmethod
    def more(self): ...


class Undecorated(Grid):
    def times(self, perturbation, steps): ...


@dataclass(frozen=True)
class NamedName(Grid):
    name: str = "x"

    def times(self, perturbation, steps): ...


def registry(*distributions):
    """A registry in which each distribution provides the grid `halves`."""
    whole = Registry()
    for distribution in distributions:
        one = Registry(Provider(distribution, "p", "1.0"))
        one.grid("halves", Halves)
        whole.merge(one)
    return whole


def test_every_kind_has_a_method():
    filled = Registry()
    for kind in KINDS:
        target = "package:recipes/file.toml" if kind == "recipe" else "package.module:Class"
        getattr(filled, kind)("some-name", target, summary=f"A {kind}.")
        entry = filled.get(kind, "some_name")
        assert (entry.kind, entry.name, entry.target, entry.summary) == (kind, "some-name", target, f"A {kind}.")
    assert [entry.kind for entry in filled] == list(KINDS)


@pytest.mark.parametrize("kind", INTERFACES)
def test_an_interface_says_its_kind(kind):
    module, _, name = INTERFACES[kind].partition(":")
    interface = getattr(import_module(module), name)
    assert interface.kind == kind


@pytest.mark.parametrize("name", ["", "Halves", "half_life", "-halves", "halves-", "a--b", "a/b", "a b", "é", 3, None])
def test_names_are_kebab_case(name):
    with pytest.raises(PluginError, match="names are kebab-case"):
        Registry().grid(name, "a:B")


@pytest.mark.parametrize("target", ["", "a.b", "a:", ":B", "a b:C", "a/b:C", "a:B()", 3, None, "a.toml:x.toml/"])
def test_a_malformed_target_is_refused(target):
    with pytest.raises(PluginError, match=r"is not of the form 'package\.module:Class'"):
        Registry().grid("halves", target)
    with pytest.raises(PluginError, match=r"is not of the form 'package:folder/file\.toml'"):
        Registry().recipe("halves", target)


def test_looking_up_imports_nothing():
    empty = Registry()
    empty.sampler("ghost", "no.such.module:Ghost", summary="Not there.")
    assert empty.get("sampler", "ghost").summary == "Not there."
    with pytest.raises(PluginError) as caught:
        empty.get("sampler", "ghost").load()
    assert str(caught.value) == (
        "sampler 'ghost' of plugin local (local) cannot be loaded: ModuleNotFoundError: No module named 'no'"
    )


def test_load_gives_the_class():
    lazy = Registry()
    lazy.grid("halves", Halves)
    lazy.grid("uniform", "fokker.grid:Uniform")
    assert lazy.get("grid", "halves").load() is Halves
    assert lazy.get("grid", "uniform").load().__name__ == "Uniform"
    assert lazy.get("grid", "halves").describe() == "Halves the time again and again."


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("fokker.grid:Nothing", "AttributeError: module 'fokker.grid' has no attribute 'Nothing'"),
        ("fokker.perturbation:VP", "grid 'x' of plugin p (foo 1.0) is not a Grid: 'fokker.perturbation:VP' must be"),
        ("fokker.grid:karras_sigmas", "must be a subclass of it"),
        (Abstract, "is abstract: Abstract must define more, times."),
        (Undecorated, "must be a class made by @component"),
        (NamedName, "with no field called 'name'"),
    ],
)
def test_load_refuses_what_is_not_a_component_of_its_kind(target, message):
    bad = Registry(Provider("foo", "p", "1.0"))
    bad.grid("x", target)
    with pytest.raises(PluginError) as caught:
        bad.get("grid", "x").load()
    assert message in str(caught.value)


def test_a_recipe_is_read_from_its_package(tmp_path, monkeypatch):
    package = tmp_path / "fokker_of_recipes" / "recipes"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").write_text("")
    (package / "one.toml").write_text("steps = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    recipes = Registry()
    recipes.recipe("one", "fokker_of_recipes:recipes/one.toml")
    recipes.recipe("two", "fokker_of_recipes:recipes/two.toml")
    assert recipes.get("recipe", "one").text() == "steps = 1\n"
    with pytest.raises(PluginError, match=r"recipe 'two' of plugin local .* cannot be read: FileNotFoundError"):
        recipes.get("recipe", "two").text()
    with pytest.raises(TypeError, match="is a text"):
        recipes.get("recipe", "one").load()
    del sys.modules["fokker_of_recipes"]


def test_registering_a_name_twice_is_refused():
    twice = Registry()
    twice.grid("halves", "a:B")
    twice.sampler("halves", "a:C")  # another kind is another name
    with pytest.raises(PluginError, match="grid 'halves' is registered twice"):
        twice.grid("halves", "a:B")


def test_a_qualified_name_means_one_component():
    both = registry("foo", "bar")
    assert both.get("grid", "foo/halves").provider.distribution == "foo"
    assert both.get("grid", "Bar/halves").provider.distribution == "bar"
    assert both.names("grid") == ["bar/halves", "foo/halves"]
    with pytest.raises(ConfigError, match="No grid named 'baz/halves'"):
        both.get("grid", "baz/halves")


def test_an_ambiguous_name_is_refused_with_the_qualified_ones():
    with pytest.raises(ConfigError) as caught:
        registry("foo", "bar").get("grid", "halves")
    assert str(caught.value) == ("The grid 'halves' is provided by 2 distributions; write bar/halves or foo/halves.")


def test_a_bare_name_is_fokkers_own():
    mixed = registry("aaa", "fokker", "zzz")
    assert mixed.get("grid", "halves").provider.distribution == "fokker"
    assert mixed.names("grid") == ["aaa/halves", "halves", "zzz/halves"]
    assert [mixed.get("grid", name).qualified for name in mixed.names("grid")] == [
        "aaa/halves",
        "fokker/halves",
        "zzz/halves",
    ]


def test_merge_takes_everything_or_nothing():
    whole = registry("foo")
    other = Registry(Provider("foo", "q"))
    other.grid("thirds", Halves)
    other.grid("halves", Halves)
    with pytest.raises(PluginError, match="grid 'halves' is registered by plugin p of the same distribution foo"):
        whole.merge(other)
    assert whole.names("grid") == ["halves"]


def test_a_name_that_is_not_there_gets_the_nearest_one():
    heun = Registry(failed=["leapfrog"])
    heun.sampler("heun", "a:B")
    with pytest.raises(ConfigError) as caught:
        heun.get("sampler", "huen")
    assert str(caught.value) == (
        "No sampler named 'huen'. Did you mean 'heun'? (1 plugin failed to load: leapfrog; see 'fokker plugins'.)"
    )


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("grid", "zzz", "No grid named 'zzz'. See 'fokker list grid'."),
        ("sampler", "halves", "No sampler named 'halves'. There is a grid of that name."),
        ("sampler", "zzz", "No sampler named 'zzz'. There is no sampler at all."),
        ("gird", "halves", "No kind 'gird'. Did you mean 'grid'? The kinds are perturbation, network,"),
    ],
)
def test_what_is_not_there_says_what_is(kind, name, message):
    with pytest.raises(ConfigError) as caught:
        registry("foo").get(kind, name)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("kind", "spec"),
    [("predictor", "pc:predictor=half,corrector=unchanged"), ("corrector", "pc:predictor=identity,corrector=half")],
)
def test_a_part_of_a_sampler_asked_for_as_a_sampler_is_told_how_it_is_sampled_with(kind, spec):
    there = Registry()
    getattr(there, kind)("half", "a:B")
    with pytest.raises(ConfigError, match=f"There is a {kind} of that name: write '{spec}'"):
        there.get("sampler", "half")


@given(st.sampled_from(KINDS), st.text())
def test_any_text_as_a_name_is_found_or_refused(kind, name):
    try:
        assert registry("foo").get(kind, name).name == "halves"
    except FokkerError as error:
        assert "\n" not in str(error).replace(name, "")


def test_find_is_the_reverse_of_load():
    lazy = Registry(Provider("fokker", "core"))
    lazy.grid("halves", Halves)
    lazy.grid("uniform", "fokker.grid:Uniform")
    for entry in lazy:
        assert lazy.find(entry.load(), "grid") is entry
        assert lazy.find(entry.load()) is entry
    with pytest.raises(ConfigError, match="Halves is not a registered sampler"):
        lazy.find(Halves, "sampler")


def test_find_sees_through_a_package_that_re_exports(tmp_path, monkeypatch):
    package = tmp_path / "fokker_facade"
    package.mkdir()
    (package / "inner.py").write_text(
        "from fokker.grid import Grid\nfrom fokker.component import component\n\n"
        "@component\nclass Deep(Grid):\n    def times(self, perturbation, steps): ...\n"
    )
    (package / "__init__.py").write_text("from fokker_facade.inner import Deep\n")
    monkeypatch.syspath_prepend(tmp_path)
    facade = Registry()
    facade.grid("deep", "fokker_facade:Deep")
    entry = facade.get("grid", "deep")
    assert facade.find(entry.load()) is entry
    for name in ("fokker_facade", "fokker_facade.inner"):
        del sys.modules[name]


def test_importing_fokker_is_light():
    code = (
        "import sys, fokker, fokker.plugins, fokker.spec; print(*(set(sys.modules) & {'torch', 'numpy', 'pydantic'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_help_imports_nothing_that_only_errors_and_components_need():
    code = (
        "import sys\nfrom fokker.cli.main import cli\n"
        "try:\n    cli(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'numpy', 'pydantic', 'rich', 'annotated_types', 'difflib'}\n"
        "print('imported:', *(set(sys.modules) & heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Commands:" in done.stdout
    assert done.stdout.splitlines()[-1] == "imported:"


def test_the_root_exports_what_it_names():
    import fokker

    for name in fokker.__all__:
        assert getattr(fokker, name) is not None
        assert name in dir(fokker)
    assert callable(fokker.component)
    with pytest.raises(AttributeError, match="module 'fokker' has no attribute 'nothing'"):
        _ = fokker.nothing


def plugins(*providers):
    """A registry in which each plugin provides the grid `halves`."""
    whole = Registry()
    for distribution, plugin in providers:
        one = Registry(Provider(distribution, plugin, "1.0"))
        one.grid("halves", Halves)
        whole.merge(one)
    return whole


def test_a_plugin_s_own_name_qualifies_too():
    whole = plugins(("fokker-foo", "foo"), ("bar", "other"))
    assert whole.get("grid", "foo/halves").qualified == "fokker-foo/halves"
    assert whole.get("grid", "other/halves").qualified == "bar/halves"
    assert whole.get("grid", "Foo/halves") is whole.get("grid", "fokker-foo/halves")


def test_a_distribution_comes_before_a_plugin_of_its_name():
    whole = plugins(("fokker-foo", "foo"), ("foo", "p"))
    assert whole.get("grid", "foo/halves").provider.distribution == "foo"


def test_two_plugins_of_one_name_are_told_apart_by_their_distributions():
    whole = plugins(("a", "foo"), ("b", "foo"))
    with pytest.raises(ConfigError, match=r"Several distributions have a plugin 'foo'; write a/halves or b/halves\."):
        whole.get("grid", "foo/halves")


def test_what_is_absent_says_why():
    one = Registry(Provider("fokker-foo", "foo", "1.0"))
    one.absent("grid", "thirds", "Times go by halves here; take 'halves'.")
    whole = registry("bar")
    whole.merge(one)
    for name in ("thirds", "foo/thirds", "fokker-foo/thirds"):
        with pytest.raises(ConfigError) as caught:
            whole.get("grid", name)
        assert str(caught.value) == f"No grid named '{name}': Times go by halves here; take 'halves'."
    with pytest.raises(ConfigError) as caught:
        whole.get("grid", "bar/thirds")
    assert "Times go by halves" not in str(caught.value)
    other = Registry(Provider("bar", "p", "1.0"))
    other.grid("thirds", Halves)
    whole.merge(other)
    assert whole.get("grid", "thirds").qualified == "bar/thirds"


@pytest.mark.parametrize(
    ("kind", "name", "reason"), [("gird", "a", "b"), ("grid", "A", "b"), ("grid", "a", " "), ("grid", "a", "b\nc")]
)
def test_a_malformed_absence_is_refused(kind, name, reason):
    with pytest.raises(PluginError, match="absent"):
        Registry().absent(kind, name, reason)
