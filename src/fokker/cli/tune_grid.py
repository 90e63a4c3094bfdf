"""`fokker tune RUN --grid`: the best grid of a trained model for each budget."""

from pathlib import Path

import click

from fokker.cli.app import App
from fokker.cli.output import print_json
from fokker.cli.progress import progress
from fokker.errors import ConfigError

__all__ = ["tune_grid"]


def tune_grid(
    app: App,
    run: Path,
    *,
    budgets: tuple[int, ...],
    sampler: str | None,
    latents: int,
    seed: int,
    checkpoint: str | None,
    raw_weights: bool,
    device: str,
    as_json: bool,
) -> None:
    """Search the grids, and store each in the run as soon as it is found.

    Raises:
        RunError: If there is no run, or its folder cannot be written.
        ConfigError: If a budget allows no step, the sampler has no best grid, or the model cannot be asked between the
            levels of a table.
    """
    import dataclasses

    from fokker import config
    from fokker.budget import steps_for
    from fokker.guidance import Subject
    from fokker.run.folder import open_run
    from fokker.run.grids import TunedGrid, write_grid
    from fokker.spec import as_spec
    from fokker.start import start_from
    from fokker.training.device import pick_device
    from fokker.tune.grid import draw_latents, search_grid

    opened = open_run(run, app.host)
    plan, registry = opened.plan, app.registry
    p, final = plan.perturbation, plan.sample.final
    way = config.build(registry, "sampler", sampler or "auto").on_data(opened.width)
    name = str(as_spec(config.to_table(registry, way, "sampler")))
    rule = way.own_grid or config.build(registry, "grid", "auto").on_data(opened.width)
    rule_name = str(as_spec(config.to_table(registry, rule, "grid")))
    starts = {}
    for nfe in sorted(set(budgets)):
        steps = steps_for(way, name, nfe, final)
        times = rule.times(p, steps)
        try:
            plan.label(p, way.levels(times))
        except ConfigError as error:
            raise ConfigError(f"A grid is searched between the levels of a table. {error}") from None
        starts[steps] = nfe, times
    where = pick_device(device)
    model = opened.model(checkpoint=checkpoint, raw_weights=raw_weights, device=where)
    subject = Subject(opened.spec, plan.chain, plan.data)
    init = start_from(plan.sample.init, plan)
    found = []
    with progress(app, "tuning", 1 + len(starts)) as report:
        sets = []
        for number in (0, 1):
            report(number / 2, "following the probability flow")
            sets.append(
                draw_latents(model, subject, way, latents, first=number * latents, seed=seed, init=init, device=where)
            )
        spent = sum(each.evaluations for each in sets)
        for number, (steps, (nfe, times)) in enumerate(starts.items(), 1):

            def tell(share: float, distance: float, number: int = number, nfe: int = nfe) -> None:
                report(number + share, f"NFE {nfe}: distance {distance:.3g}")

            best = search_grid(way, times, *sets, final=final, tell=tell)
            tuned = TunedGrid(
                sampler=name,
                steps=steps,
                nfe=nfe,
                final=final,
                noise=best.noise,
                distance=best.distance,
                start=best.start,
                start_grid=rule_name,
                improved=best.improved,
                latents=latents,
                seed=seed,
                checkpoint=opened.checkpoint(checkpoint).name,
                raw_weights=raw_weights,
                evaluations=best.evaluations,
            )
            write_grid(run, tuned)
            found.append(tuned)
            spent += best.evaluations
    if as_json:
        print_json([dataclasses.asdict(each) for each in found])
        return
    for each in found:
        words = f"-> {each.distance:.4g}" if each.improved else "kept, nothing better was found"
        levels = " ".join(f"{level:.4g}" for level in each.noise)
        click.echo(f"NFE {each.nfe}: distance {each.start:.4g} {words}; sigma / alpha {levels}")
    with_sampler = f"--sampler '{sampler}' " if sampler else ""
    click.echo(
        f"\n# mean distance to the ends of the probability flow, of {latents} latents that no level was chosen by\n"
        f"# {spent:,} evaluations of the network; sample with {with_sampler}--grid optimized --nfe {found[-1].nfe}"
    )
