"""Cells: a sampler on a grid at a budget, or the reason why there is none."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from fokker import config
from fokker.budget import steps_for
from fokker.errors import ConfigError, FokkerError
from fokker.grid import Grid
from fokker.guidance import Guidance
from fokker.perturbation import Perturbation
from fokker.plan import SampleSettings
from fokker.sampler import Final, Sampler, check_grid, check_noise
from fokker.spec import as_spec
from fokker.width import AskWidth

if TYPE_CHECKING:
    from fokker.plugins.registry import Registry

__all__ = ["BUDGETS", "GRIDS", "SAMPLERS", "Cell", "cells", "default_grids", "default_samplers", "written"]

SAMPLERS = ("auto", "exponential-adams", "dpm-solver-2m", "unipc", "heun", "ddim", "sde-dpm-solver", "ddpm")
"""What is compared unless samplers are named, as far as it is registered."""

GRIDS = ("auto", "karras", "knots", "uniform")
"""Of these the first grid that is registered, and that the model can be asked on, unless grids are named."""

BUDGETS = (5, 10, 20)
"""Evaluations of the network unless budgets are named."""

Check = Callable[[Sampler, Tensor], object]
"""Raises `FokkerError` where a model cannot be asked at the levels that a sampler has on these times."""


@dataclass(frozen=True, eq=False)
class Cell:
    """A way down that is compared.

    Args:
        sampler: How the sampler is written.
        grid: How the grid is written.
        budget: Evaluations of the network per sample that it may spend; None where the sampler chooses, and for the
            baseline.
        way: The sampler.
        times: The grid's times, float64 on the host; None where it is refused.
        baseline: Whether it is the run's own way down.
        refused: Why there is no such cell, or None.
    """

    sampler: str
    grid: str
    budget: int | None
    way: Sampler
    times: Tensor | None
    baseline: bool = False
    refused: str | None = None


def default_samplers(registry: "Registry") -> list[str]:
    """The samplers of `SAMPLERS` that are registered."""
    return [name for name in SAMPLERS if _registered(registry, "sampler", name)]


def default_grids(registry: "Registry", p: Perturbation, check: Check) -> list[str]:
    """The first grid of `GRIDS` that is registered, suits the perturbation, and on which the model can be asked."""
    for name in GRIDS:
        if not _registered(registry, "grid", name):
            continue
        try:
            rule = config.build(registry, "grid", name)
            # the first level between the ends, which are levels of any table
            check(config.build(registry, "sampler", "ddim"), rule.times(p, 2))
        except FokkerError:
            continue
        return [name]
    return ["uniform"]


def cells(
    registry: "Registry",
    p: Perturbation,
    samplers: Sequence[str],
    grids: Sequence[str],
    budgets: Sequence[int],
    *,
    check: Check,
    final: Final = "tweedie",
    guidance: Sequence[Guidance] = (),
    baseline: SampleSettings | None = None,
    width: AskWidth = lambda: None,
    run: Path | None = None,
) -> list[Cell]:
    """All samplers on all grids at all budgets, those that are refused among them.

    A sampler that chooses its own number of evaluations has one cell for each grid, whatever the budgets are.

    Args:
        registry: Where names are looked up.
        p: The perturbation.
        samplers: Specs.
        grids: Specs.
        budgets: Evaluations of the network per sample, the end included.
        check: Whether the model can be asked there.
        final: How trajectories end.
        guidance: What steers the samples, and multiplies the evaluations.
        baseline: The way down that a run takes by default, which comes first.
        width: The width of the data, for samplers and grids that go by it.
        run: The folder of the run, for grids that are stored there.

    Raises:
        ConfigError: For an unknown component or a value that it does not take.
    """
    found = []

    def cell(
        name: str, rule_name: str, budget: int | None, way: Sampler, rule: Grid, steps: int, baseline: bool = False
    ) -> Cell:
        try:
            if run is not None:
                spec = str(as_spec(config.to_table(registry, way, "sampler")))
                rule = rule.in_run(run, spec, steps)
            return _cell(p, name, rule_name, budget, way, rule, steps, check, baseline=baseline)
        except FokkerError as error:
            return Cell(name, rule_name, budget, way, None, baseline, str(error))

    if baseline is not None:
        name, rule_name = (written(registry, kind, getattr(baseline, kind)) for kind in ("sampler", "grid"))
        way, rule = baseline.sampler.on_data(width), baseline.grid.on_data(width)
        found.append(cell(name, rule_name, None, way, rule, baseline.steps, True))
    ways = [(text, config.build(registry, "sampler", text).on_data(width)) for text in dict.fromkeys(samplers)]
    rules = [(text, config.build(registry, "grid", text).on_data(width)) for text in dict.fromkeys(grids)]
    for name, way in ways:
        for rule_name, rule in rules:
            if way.claims.evaluations is None:
                # its steps are its own: the grid says where they begin and end
                found.append(cell(name, rule_name, None, way, rule, 1))
                continue
            for budget in sorted(set(budgets)):
                try:
                    steps = steps_for(way, name, budget, final, guidance)
                except ConfigError as error:
                    found.append(Cell(name, rule_name, budget, way, None, refused=str(error)))
                    continue
                found.append(cell(name, rule_name, budget, way, rule, steps))
    return found


def written(registry: "Registry", kind: str, component: object) -> str:
    """A component's spec without what its defaults say already."""
    return str(as_spec(_short(registry, config.to_table(registry, component, kind), kind), kind))


def _short(registry: "Registry", table: Mapping[str, Any], kind: str) -> dict[str, Any]:
    usual = config.defaults(registry, registry.get(kind, table["name"]).load())
    kept = {key: value for key, value in table.items() if key == "name" or value != usual.get(key)}
    short: dict[str, Any] = {}
    for key, value in kept.items():
        inner = _short(registry, value, key) if isinstance(value, Mapping) and "name" in value else value
        short[key] = inner["name"] if isinstance(inner, Mapping) and set(inner) == {"name"} else inner
    return short


def _cell(
    p: Perturbation,
    name: str,
    rule_name: str,
    budget: int | None,
    way: Sampler,
    rule: Grid,
    steps: int,
    check: Check,
    *,
    baseline: bool = False,
) -> Cell:
    check_noise(p, way)
    times = rule.times(p, steps)
    check_grid(times)
    check(way, times)
    return Cell(name, rule_name, budget, way, times, baseline)


def _registered(registry: "Registry", kind: str, name: str) -> bool:
    return any(entry.name == name for entry in registry.entries(kind))
