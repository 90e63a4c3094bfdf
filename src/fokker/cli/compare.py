"""`fokker compare`: samplers, grids and budgets side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from fokker.cli.app import App, pass_app
from fokker.cli.budgets import Budgets
from fokker.cli.options import ComponentType, LabelType, between_option, json_option
from fokker.cli.output import print_json, print_table
from fokker.cli.progress import progress
from fokker.errors import ConfigError, RunError

if TYPE_CHECKING:
    import torch

    from fokker.compare.cell import Check
    from fokker.compare.measure import Comparison, Row
    from fokker.compare.target import Target
    from fokker.data import DataSource
    from fokker.draw.picture import Picture
    from fokker.exact import ExactModel
    from fokker.guidance import Guidance
    from fokker.metric import Metric
    from fokker.model import ScoreModel
    from fokker.network import DataSpec
    from fokker.plan import Plan
    from fokker.width import Width

__all__ = ["compare"]

_CHUNK_NUMEL = 1 << 18
_KNOWS_ALL = "--between is for networks that are told levels; an exact law is known at all times."
_METRICS = ("energy-distance", "sliced-wasserstein", "convergence")


@dataclass(frozen=True, eq=False)
class _Compared:
    """The model that is compared with itself.

    Args:
        plan: What it was trained by; of an exact law, what it would be trained by.
        spec: Shape and classes of its data.
        model: The model.
        law: The model, where it is an exact law.
        device: Where it is.
        label: Class of all samples, or None.
        steering: What steers them.
        words: What it is.
    """

    plan: "Plan"
    spec: "DataSpec"
    model: "ScoreModel"
    law: "ExactModel | None"
    device: "torch.device"
    label: int | None
    steering: "Sequence[Guidance]"
    words: str

    @property
    def check(self) -> "Check":
        """Refuses levels that the network cannot be told; a law knows all of them."""
        if self.law is not None:
            return lambda way, times: None
        return lambda way, times: self.plan.label(self.plan.perturbation, way.levels(times))

    def width(self) -> "Width | None":
        """The width of its data."""
        from fokker.plan import width_of

        return width_of(self.plan, self.spec)


@click.command()
@click.argument("run", type=click.Path(path_type=Path), required=False)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="A picture (.png), rows (.json), a table (.md), or a folder for all three.",
)
@click.option("--sampler", "samplers", type=ComponentType("sampler"), multiple=True, help="A way down; repeatable.")
@click.option("--grid", "grids", type=ComponentType("grid"), multiple=True, help="Where it stops; repeatable.")
@click.option("--nfe", "budgets", type=Budgets(), help="Evaluations of the network per sample, such as 5,10,20.")
@click.option("-n", "n", type=click.IntRange(min=2), default=500, show_default=True, help="Samples of each seed.")
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="Number of seeds.")
@click.option("--seed", type=int, default=0, show_default=True, help="The first of them.")
@click.option(
    "--metric",
    "metrics",
    type=ComponentType("metric"),
    multiple=True,
    help="What is measured, a metric or convergence; repeatable. energy-distance, sliced-wasserstein, convergence "
    "unless given.",
)
@click.option(
    "--latents",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Samples of each seed whose convergence is measured.",
)
@click.option("--final", type=click.Choice(["tweedie", "mean", "none"]), help="How trajectories end; as planned.")
@between_option
@click.option("--split", type=click.Choice(["train", "test"]), default="test", show_default=True, help="Real data.")
@click.option(
    "--data", type=ComponentType("data"), help="With a run: data to compare with. Without one: whose law is the model."
)
@click.option("--perturbation", type=ComponentType("perturbation"), help="Of an exact law; vp unless given.")
@click.option("--exact", is_flag=True, help="Put the exact law of the run's data in the place of its network.")
@click.option("--guidance", type=ComponentType("guidance"), multiple=True, help="What steers the samples; repeatable.")
@click.option("--label", type=LabelType(), help="Class of all samples and of the data, or none; all unless given.")
@click.option("--baseline/--no-baseline", default=True, help="Whether the run's own way down is the first row.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Samples at a time; changes no sample.")
@click.option("--checkpoint", help="A step, or a checkpoint's name; the last one unless given.")
@click.option("--raw-weights", is_flag=True, help="Use the weights themselves, not their moving average.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps.")
@click.option("--force", is_flag=True, help="Replace what is at --out.")
@json_option
@pass_app
def compare(
    app: App,
    run: Path | None,
    out: Path,
    samplers: tuple[str, ...],
    grids: tuple[str, ...],
    budgets: tuple[int, ...] | None,
    n: int,
    seeds: int,
    seed: int,
    metrics: tuple[str, ...],
    latents: int,
    final: str | None,
    between: Literal["refuse", "round", "interpolate"] | None,
    split: Literal["train", "test"],
    data: str | None,
    perturbation: str | None,
    exact: bool,
    guidance: tuple[str, ...],
    label: int | Literal["none"] | None,
    baseline: bool,
    batch_size: int | None,
    checkpoint: str | None,
    raw_weights: bool,
    device: str,
    force: bool,
    as_json: bool,
) -> None:
    r"""Compare samplers on the trained model in RUN, or on a law whose score is known.

    \b
    Examples:
      fokker compare runs/digits --out digits/
      fokker compare runs/roll --sampler ddim --sampler ddpm --grid karras --grid uniform --nfe 10,50 --out roll.png
      fokker compare --data two-gaussians --perturbation ve --nfe 5,10,20,50 --out exact.md

    Samples start from the same latents whatever the way down. Convergence is the mean distance to the end of the
    latents' probability flow, in the model's units. A value within what real data has is a tie, marked =; the best of
    a budget, and what is within two standard errors of it, is marked *.
    """
    from fokker import config
    from fokker.compare.cell import BUDGETS, cells, default_grids, default_samplers
    from fokker.compare.measure import CONVERGENCE, Comparison
    from fokker.compare.results import Results, files_of
    from fokker.start import start_from

    files = files_of(out, force=force)
    if run is None:
        if between is not None:
            raise click.UsageError(_KNOWS_ALL)
        compared = _law(app, data, perturbation, exact, guidance, label, device)
    else:
        compared = _run(app, run, between, perturbation, exact, guidance, label, checkpoint, raw_weights, device)
    plan, registry = compared.plan, app.registry
    wanted = list(dict.fromkeys(metrics or _METRICS))
    built: dict[str, Metric] = {m: config.build(registry, "metric", m) for m in wanted if m != CONVERGENCE}
    end: Any = final or plan.sample.final
    found = cells(
        registry,
        plan.perturbation,
        samplers or default_samplers(registry),
        grids or default_grids(registry, plan.perturbation, compared.check),
        budgets or BUDGETS,
        check=compared.check,
        final=end,
        guidance=compared.steering,
        baseline=plan.sample if baseline else None,
        width=compared.width,
        run=run,
    )
    target = _target(app, compared, run, data, n=n, split=split, seed=seed) if built else None
    comparison = Comparison(
        compared.model,
        compared.spec,
        plan.chain,
        exact=compared.law is not None,
        metrics=built,
        target=target,
        latents=latents if CONVERGENCE in wanted else 0,
        n=n,
        batch_size=batch_size or max(1, min(4096, _CHUNK_NUMEL // compared.spec.numel)),
        init=start_from(plan.sample.init, plan),
        final=end,
        label=compared.label,
        guidance=compared.steering,
        data=plan.data,
        device=compared.device,
    )
    words = [
        f"{compared.words}, {n} samples of each of {seeds} seeds from {seed} on"
        + ("." if target is None else f", against {target.words}.")
    ]
    show = _Shown(comparison, words)
    costs = [cell.budget or (100 if cell.times is None else len(cell.times)) for cell in found]
    with (
        Results(files, show.text, show.picture) as results,
        progress(app, "comparing", seeds * sum(costs)) as tell,
    ):
        past = 0.0
        for cell, cost in zip(found, costs, strict=True):
            what = f"{cell.sampler} on {cell.grid}" + (f", NFE {cell.budget}" if cell.budget else "")
            tell(past, what)
            done = 0

            def on_step(share: float, past: float = past, cost: float = cost, what: str = what) -> None:
                tell(past + cost * (done + share), what)  # noqa: B023  # the row that is on its way

            for row in comparison.rows(cell, range(seed, seed + seeds), on_step):
                results.add(row)
                done += 1
            past += cost * seeds
            tell(past, what)
    if as_json:
        print_json([row.table() for row in results.rows])
    else:
        show.print(results.rows)
        click.echo(f"Written: {', '.join(str(path) for path in files.values() if path.exists())}.")
    if all(row.refused is not None for row in results.rows):
        raise RunError(
            f"Nothing could be sampled. {results.rows[0].refused if results.rows else 'No sampler is left.'}"
        )


class _Shown:
    """Rows as a table and as a picture.

    Args:
        comparison: Whose rows they are.
        words: Sentences above the table.
    """

    def __init__(self, comparison: "Comparison", words: Sequence[str]) -> None:
        self._comparison, self._words = comparison, words

    def _floors(self, rows: "Sequence[Row]") -> dict[str, tuple[float, float]]:
        from statistics import fmean

        floors = {name: (f.mean, f.limit) for name, f in self._comparison.floors.items()}
        for name in self._comparison.names:
            own = [(row.floor[name], row.limit[name]) for row in rows if name in row.metrics]
            if name not in floors and own:  # that of the probability flow, which is another one for each seed
                floors[name] = fmean(mean for mean, _ in own), fmean(limit for _, limit in own)
        return floors

    def text(self, rows: "Sequence[Row]") -> str:
        """The table in Markdown."""
        from fokker.compare.table import markdown, summarise

        entries = summarise(rows, self._comparison.likeness)
        legend = (
            "`=` within what real data has (mean, and in brackets the limit of 95 % of sets); `*` best of its budget, "
            "or within two standard errors of it."
        )
        return markdown(entries, self._comparison.names, self._floors(rows), [*self._words, legend])

    def print(self, rows: "Sequence[Row]") -> None:
        """The table on standard output, with its words and reasons."""
        from fokker.compare.table import headings, lines, notes, summarise

        names = self._comparison.names
        entries = summarise(rows, self._comparison.likeness)
        print_table(headings(names), lines(entries, names, self._floors(rows)))
        for number, reason in enumerate(notes(entries), 1):
            click.echo(f"[{number}] {reason}")
        for sentence in self._words:
            click.echo(sentence)

    def picture(self, rows: "Sequence[Row]") -> "Picture":
        """Every metric against cost."""
        from fokker.compare.table import summarise
        from fokker.draw.pareto import Panel, pareto

        entries = summarise(rows, self._comparison.likeness)
        floors = self._floors(rows)
        names = [name for name in self._comparison.names if any(name in entry.values for entry in entries)]
        panels = [
            Panel(name, _curves(entries, name), floors.get(name), self._comparison.likeness(name)) for name in names
        ]
        if not panels:
            raise RunError("No metric has a value, so there is nothing to draw; the table says why.")
        return pareto(panels)


def _curves(entries: Sequence[Any], name: str) -> list[Any]:
    from fokker.draw.pareto import Curve

    grids = {entry.grid for entry in entries if not entry.baseline and entry.refused is None}
    groups: dict[str, list[Any]] = {}
    for entry in entries:
        if name in entry.values:
            label = entry.sampler if len(grids) == 1 and not entry.baseline else f"{entry.sampler} on {entry.grid}"
            groups.setdefault(f"{label} (default)" if entry.baseline else label, []).append(entry)
    return [
        Curve(
            label,
            [entry.nfe for entry in group],
            [entry.seconds for entry in group],
            [entry.values[name].mean for entry in group],
            [entry.values[name].stderr or 0.0 for entry in group],
            own=len(group) == 1,
        )
        for label, group in groups.items()
    ]


def _run(
    app: App,
    run: Path,
    between: Literal["refuse", "round", "interpolate"] | None,
    perturbation: str | None,
    exact: bool,
    guidance: Sequence[str],
    label: int | Literal["none"] | None,
    checkpoint: str | None,
    raw_weights: bool,
    device: str,
) -> _Compared:
    """The model of a run, or the law of its data."""
    from fokker import config
    from fokker.network import DataSpec
    from fokker.run.folder import open_run
    from fokker.sampling import classes_of
    from fokker.training.device import pick_device

    if perturbation is not None:
        raise click.UsageError("--perturbation is that of an exact law; a run has its own.")
    if exact and between is not None:
        raise click.UsageError(_KNOWS_ALL)
    opened = open_run(run, app.host).told_between(between)
    where = pick_device(device)
    plan = opened.plan
    steering = [config.build(app.registry, "guidance", spec) for spec in guidance]
    if exact:
        law = _known(plan.data, plan)
        _without_label(label)
        spec = DataSpec(opened.spec.event_shape)
        for each in steering:
            each.check(plan, spec)
        return _Compared(plan, spec, law, law, where, None, steering, f"The exact law of {run}")
    for each in steering:
        each.check(plan, opened.spec)
    kind = opened.label(label, classes_of(opened.spec, steering))
    model = opened.model(checkpoint=checkpoint, raw_weights=raw_weights, device=where)
    return _Compared(plan, opened.spec, model, None, where, kind, steering, str(run))


def _law(
    app: App,
    data: str | None,
    perturbation: str | None,
    exact: bool,
    guidance: Sequence[str],
    label: int | Literal["none"] | None,
    device: str,
) -> _Compared:
    """The law of a data source, seen through a perturbation."""
    from fokker import config
    from fokker.network import DataSpec
    from fokker.plan import fit, resolve
    from fokker.training.device import pick_device

    if data is None:
        raise click.UsageError("Give RUN, a trained model, or --data, a source whose law is known.")
    if exact:
        raise click.UsageError("--exact takes the place of a run's network; without RUN the law is exact anyway.")
    _without_label(label)
    options = {"data": data, "perturbation": perturbation}
    plan = resolve(app.registry, None, options)
    examples = plan.data.open("train")
    plan = fit(plan, examples)
    law = _known(plan.data, plan)
    spec = DataSpec(tuple(examples.event_shape))
    steering = [config.build(app.registry, "guidance", text) for text in guidance]
    for each in steering:
        each.check(plan, spec)
    p = config.to_table(app.registry, plan.perturbation, "perturbation")["name"]
    words = f"The exact law of {data} under {perturbation or p}"
    return _Compared(plan, spec, law, law, pick_device(device), None, steering, words)


def _known(source: "DataSource", plan: "Plan") -> "ExactModel":
    law = source.law(plan.perturbation)
    if law is None:
        raise ConfigError(
            f"The law of {type(source).__name__} is not known here; 'swiss-roll', 'two-gaussians', 'ring' and "
            "'mixture' have one, behind transforms that shift and scale. Train a model and give its RUN instead."
        )
    return law


def _without_label(label: object) -> None:
    if label is not None:
        raise ConfigError("An exact law knows no classes, so --label has no meaning here; leave it out.")


def _target(
    app: App, compared: _Compared, run: Path | None, data: str | None, *, n: int, split: Any, seed: int
) -> "Target":
    """The real data."""
    from fokker.cli.flow import named_source
    from fokker.compare.target import of_data, of_law
    from fokker.run.folder import open_run

    if compared.law is not None and (run is None or data is None):
        return of_law(compared.law, compared.plan.chain, n, seed=seed)
    source = compared.plan.data
    if data is not None and run is not None:
        source, _ = named_source(app, open_run(run, app.host), data)
    kind = compared.label
    if kind is not None and kind == compared.spec.classes:  # samples of no class are compared with all of them
        kind = None
    return of_data(source, n, split=split, label=kind, seed=seed)
