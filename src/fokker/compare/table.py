"""Tables: rows of several seeds taken together, ordered by what they cost, the best and the ties marked."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev

from fokker.compare.measure import Row

__all__ = ["Entry", "Value", "headings", "lines", "markdown", "notes", "summarise"]

TIE, BEST = "=", "*"
_CLOSE = 2.0  # standard errors of a difference that may be chance


@dataclass(frozen=True)
class Value:
    """A metric's value over the seeds.

    Args:
        mean: Its mean.
        stderr: The standard error of the mean; None of a single seed.
        mark: `=` within the floor, `*` the best of its budget or not to be told from it, or nothing.
    """

    mean: float
    stderr: float | None
    mark: str = ""


@dataclass(frozen=True)
class Entry:
    """A sampler on a grid at a budget.

    Args:
        sampler: The sampler.
        grid: The grid.
        budget: Its budget, or None.
        seeds: Number of seeds that were measured.
        nfe: Evaluations of the network per sample.
        seconds: Per sample, of the seed that took least: what else the machine did adds to the others.
        network: Share of them that the network took.
        values: Values by metric.
        missing: Why there is no value, by metric.
        baseline: Whether it is the run's own way down.
        refused: Why there are no samples, or None.
    """

    sampler: str
    grid: str
    budget: int | None
    seeds: int
    nfe: float | None
    seconds: float | None
    network: float | None
    values: Mapping[str, Value]
    missing: Mapping[str, str]
    baseline: bool
    refused: str | None


def summarise(rows: Iterable[Row], likeness: Callable[[str], bool] = lambda name: False) -> list[Entry]:
    """One entry for each sampler, grid and budget; the run's own way first, the others by what they cost.

    The best of a budget are the one whose mean is best among those that share it, and those within two standard errors
    of the difference to it, unless some are within the floor: these are equal, and nothing is ranked before them.

    Args:
        rows: Rows of any seeds.
        likeness: Whether more of a metric is better.
    """
    groups: dict[tuple[bool, str, str, int | None], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.baseline, row.sampler, row.grid, row.budget), []).append(row)
    entries = [_entry(group, likeness) for group in groups.values()]
    entries.sort(key=lambda e: (not e.baseline, e.budget if e.budget is not None else e.nfe or float("inf")))
    return [_marked(entry, entries, likeness) for entry in entries]


def _entry(rows: Sequence[Row], likeness: Callable[[str], bool]) -> Entry:
    first = rows[0]
    drawn = [row for row in rows if row.refused is None]
    values = {}
    missing: dict[str, str] = {}
    for name in dict.fromkeys(name for row in drawn for name in (*row.metrics, *row.missing)):
        found = [row.metrics[name] for row in drawn if name in row.metrics]
        lacking = [row.missing[name] for row in drawn if name in row.missing]
        if lacking:  # a mean over the seeds that happened to stay finite would flatter
            missing[name] = lacking[0]
            continue
        mean = fmean(found)
        limit = fmean(row.limit[name] for row in drawn)
        within = mean >= limit if likeness(name) else mean <= limit
        values[name] = Value(mean, stdev(found) / sqrt(len(found)) if len(found) > 1 else None, TIE if within else "")
    refused = next((row.refused for row in rows if row.refused is not None), None)
    return Entry(
        first.sampler,
        first.grid,
        first.budget,
        len(drawn),
        _mean(row.nfe for row in drawn),
        min((row.seconds / row.n for row in drawn if row.seconds is not None), default=None),
        _mean(row.network for row in drawn),
        values,
        missing,
        first.baseline,
        refused,
    )


def _mean(values: Iterable[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return fmean(found) if found else None


def _marked(entry: Entry, entries: Sequence[Entry], likeness: Callable[[str], bool]) -> Entry:
    if entry.baseline or entry.budget is None:
        return entry
    rivals = [e for e in entries if e.budget == entry.budget and not e.baseline]
    marked = dict(entry.values)
    for name, value in entry.values.items():
        others = [e.values[name] for e in rivals if name in e.values]
        if len(others) < 2 or any(other.mark == TIE for other in others):
            continue
        best = (max if likeness(name) else min)(others, key=lambda other: other.mean)
        apart = sqrt((value.stderr or 0.0) ** 2 + (best.stderr or 0.0) ** 2)
        if abs(value.mean - best.mean) <= _CLOSE * apart:
            marked[name] = Value(value.mean, value.stderr, BEST)
    return Entry(**{**{k: getattr(entry, k) for k in Entry.__dataclass_fields__}, "values": marked})


def headings(names: Sequence[str]) -> list[str]:
    """The headings of a table of these metrics."""
    return ["NFE", "sampler", "grid", *names, "ms/sample", "network"]


def lines(
    entries: Sequence[Entry], names: Sequence[str], floors: Mapping[str, tuple[float, float]], quote: str = ""
) -> list[list[str]]:
    """The cells of a table in text: the floor first, then the entries; reasons are numbered, see `notes`.

    Args:
        entries: The entries.
        names: The metrics.
        floors: Mean and limit of each metric's floor.
        quote: Put around names of components.
    """
    reasons = notes(entries)
    table = [["", "real data", "", *(_floor(name, floors) for name in names), "", ""]]
    for entry in entries:
        budget = f"{entry.nfe:g}" if entry.nfe is not None else "" if entry.budget is None else str(entry.budget)
        if entry.nfe is not None and not float(entry.nfe).is_integer():
            budget = f"{entry.nfe:.1f}"
        sampler = f"{quote}{entry.sampler}{quote}" + (" (default)" if entry.baseline else "")
        cells = [_cell(entry, name, reasons) for name in names]
        seconds = "" if entry.seconds is None else f"{1000 * entry.seconds:.3g}"
        share = "" if entry.network is None else f"{entry.network:.0%}"
        table.append([budget, sampler, f"{quote}{entry.grid}{quote}", *cells, seconds, share])
    return table


def notes(entries: Sequence[Entry]) -> list[str]:
    """The reasons for what is not there, each once, in the order in which a table refers to them from 1 on."""
    found: dict[str, None] = {}
    for entry in entries:
        if entry.refused is not None:
            found.setdefault(entry.refused)
        for reason in entry.missing.values():
            found.setdefault(reason)
    return list(found)


def markdown(
    entries: Sequence[Entry], names: Sequence[str], floors: Mapping[str, tuple[float, float]], words: Sequence[str]
) -> str:
    """The table in Markdown, with what it means above and the reasons for what is missing below.

    Args:
        entries: The entries.
        names: The metrics.
        floors: Mean and limit of each metric's floor.
        words: Sentences above the table.
    """
    rows = [headings(names), ["---:", "---", "---", *["---:"] * (len(names) + 2)], *lines(entries, names, floors, "`")]
    text = "\n\n".join(words) + "\n\n" if words else ""
    text += "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n" for row in rows)
    reasons = notes(entries)
    if reasons:
        text += "\n" + "".join(f"{number}. {reason}\n" for number, reason in enumerate(reasons, 1))
    return text


def _floor(name: str, floors: Mapping[str, tuple[float, float]]) -> str:
    return f"{floors[name][0]:.3g} ({floors[name][1]:.3g})" if name in floors else ""


def _cell(entry: Entry, name: str, reasons: Sequence[str]) -> str:
    if entry.refused is not None:
        return f"- [{reasons.index(entry.refused) + 1}]"
    if name in entry.missing:
        return f"- [{reasons.index(entry.missing[name]) + 1}]"
    if name not in entry.values:
        return "-"
    value = entry.values[name]
    error = "" if value.stderr is None else f" +- {value.stderr:.2g}"
    return f"{value.mean:.3g}{error}{' ' + value.mark if value.mark else ''}"
