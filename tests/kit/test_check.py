from math import log

import pytest
import torch

from fokker.component import component
from fokker.data import Transform
from fokker.errors import ConfigError
from fokker.grid import Grid, Uniform
from fokker.testing import Check, CheckFailed, NotApplicable, Suite, checks_for, expect, run, summarise
from fokker.testing.check import refused
from fokker_data.toy import Ring


def make(body):
    return Check("grid test", "fact", "Is a fact.", body)


def failing():
    raise CheckFailed("claims 2, measured 1.05")


def absent():
    raise NotApplicable("it claims nothing")


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (lambda: None, "passed", ""),
        (lambda: "measured 2.01", "passed", "measured 2.01"),
        (failing, "failed", "claims 2, measured 1.05"),
        (absent, "skipped", "it claims nothing"),
        (lambda: 1 / 0, "failed", "raised ZeroDivisionError: division by zero"),
        (lambda: expect(False, "is\n  long"), "failed", "is long"),
    ],
)
def test_an_outcome_says_what_came_of_a_check_in_one_line(body, status, detail):
    outcome = run(make(body))
    assert (outcome.component, outcome.check) == ("grid test", "fact")
    assert (outcome.status, outcome.detail) == (status, detail)
    assert outcome.seconds >= 0


def test_expected_failures_are_strict():
    expected = {"fact": "sigma is not smooth"}
    assert run(make(failing), expected).status == "xfailed"
    assert run(make(failing), expected).detail == "sigma is not smooth: claims 2, measured 1.05"
    passed = run(make(lambda: None), expected)
    assert passed.status == "failed"
    assert "take it off the list" in passed.detail
    assert run(make(absent), expected).status == "skipped"


def test_a_check_leaves_the_global_generator_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    run(make(lambda: str(torch.rand(3).sum())))
    assert torch.equal(torch.get_rng_state(), before)


def test_counts_in_words():
    outcomes = [run(make(body)) for body in (lambda: None, lambda: None, failing, absent)]
    assert summarise(outcomes) == "4 checks: 2 passed, 1 failed, 1 skipped"
    assert summarise(outcomes[:1]) == "1 check: 1 passed"
    assert summarise([]) == "0 checks: nothing ran"


def test_a_suite_makes_one_check_for_each_property_and_case():
    suite = Suite(Grid)

    @suite.check
    def has_times(grid):
        """Has times."""
        return f"{len(grid.times(None, 3))}"

    @suite.check(over={"one": 1, "two": 2})
    def has_steps(grid, n):
        """Has as many steps as asked for.

        More words.
        """
        expect(n == 1, f"{n}")

    checks = list(suite.checks(Uniform(end=0.1), "grid uniform"))
    assert [c.name for c in checks] == ["has-times", "has-steps[one]", "has-steps[two]"]
    assert [c.sentence for c in checks[:2]] == ["Has times.", "Has as many steps as asked for."]
    assert [run(c).status for c in checks] == ["passed", "passed", "failed"]
    assert list(suite.checks("no grid", "text")) == []
    assert dict(suite) == {"has-times": "Has times.", "has-steps": "Has as many steps as asked for."}


def test_a_property_needs_a_sentence_and_a_name_of_its_own():
    suite = Suite(Grid)

    def fact(grid): ...

    with pytest.raises(TypeError, match="fact needs a docstring"):
        suite.check(fact)
    fact.__doc__ = "Is a fact."
    suite.check(fact)
    with pytest.raises(TypeError, match="a property fact already"):
        suite.check(fact)


def test_what_a_component_refuses_is_not_applicable():
    def refuse():
        raise ConfigError("needs a table")

    assert refused(lambda: 3) == 3
    with pytest.raises(NotApplicable, match="refused: needs a table"):
        refused(refuse)


def test_what_cannot_be_checked_is_told():
    class Plain(Grid):
        def times(self, perturbation, steps): ...

    with pytest.raises(ConfigError, match=r"give Uniform\(\) instead of the class"):
        checks_for(Uniform)
    with pytest.raises(ConfigError, match="Plain is not a component yet; decorate the class with @component"):
        checks_for(Plain())
    with pytest.raises(ConfigError, match="nothing to check"):
        checks_for("text")


def test_a_label_says_what_is_not_as_usual():
    assert {c.component for c in checks_for(Uniform())} == {"grid Uniform"}
    assert {c.component for c in checks_for(Uniform(end=0.25))} == {"grid Uniform(end=0.25)"}
    assert {c.component for c in checks_for(Uniform(), label="grid uniform")} == {"grid uniform"}


def test_a_component_without_a_plugin_is_checked_all_the_same():
    @component
    class Halves(Grid):
        """Halves the time (Zeno, 450 BC)."""

        def times(self, perturbation, steps):
            return 0.5 ** torch.arange(steps + 1, dtype=torch.float64)

    outcomes = {o.check: o for o in map(run, checks_for(Halves()))}
    assert outcomes["round-trip"].status == "passed"
    assert outcomes["frozen"].status == "passed"


def test_parts_without_a_plugin_are_read_back_too():
    @component
    class Halves(Transform):
        """Halves the data."""

        def forward(self, x, noise):
            return x / 2

        def inverse(self, y):
            return 2 * y

        def log_det(self, x):
            return -x[0].numel() * torch.ones(len(x)) * log(2)

    outcomes = {o.check: o for o in map(run, checks_for(Ring(n=8, transforms=(Halves(), Halves()))))}
    assert outcomes["round-trip"].status == "passed", outcomes["round-trip"].detail
