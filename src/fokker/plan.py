"""Plans: everything that a training and its samples depend on, assembled by name and checked before any work.

A plan is put together from four layers, each over the one before: fokker's defaults, a recipe or TOML file, the
options of the command line, and single values (`--set train.lr=0.001`). What cannot work together is a `Problem`
with its reason and a way out.
"""

import dataclasses
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import torch
from annotated_types import Ge
from torch import Tensor

from fokker import config
from fokker.component import component
from fokker.data import Chain, DataSource, Examples, evenly_spread
from fokker.errors import ConfigError, DataError, FokkerError
from fokker.grid import Grid
from fokker.label import Label, Time
from fokker.model import NetworkModel
from fokker.network import DataSpec, Network
from fokker.noise import Seeded, Zero, block_seed
from fokker.objective import Objective
from fokker.parameterization import Parameterization
from fokker.perturbation import Perturbation
from fokker.sampler import Final, Sampler, check_grid, check_noise, trajectory
from fokker.spec import as_spec
from fokker.start import Init
from fokker.training.settings import TrainSettings
from fokker.weighting import Weighting
from fokker.width import AskWidth, Width, measure_width

if TYPE_CHECKING:
    from fokker.plugins.registry import Registry

__all__ = [
    "KINDS",
    "Facts",
    "Plan",
    "Problem",
    "SampleSettings",
    "check",
    "fit",
    "fit_chain",
    "layered",
    "read_tables",
    "resolve",
    "spec_of",
    "width_of",
]

KINDS = ("data", "perturbation", "network", "label", "parameterization", "objective")
"""The components of a plan, each a table of its TOML."""

_DEFAULTS: Mapping[str, str] = {
    "perturbation": "vp",
    "label": "1000t",
    "parameterization": "edm",
    "objective": "denoising",
}
_FIT_EXAMPLES, _FIT_NUMEL = 50_000, 1 << 26


@component
class SampleSettings:
    """How a run is sampled unless asked otherwise, the table `[sample]` of a plan.

    Args:
        sampler: The way down.
        grid: Where it stops.
        steps: Number of steps of the grid.
        init: Where trajectories begin: `prior`, `normal` (unit variance in the model's units), `uniform` (in [0, 1) in
            the data's own units), `data` (training examples with the noise of the first level), or the coordinates of
            a point in the data's own units.
        final: How a trajectory ends: `tweedie` (one more evaluation), `mean` or `none`.
    """

    sampler: Sampler
    grid: Grid
    steps: Annotated[int, Ge(1)] = 100
    init: Init = "prior"
    final: Final = "tweedie"

    def on_data(self, width: AskWidth) -> "SampleSettings":
        """With a sampler and a grid for data of a width."""
        return dataclasses.replace(self, sampler=self.sampler.on_data(width), grid=self.grid.on_data(width))


@dataclass(frozen=True)
class Plan:
    """Everything that a training and its samples depend on.

    Args:
        data: Where examples come from, with its transforms.
        perturbation: How they turn into noise.
        network: What learns.
        label: What it is told of the time.
        parameterization: How it is read.
        objective: What is minimised.
        train: How.
        sample: How the result is sampled.
    """

    data: DataSource
    perturbation: Perturbation
    network: Network
    label: Label
    parameterization: Parameterization
    objective: Objective
    train: TrainSettings
    sample: SampleSettings

    @property
    def chain(self) -> Chain:
        """The data's transforms."""
        return Chain(self.data.transforms)

    def table(self, registry: "Registry") -> dict[str, Any]:
        """The plan as TOML-ready tables with every field spelled out; `resolve` reads it back."""
        tables: dict[str, Any] = {k: config.to_table(registry, getattr(self, k), kind=k) for k in KINDS}
        tables["train"] = config.settings_table(registry, self.train)
        tables["sample"] = config.settings_table(registry, self.sample)
        return tables

    def model(self, spec: DataSpec) -> NetworkModel:
        """Build the model with fresh weights, which the seed of the training decides."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(block_seed(self.train.seed, 0, 2))
            backbone = self.network.build(spec)
        return NetworkModel(backbone, self.perturbation, self.parameterization, self.label)


@dataclass(frozen=True)
class Problem:
    """Something that keeps a plan from working.

    Args:
        where: The table of the plan that it concerns.
        message: What is wrong and what to do, one line.
    """

    where: str
    message: str


@dataclass(frozen=True)
class Facts:
    """What is known of a plan before training.

    Args:
        examples: Number of training examples.
        event_shape: Shape of one example.
        classes: Number of classes, or None.
        notes: What the data has to say of itself, such as files left out.
        parameters: Number of trainable parameters.
        terminal_log_snr: Log-SNR at t = 1.
        prior_kl: KL divergence of p_1 to the prior in nats, with the data taken as a Gaussian with independent
            dimensions of its own means and variances.
        first_time: Time at which sampling starts, the first of the plan's grid.
        start_kl: KL divergence of the law there to the prior at that time, likewise.
    """

    examples: int
    event_shape: tuple[int, ...]
    classes: int | None
    notes: tuple[str, ...]
    parameters: int
    terminal_log_snr: float
    prior_kl: float
    first_time: float
    start_kl: float


def resolve(
    registry: "Registry",
    source: str | Path | Mapping[str, Any] | None = None,
    options: Mapping[str, str | None] | None = None,
    sets: Sequence[str] = (),
    *,
    defaults: Mapping[str, str] | None = None,
    amend: Callable[[dict[str, Any], DataSource], None] | None = None,
) -> Plan:
    """Put a plan together.

    Args:
        registry: Where names are looked up.
        source: A recipe's name, a TOML file, or its tables; None for the defaults.
        options: Specs by kind, such as `{"data": "swiss-roll:n=1000"}`; None values are passed over.
        sets: Single values such as `train.lr=0.001`.
        defaults: Names for kinds that nobody named, `sampler` and `grid` among them, instead of fokker's own.
        amend: Changes the tables, in which there is what was given and the names of defaults, before they are built;
            it is handed the data too.

    Raises:
        ConfigError: For an unknown name or key, or a value of the wrong type or out of range.
    """
    tables = layered(registry, source, options)
    defaults = {**_DEFAULTS, **(defaults or {})}
    for kind in KINDS:
        tables.setdefault(kind, defaults.get(kind))
        if tables[kind] is not None:
            tables[kind] = as_spec(tables[kind], kind).table()
    if not isinstance(tables.get("sample", {}), Mapping):
        raise ConfigError(f"sample must be a table, got {tables['sample']!r}.")
    sample = dict(tables.get("sample", {}))
    # a network of levels is asked on the levels of its table, and no levels follow from noise that is a formality
    usual = ("auto", "uniform" if tables["perturbation"].get("name") == "none" else "auto")
    if not _told_between(registry, tables):
        usual = ("ddim", "knots")
    sample.setdefault("sampler", defaults.get("sampler", usual[0]))
    sample.setdefault("grid", defaults.get("grid", usual[1]))
    tables["sample"] = {**sample, **{k: as_spec(sample[k], f"sample.{k}").table() for k in ("sampler", "grid")}}
    for assignment in sets:
        config.set_path(tables, assignment)
    known = (*KINDS, "train", "sample")
    for key in tables:
        if key not in known:
            raise ConfigError(config.unknown_key(key, known, where="plan"))
    if _unnamed(tables["data"]):
        raise ConfigError("A plan needs data: name a recipe, or give --data; 'fokker list data' shows what there is.")
    data = config.build(registry, "data", tables["data"])
    if _unnamed(tables["network"]):
        tables["network"] = {"name": _default_network(data), **(tables["network"] or {})}
    if amend is not None:
        tables.setdefault("train", {})
        amend(tables, data)
    parts: dict[str, Any] = {k: config.build(registry, k, tables[k]) for k in KINDS if k != "data"}
    train = config.build_settings(registry, TrainSettings, tables.get("train", {}), "train")
    return Plan(
        data=data,
        **parts,
        train=train,
        sample=config.build_settings(registry, SampleSettings, tables["sample"], "sample"),
    )


def layered(
    registry: "Registry", source: str | Path | Mapping[str, Any] | None, options: Mapping[str, str | None] | None
) -> dict[str, Any]:
    """The tables of a recipe or file with the options' specs over them; what nobody gave is missing.

    Raises:
        ConfigError: As for `read_tables`.
    """
    tables = read_tables(registry, source)
    tables.pop("run", None)
    return {**tables, **{kind: spec for kind, spec in (options or {}).items() if spec is not None}}


def _told_between(registry: "Registry", tables: Mapping[str, Any]) -> bool:
    """Whether the label exists at all times, between the levels of a table too."""
    try:
        label, p = (config.build(registry, kind, tables[kind]) for kind in ("label", "perturbation"))
        label(p, torch.tensor(0.5, dtype=torch.float64) if p.knots is None else p.knots[:2].mean())
    except FokkerError:
        return False  # what is wrong with them is said where the plan is built
    return True


def _unnamed(table: Any) -> bool:
    """Whether nobody named the component, though values may have been set on it."""
    return table is None or (isinstance(table, dict) and "name" not in table)


def _default_network(data: DataSource) -> str:
    """`unet` where examples have one to three dimensions of space, `mlp` elsewhere."""
    try:
        event_shape = data.open("train").event_shape
    except DataError:  # told by `check`, with everything else that is wrong
        return "mlp"
    return "unet" if 2 <= len(event_shape) <= 4 else "mlp"


def read_tables(registry: "Registry", source: str | Path | Mapping[str, Any] | None) -> dict[str, Any]:
    """The tables of a recipe or TOML file, as they are written there.

    Raises:
        ConfigError: If there is no such recipe or file, or if it is not valid TOML.
    """
    if source is None:
        return {}
    if isinstance(source, Mapping):
        return {k: dict(v) if isinstance(v, Mapping) else v for k, v in source.items()}
    path = Path(source)
    if path.suffix == ".toml":
        if not path.is_file():
            raise ConfigError(f"There is no file {path}; give a recipe's name or an existing TOML file.")
        raw, name = path.read_bytes(), str(path)
    else:
        entry = registry.get("recipe", str(source))
        raw, name = entry.text().encode(), f"recipe {source}"
    try:
        return tomllib.loads(raw.decode())
    except ValueError as error:  # also what is no text at all
        raise ConfigError(f"{name} is not valid TOML: {error}.") from None


def spec_of(plan: Plan, examples: Examples) -> DataSpec:
    """What the network must know of opened data.

    Raises:
        ConfigError: If the network is to be told labels that the data does not have.
    """
    if plan.train.labels and examples.classes is None:
        raise ConfigError("train.labels = true needs data with class labels; this data has none.")
    knots = plan.perturbation.knots
    return DataSpec(
        event_shape=examples.event_shape,
        classes=examples.classes if plan.train.labels else None,
        condition=dict(examples.condition),
        levels=None if knots is None else len(knots),
    )


def fit(plan: Plan, examples: Examples) -> Plan:
    """The plan with everything filled in that its transforms take from the data.

    If a transform wants examples, up to 50,000 are read for it, evenly spread over the split, and no more than 2^26
    numbers.
    """
    if not plan.data.transforms:
        return plan
    chain = fit_chain(plan.data, examples, plan.train.seed)
    return dataclasses.replace(plan, data=dataclasses.replace(plan.data, transforms=chain.transforms))  # type: ignore[type-var]


def fit_chain(data: DataSource, examples: Examples, seed: int) -> Chain:
    """The data's transforms with everything filled in that they take from examples; see `fit`.

    Args:
        data: The source.
        examples: Its opened split.
        seed: The training's seed, which decides the noise of dequantisation.
    """
    count = min(len(examples), _FIT_EXAMPLES, max(1, _FIT_NUMEL // max(1, prod(examples.event_shape))))
    chain = Chain(data.transforms)
    if not count or not any(transform.wants_examples for transform in chain.transforms):
        return chain
    x = examples.fetch(evenly_spread(examples, count)).x
    return chain.fit(x, Seeded(block_seed(seed, 0, 3)))


def width_of(plan: Plan, spec: DataSpec) -> Width | None:
    """The width of a plan's data: as its spec has it, or as it is now; None where the data cannot be had.

    Args:
        plan: The plan, with fitted transforms.
        spec: Shape and classes of its data.
    """
    if spec.width is not None:
        return spec.width
    try:
        return measure_width(plan.chain, plan.data.open("train"), plan.train.seed)
    except FokkerError:
        return None


def check(plan: Plan) -> tuple[Facts | None, list[Problem]]:
    """Look for what cannot work, without training.

    Returns:
        What is known of the plan, None if the data or the network could not be had, and the problems found.
    """
    problems: list[Problem] = []
    p = plan.perturbation

    def attempt(where: str, action: Any) -> Any:
        try:
            return action()
        except FokkerError as error:
            problems.append(Problem(where, str(error)))
            return None

    times = attempt("objective", lambda: plan.objective.times(p, torch.linspace(0, 0.999, 64, dtype=torch.float64)))
    if times is not None:
        told = attempt("label", lambda: plan.label(p, times))
        if told is not None and plan.network.reads_levels and told.is_floating_point():
            name = type(plan.network).__name__
            problems.append(Problem("label", f"{name} is told the level of a table; use the label 'index'."))
    problems += _without_noise(plan)
    problems += _without_data(plan)
    problems += _taught(plan)
    if plan.train.compile and (plan.objective.differentiates or plan.parameterization.differentiates):
        reason = "a compiled network has first derivatives only, and this training needs second ones"
        problems.append(Problem("train.compile", f"train.compile = true cannot be had here: {reason}; leave it out."))
    grid = attempt("sample.grid", lambda: plan.sample.grid.times(p, plan.sample.steps))
    if grid is not None:
        attempt("sample.grid", lambda: check_grid(grid))
        if not any(q.where == "label" for q in problems):
            attempt("sample.grid", lambda: plan.label(p, plan.sample.sampler.levels(grid)))
    if not problems:
        attempt("sample", lambda: _dry_run(plan))
    examples = attempt("data", lambda: plan.data.open("train"))
    if examples is not None and len(examples) == 0:
        problems.append(Problem("data", "The data has no training examples."))
        examples = None
    if examples is None:
        return None, problems
    attempt("objective", lambda: plan.objective.check(examples.event_shape))
    spec = attempt("train.labels", lambda: spec_of(plan, examples))
    backbone = spec and attempt("network", lambda: _on_meta(plan.network, spec))
    fitted = attempt("data", lambda: fit(plan, examples))
    first = 1.0 if grid is None else float(grid[0])
    kl = fitted and attempt("data", lambda: [_prior_kl(fitted, examples, t) for t in (1.0, first)])
    if backbone is None or kl is None:
        return None, problems
    return (
        Facts(
            examples=len(examples),
            event_shape=examples.event_shape,
            classes=examples.classes,
            notes=examples.notes,
            parameters=sum(q.numel() for q in backbone.parameters() if q.requires_grad),
            terminal_log_snr=float(p.log_snr(torch.ones((), dtype=torch.float64))),
            prior_kl=kl[0],
            first_time=first,
            start_kl=kl[1],
        ),
        problems,
    )


class _Silent(torch.nn.Module):
    """A network that answers zero."""

    def forward(self, x: Tensor, label: Tensor, cond: object = None) -> Tensor:
        return 0.0 * x  # a function of x, of which an energy can be differentiated


def _dry_run(plan: Plan) -> None:
    """Go down the grid once with a network that answers zero, for what does not exist at one of its ends.

    Raises:
        ConfigError: If the state does not stay finite.
    """
    p, s = plan.perturbation, plan.sample
    model = NetworkModel(_Silent(), p, plan.parameterization, plan.label)
    x = torch.full((1, 1), p.prior_at(float(s.grid.times(p, s.steps)[0])))
    for state in trajectory(model, s.sampler, s.grid.times(p, s.steps), Zero(), x, final=s.final):
        if not bool(state.x.isfinite().all()):
            t = float(torch.as_tensor(state.t).max())
            raise ConfigError(
                f"The sampler does not stay finite at t = {t:.4g}, whatever the network; take more steps, end the grid "
                "earlier, or choose another sampler."
            )


def _taught(plan: Plan) -> list[Problem]:
    """Whether the network answers with what the objective teaches, and what goes with classes."""
    network, objective, train = plan.network, plan.objective, plan.train
    names = type(objective).__name__, type(network).__name__
    if network.answers != objective.teaches:
        way_out = {
            "classes": "use a network such as 'conv-classifier' or 'mlp-classifier'",
            "data": "use the objective 'classifier', or a network such as 'unet' or 'mlp'",
        }[objective.teaches]
        message = f"{names[0]} teaches {objective.teaches}, and {names[1]} answers with {network.answers}; {way_out}."
        return [Problem("network", message)]
    if network.answers == "data":
        return []
    found: list[Problem] = []
    if not train.labels:
        message = f"{names[0]} learns from class labels; set train.labels = true, on data that has some."
        found.append(Problem("train.labels", message))
    if train.label_dropout:
        message = f"{names[0]} learns from class labels and would be taught none; leave train.label_dropout out."
        found.append(Problem("train.label_dropout", message))
    if train.preview_every:
        message = "A classifier has no samples to show; leave train.preview_every out."
        found.append(Problem("train.preview_every", message))
    if plan.parameterization.differentiates:
        name = type(plan.parameterization).__name__
        message = f"{name} reads a network's gradient, and {names[1]} answers with classes; use 'edm' or 'eps'."
        found.append(Problem("parameterization", message))
    return found


def _without_noise(plan: Plan) -> list[Problem]:
    """What needs noise where the perturbation has none to speak of."""
    p = plan.perturbation
    found: list[Problem] = []
    if not p.vanishing:
        return found
    objective, read, name = (type(c).__name__ for c in (plan.objective, plan.parameterization, p))
    if not plan.objective.without_noise:
        message = (
            f"{objective} learns from noise, and {name} has none; use 'explicit' or 'sliced', or a perturbation with "
        )
        found.append(Problem("objective", message + "noise, such as 've'."))
    if not plan.parameterization.without_noise:
        message = f"{read} reads the network in units of the noise, and {name} has none; use 'score' or 'energy'."
        found.append(Problem("parameterization", message))
    try:
        check_noise(p, plan.sample.sampler)
    except ConfigError as error:
        found.append(Problem("sample.sampler", str(error)))
    return found


def _without_data(plan: Plan) -> list[Problem]:
    """What does not exist, or is not learned, at t = 1 where nothing is left of the data there."""
    p, end = plan.perturbation, torch.ones((), dtype=torch.float64)
    found: list[Problem] = []
    if float(p.alpha(end)) > 0:
        return found
    name = type(p).__name__
    try:
        model = NetworkModel(_Silent(), p, plan.parameterization, Time())
        _ = model(torch.ones(1, 1), 1.0).x0
    except FokkerError as error:
        found.append(Problem("parameterization", str(error)))
    try:
        told = plan.label(p, end)
        if told.is_floating_point() and not bool(told.isfinite()):
            what = f"The label {type(plan.label).__name__} is infinite at t = 1, where {name} has alpha = 0"
            found.append(Problem("label", f"{what}; use 't', '1000t' or 'alpha'."))
    except ConfigError:  # told already
        pass
    weighting = getattr(plan.objective, "weighting", None)
    if isinstance(weighting, Weighting):
        weight = float(weighting(p, end))
        if not 0 < weight < float("inf"):
            what = f"{type(weighting).__name__} gives t = 1 the weight {weight:g}, as {name} has alpha = 0 there, and"
            found.append(Problem("objective", f"{what} sampling starts there; use the weighting 'edm'."))
    return found


def _on_meta(network: Network, spec: DataSpec) -> torch.nn.Module:
    with torch.device("meta"):
        return network.build(spec)


def _prior_kl(plan: Plan, examples: Examples, t: float) -> float:
    x = examples.fetch(evenly_spread(examples, 2000)).x
    y = plan.chain.forward(x, Seeded(0)).double().flatten(1)
    alpha, sigma = plan.perturbation.scales(t, y)
    prior = plan.perturbation.prior_at(t) ** 2
    ratio = (alpha**2 * y.var(0, unbiased=False) + sigma**2) / prior
    return float((ratio - 1 - ratio.log() + (alpha * y.mean(0)) ** 2 / prior).sum() / 2)
