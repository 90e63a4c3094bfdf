"""A plan that is tuned: values that nobody gave are filled in from the data.

    sigma_min, sigma_max (minimum, maximum, levels of a table)     of the perturbation
    sigma_data                                                     of every part that has one
    step, steps_per_level                                          of annealed Langevin dynamics
    steps                                                          of the grid that goes with it

What was given stays, whether by a recipe, a file or an option; what follows from it follows from the given value. The
resulting plan holds plain numbers, so that a run knows nothing of tuning.
"""

import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fokker import config
from fokker.component import describe
from fokker.data import DataSource
from fokker.plan import KINDS, Plan, fit_chain, layered, resolve
from fokker.spec import as_spec
from fokker.tune.spread import Spread, Tell, read, spread
from fokker.tune.tuning import Tuning, tune

if TYPE_CHECKING:
    from fokker.plugins.registry import Registry

__all__ = ["Change", "Tuned", "measure", "resolve_tuned"]

TABLE = frozenset({"minimum", "maximum", "levels"})
RANGE = frozenset({"sigma_min", "sigma_max"})
"""What perturbations call their noise levels; those with neither set have levels that no data changes."""

LANGEVIN = frozenset({"step", "steps_per_level"})
COMPOSED = frozenset({"predictor", "corrector", "corrections"})
"""What annealed Langevin dynamics calls its step and its updates, in one word or as a corrector between identities."""

UNIT = (0.3, 3.0)
"""Standard deviations of data that a perturbation without levels of its own is given without a note."""


@dataclass(frozen=True)
class Change:
    """A value that tuning has filled in.

    Args:
        path: Where in the plan, a dotted key.
        value: The value, or the name of a component.
    """

    path: str
    value: float | int | str


@dataclass(frozen=True)
class Tuned:
    """What tuning did to a plan.

    Args:
        tuning: What follows from the data and from the values that were given.
        changes: What was filled in.
        note: What is to be known about it, sentences in one line.
    """

    tuning: Tuning
    changes: tuple[Change, ...]
    note: str


def measure(data: DataSource, seed: int, tell: Tell = lambda done, total, words: None) -> Spread:
    """How far the training examples are spread, in the model's units.

    Args:
        data: The source, with its transforms.
        seed: The training's seed, which decides what transforms are fitted with.
        tell: Told how it goes.

    Raises:
        DataError: If the data cannot be had, or is too little.
    """
    examples = data.open("train")
    x = read(examples, fit_chain(data, examples, seed), lambda done, total, words: tell(done, 2 * total, words))
    return spread(x, len(examples), lambda done, total, words: tell(total + done, 2 * total, words))


def resolve_tuned(
    registry: "Registry",
    source: str | Path | Mapping[str, Any] | None = None,
    options: Mapping[str, str | None] | None = None,
    sets: Sequence[str] = (),
    *,
    tell: Tell = lambda done, total, words: None,
) -> tuple[Plan, Tuned]:
    """Put a plan together as `fokker.plan.resolve` does, and fill in from the data what nobody gave.

    Where nobody named a perturbation it is `sigmas`, where nobody named a sampler for it `smld` on all its levels.

    Args:
        registry: Where names are looked up.
        source: A recipe's name, a TOML file, or its tables; None for the defaults.
        options: Specs by kind.
        sets: Single values.
        tell: Told how the measuring goes.

    Returns:
        The plan, and what tuning did to it.

    Raises:
        ConfigError: As for `fokker.plan.resolve`, or if the given noise levels leave no room for the others.
        DataError: If the data cannot be had.
    """
    filling = _Filling(registry, tell)
    given = deepcopy(layered(registry, source, options))
    for assignment in sets:
        config.set_path(given, assignment)
    defaults = filling.defaults(given)
    plan = resolve(registry, source, options, sets, defaults=defaults, amend=filling)
    assert filling.tuning is not None
    return plan, Tuned(filling.tuning, tuple(filling.changes), filling.note)


@dataclass(frozen=True)
class _Langevin:
    """Where annealed Langevin dynamics keeps its step and its updates.

    Args:
        composed: The table with the number of updates.
        updates: Its key there.
        stepping: The table with the step.
        path: Where that is in the plan.
    """

    composed: dict[str, Any]
    updates: str
    stepping: dict[str, Any]
    path: str


class _Filling:
    """Fills in the tables of one plan.

    Args:
        registry: Where names are looked up.
        tell: Told how the measuring goes.
    """

    def __init__(self, registry: "Registry", tell: Tell) -> None:
        self._registry, self._tell = registry, tell
        self.tuning: Tuning | None = None
        self.changes: list[Change] = []
        self.note = ""

    def defaults(self, given: Mapping[str, Any]) -> dict[str, str]:
        """Names for what nobody named."""
        found: dict[str, str] = {}
        perturbation, sample = given.get("perturbation"), given.get("sample")
        if not isinstance(sample, Mapping):
            sample = {}
        if not _named(perturbation):
            found["perturbation"] = "sigmas"
            self.changes.append(Change("perturbation", "sigmas"))
            perturbation = "sigmas"
        fields = self._fields("perturbation", as_spec(perturbation, "perturbation").name)
        sampler = sample.get("sampler")
        if not _named(sampler) and fields >= TABLE:
            found["sampler"] = sampler = "smld"
            self.changes.append(Change("sample.sampler", "smld"))
        langevin = _named(sampler) and self._langevin(as_spec(sampler, "sample.sampler").table())
        if langevin and not _named(sample.get("grid")) and (fields >= TABLE or fields >= RANGE):
            found["grid"] = "knots" if fields >= TABLE else "log-snr"  # a range has no levels but evenly spread ones
            self.changes.append(Change("sample.grid", found["grid"]))
        return found

    def __call__(self, tables: dict[str, Any], data: DataSource) -> None:
        """Fill in, see `fokker.plan.resolve`."""
        sample = tables["sample"]
        for table, kinds in ((tables, KINDS), (sample, ("sampler",))):
            for kind in kinds:  # a single value can be the spec of a whole component
                table[kind] = as_spec(table[kind], kind).table()
        perturbation = tables["perturbation"]
        fields = self._fields("perturbation", perturbation["name"])
        levelled = fields >= TABLE or fields >= RANGE
        given = {key: value for key, value in perturbation.items() if _positive(value)}
        values = perturbation.get("values")
        if isinstance(values, (list, tuple)) and values and all(map(_positive, values)):
            given |= {"minimum": min(values), "maximum": max(values), "levels": len(values)}
        parts = self._langevin(sample["sampler"]) if levelled else None
        if parts and "levels" not in given and _positive(sample.get("steps")):
            given["levels"] = sample["steps"] + 1
        updates = parts.composed.get(parts.updates) if parts else None
        self.tuning = tuning = tune(
            measure(data, tables["train"].get("seed", 0), self._tell),
            sigma_max=given.get("maximum", given.get("sigma_max")),
            sigma_min=given.get("minimum", given.get("sigma_min")),
            levels=given.get("levels"),
            steps_per_level=updates if _positive(updates) else None,
        )
        low, high, levels = tuning.sigma_min, tuning.sigma_max, tuning.levels
        if fields >= TABLE and values is None:
            self._put(perturbation, "perturbation", minimum=low, maximum=high, levels=levels)
        elif fields >= RANGE:
            self._put(perturbation, "perturbation", sigma_min=low, sigma_max=high)
        elif "sigma_data" in fields:
            self._put(perturbation, "perturbation", sigma_data=tuning.sigma_data)
        if parts:
            self._put(sample, "sample", steps=levels - 1)
            self._put(parts.composed, "sample.sampler", **{parts.updates: tuning.steps_per_level})
            if parts.stepping.get("form", "relative") == "relative":
                self._put(parts.stepping, parts.path, step=tuning.step_size)
        if levelled:
            self.note = tuning.note
        elif "sigma_data" not in fields and not UNIT[0] <= tuning.sigma_data <= UNIT[1]:
            self.note = (
                f"The perturbation '{perturbation['name']}' takes data of about unit standard deviation, and this data "
                f"has {tuning.sigma_data:.3g}: add the transform 'standardise'."
            )
        for kind in ("network", "parameterization", "objective"):
            whole = config.to_table(self._registry, config.build(self._registry, kind, tables[kind]), kind)
            self._sigma_data(tables[kind], whole, kind)

    def _langevin(self, sampler: dict[str, Any]) -> "_Langevin | None":
        """Where annealed Langevin dynamics keeps its step and its updates, or None if the sampler is none."""
        fields = self._fields("sampler", sampler["name"])
        if fields >= LANGEVIN:
            return _Langevin(sampler, "steps_per_level", sampler, "sample.sampler")
        if not fields >= COMPOSED or "predictor" not in sampler:
            return None
        predictor = as_spec(sampler["predictor"], "sample.sampler.predictor").name
        corrector = as_spec(sampler.get("corrector", "annealed-langevin"), "sample.sampler.corrector").table()
        named = self._registry.get("predictor", predictor).name, self._registry.get("corrector", corrector["name"]).name
        if named != ("identity", "annealed-langevin"):
            return None
        sampler["corrector"] = corrector
        return _Langevin(sampler, "corrections", corrector, "sample.sampler.corrector")

    def _sigma_data(self, table: dict[str, Any], whole: Mapping[str, Any], path: str) -> bool:
        """Fill in `sigma_data` here and in the parts of this part; whether anything was."""
        assert self.tuning is not None
        filled = False
        for key, value in whole.items():
            if key == "sigma_data":
                filled |= self._put(table, path, sigma_data=self.tuning.sigma_data)
            elif isinstance(value, Mapping):
                # a part that nobody named is written out with the values that it has there
                given = table.get(key)
                below = as_spec(given).table() if given else {k: v for k, v in value.items() if k != "sigma_data"}
                if self._sigma_data(below, value, f"{path}.{key}"):
                    table[key], filled = below, True
        return filled

    def _put(self, table: dict[str, Any], path: str, **values: float | int) -> bool:
        """Set what is missing; whether anything was."""
        missing = {key: value for key, value in values.items() if key not in table}
        table.update(missing)
        self.changes += [Change(f"{path}.{key}", value) for key, value in missing.items()]
        return bool(missing)

    def _fields(self, kind: str, name: str) -> frozenset[str]:
        return frozenset(field.name for field in describe(self._registry.get(kind, name).load()))


def _positive(value: Any) -> bool:
    """Whether something is a number to follow; what is wrong with others is said when the plan is built."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf


def _named(table: Any) -> bool:
    return table is not None and not (isinstance(table, Mapping) and "name" not in table)
