"""`fokker likelihood`: log-likelihoods of data under a trained model."""

import math
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from fokker.cli.app import App, pass_app
from fokker.cli.flow import data_options, flow_options, naming, open_data, open_flow, refuse_existing, share_of
from fokker.cli.options import json_option
from fokker.cli.output import print_json, print_table
from fokker.cli.progress import progress
from fokker.errors import ConfigError
from fokker.partial import write_text

__all__ = ["likelihood"]

_COLUMNS = ("nats", "bits_per_dim", "probe_stderr", "prior", "divergence", "transforms", "nfe")


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@data_options
@click.option("-n", "n", type=click.IntRange(min=1), help="Number of examples; all unless given.")
@click.option("--first", type=click.IntRange(min=0), default=0, show_default=True, help="Position of the first one.")
@click.option(
    "--divergence",
    type=click.Choice(["hutchinson", "exact"]),
    default="hutchinson",
    show_default=True,
    help="Estimated by random probes, or added up over all dimensions, which takes a backward pass for each.",
)
@click.option("--probes", type=click.IntRange(min=1), help="Probes for each example; 2 unless given.")
@click.option("--probe", type=click.Choice(["rademacher", "gaussian"]), help="Their law; rademacher unless given.")
@click.option("--out", type=click.Path(path_type=Path), help="Also write a line per example to this .csv file.")
@flow_options
@json_option
@pass_app
def likelihood(
    app: App,
    run: Path,
    data: str | None,
    split: str | None,
    seed: int,
    n: int | None,
    first: int,
    divergence: str,
    probes: int | None,
    probe: str | None,
    out: Path | None,
    force: bool,
    as_json: bool,
    **options: Any,
) -> None:
    r"""Log-likelihood of data under the trained model in RUN, in nats and bits/dim, with every term.

    \b
    Examples:
      fokker likelihood runs/digits
      fokker likelihood runs/digits --probe gaussian --probes 8 -n 100 --out digits.csv
      fokker likelihood runs/roll --divergence exact --data swiss-roll:seed=1 --json

    Example i depends on the seed, its position i and the model, not on -n, --first or --batch-size.
    """
    from fokker.flow import Exact, Hutchinson, log_likelihood, read
    from fokker.flow.examples import check_examples

    if divergence == "exact" and (probes is not None or probe is not None):
        raise click.UsageError("--probes and --probe have no meaning with --divergence exact.")
    if out is not None:
        if out.suffix != ".csv":
            raise ConfigError(f"Likelihoods are written as .csv, got {out}.")
        refuse_existing(out, force=force)
    rule = Exact() if divergence == "exact" else Hutchinson(probes or 2, probe or "rademacher")  # type: ignore[arg-type]
    flow = open_flow(app, run, **options)
    examples, named = open_data(app, flow, data, split)
    count = len(examples) - first if n is None else n
    spec, dim = flow.run.spec, flow.run.spec.numel
    check_examples(examples, spec, n=count, first=first, label=flow.label)
    began = time.perf_counter()
    rows: list[tuple[float, ...]] = []
    lines = [",".join(("index", *_COLUMNS))]
    inputs = read(
        examples,
        flow.run.plan.chain,
        spec,
        n=count,
        first=first,
        batch_size=flow.batch,
        seed=seed,
        label=flow.label,
        device=flow.device,
    )
    with progress(app, "likelihood", count) as report:
        for chunk in inputs:
            with naming(chunk.first, "Example"):
                found = log_likelihood(
                    flow.model,
                    chunk.x,
                    chunk.noise,
                    cond=chunk.cond,
                    divergence=rule,
                    on_step=share_of(report, len(rows), len(chunk.x), count),
                    rtol=flow.rtol,
                    atol=flow.atol,
                )
            prior, change = found.prior.double().cpu(), found.divergence.double().mean(1).cpu()
            nats = prior + change + chunk.volume
            bits = -nats / (dim * math.log(2))
            columns = (nats, bits, found.stderr.double().cpu(), prior, change, chunk.volume, found.nfe)
            for row in zip(*(column.tolist() for column in columns), strict=True):
                lines.append(f"{first + len(rows)}," + ",".join(f"{value:.9g}" for value in row))
                rows.append(row)
    seconds = time.perf_counter() - began
    if out is not None:
        write_text(out, "\n".join(lines) + "\n")
    by_name = dict(zip(_COLUMNS, zip(*rows, strict=True), strict=True))
    of_probes = None if probes == 1 else math.sqrt(sum(e**2 for e in by_name["probe_stderr"])) / count
    terms = {name: _mean(by_name[name])["mean"] for name in ("prior", "divergence", "transforms")}
    result = {
        "n": count,
        "nats": _mean(by_name["nats"]),
        "bits_per_dim": _mean(by_name["bits_per_dim"]),
        "terms": terms,
        "nfe": _mean(by_name["nfe"])["mean"],
        "divergence": divergence,
        "probes": None if isinstance(rule, Exact) else rule.number,
        "probe": None if isinstance(rule, Exact) else rule.law,
        "probe_stderr": of_probes,
        "data": named,
        "seed": seed,
        "seconds": seconds,
        "out": None if out is None else str(out),
    }
    if as_json:
        print_json(result)
        return
    scale = -1 / (dim * math.log(2))
    table = [(name, f"{value:.5g}", f"{scale * value + 0.0:.5g}") for name, value in terms.items() if value is not None]
    total = ("log-likelihood", *(_with_error(result[unit]) for unit in ("nats", "bits_per_dim")))
    print_table(("mean of", "nats", "bits/dim"), [*table, total])
    click.echo(f"{named}: {count} examples, NFE {result['nfe']:.4g}, {seconds:.1f} s")
    if isinstance(rule, Hutchinson) and of_probes is not None:
        click.echo(f"of the standard error, {of_probes:.2g} nats come from the probes ({rule.number} {rule.law})")


def _mean(values: Iterable[float]) -> dict[str, float | None]:
    """Mean, and its standard error, which one value does not have."""
    given = list(values)
    n = len(given)
    mean = math.fsum(given) / n
    spread = math.fsum((v - mean) ** 2 for v in given)
    return {"mean": mean, "stderr": math.sqrt(spread / (n - 1) / n) if n > 1 else None}


def _with_error(value: Any) -> str:
    return f"{value['mean']:.5g}" + ("" if value["stderr"] is None else f" +- {value['stderr']:.2g}")
