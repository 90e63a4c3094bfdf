"""Rows of several seeds as one table."""

from fokker.compare.measure import Row
from fokker.compare.table import lines, markdown, notes, summarise


def row(sampler, budget, value, seed=0, *, limit=0.1, name="m", **more):
    metrics = {} if value is None else {name: value}
    options = {"nfe": budget, "n": 10, "seconds": 1.0, "network": 0.5, "limit": {name: limit}, **more}
    return Row(sampler, "karras", budget, seed, metrics=metrics, **options)


def refused(sampler, budget, reason):
    return Row(sampler, "karras", budget, refused=reason)


def test_the_mean_over_seeds_and_its_standard_error():
    (entry,) = summarise([row("a", 5, v, seed) for seed, v in enumerate((1.0, 2.0, 3.0))])
    assert entry.seeds == 3 and entry.values["m"].mean == 2.0
    assert entry.values["m"].stderr == 1 / 3**0.5
    (single,) = summarise([row("a", 5, 1.0)])
    assert single.values["m"].stderr is None


def marks(rows, likeness=lambda name: False):
    return {(e.sampler, e.budget): e.values["m"].mark for e in summarise(rows, likeness) if "m" in e.values}


def test_the_best_of_each_budget_is_marked():
    rows = [row("a", 5, 1.0), row("b", 5, 2.0), row("a", 10, 0.9), row("b", 10, 0.8)]
    assert marks(rows) == {("a", 5): "*", ("b", 5): "", ("a", 10): "", ("b", 10): "*"}


def test_what_cannot_be_told_from_the_best_is_marked_too():
    rows = [row(name, 5, value, seed) for name, values in (("a", (1.0, 1.4)), ("b", (1.1, 1.7)), ("c", (3.0, 3.1)))
            for seed, value in enumerate(values)]  # fmt: skip
    assert marks(rows) == {("a", 5): "*", ("b", 5): "*", ("c", 5): ""}


def test_what_real_data_has_too_is_a_tie_and_nothing_is_ranked_before_it():
    assert marks([row("a", 5, 0.05), row("b", 5, 0.09), row("c", 5, 0.2)]) == {
        ("a", 5): "=",
        ("b", 5): "=",
        ("c", 5): "",
    }


def test_of_a_likeness_more_is_better():
    rows = [row("a", 5, 0.5, limit=0.9), row("b", 5, 0.6, limit=0.9)]
    assert marks(rows, lambda name: True) == {("a", 5): "", ("b", 5): "*"}
    assert marks([row("a", 5, 0.95, limit=0.9)], lambda name: True) == {("a", 5): "="}


def test_nothing_is_the_best_of_one_and_the_runs_own_way_has_no_rivals():
    assert marks([row("a", 5, 1.0)]) == {("a", 5): ""}
    assert marks([row("a", 5, 0.5, baseline=True), row("b", 5, 1.0), row("c", 5, 2.0)])[("b", 5)] == "*"


def test_the_runs_own_way_comes_first_and_the_others_by_what_they_cost():
    rows = [
        row("a", 20, 1.0),
        row("b", None, 1.0, nfe=12),
        row("a", 5, 1.0),
        row("c", None, 1.0, nfe=100, baseline=True),
    ]
    assert [e.nfe for e in summarise(rows)] == [100, 5, 12, 20]


def test_a_seed_that_failed_leaves_no_mean_over_the_others():
    rows = [row("a", 5, 1.0), row("a", 5, None, 1, missing={"m": "3 of 10 samples are not finite"})]
    (entry,) = summarise(rows)
    assert not entry.values and entry.missing == {"m": "3 of 10 samples are not finite"}


def test_reasons_are_numbered_and_each_is_given_once():
    entries = summarise([row("a", 5, 1.0), refused("b", 5, "too small"), refused("b", 10, "too small")])
    assert notes(entries) == ["too small"]
    table = lines(entries, ["m"], {"m": (0.05, 0.1)})
    assert table[0] == ["", "real data", "", "0.05 (0.1)", "", ""]
    assert table[1] == ["5", "a", "karras", "1", "100", "50%"]
    assert table[2] == ["5", "b", "karras", "- [1]", "", ""]


def test_markdown_has_a_line_for_every_entry_and_the_reasons():
    text = markdown(summarise([row("a|b", 5, 1.0), refused("c", 5, "why not")]), ["m"], {}, ["Words."])
    assert text.startswith("Words.\n\n| NFE | sampler | grid | m | ms/sample | network |\n")
    assert "| 5 | `a\\|b` | `karras` | 1 |" in text and text.endswith("\n1. why not\n")


def test_seconds_are_those_of_the_fastest_seed():
    rows = [row("a", 5, 1.0, seed, seconds=seconds) for seed, seconds in enumerate((3.0, 1.0, 2.0))]
    assert summarise(rows)[0].seconds == 0.1
