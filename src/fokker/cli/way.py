"""The way down that a command means: the plan's, what is given instead, or the best one for a budget."""

from typing import TYPE_CHECKING

from fokker.cli.app import App
from fokker.errors import ConfigError

if TYPE_CHECKING:
    from fokker.grid import Grid
    from fokker.plan import Plan
    from fokker.run.folder import Run
    from fokker.sampler import Sampler

__all__ = ["pick_way"]


def pick_way(
    app: App, run: "Run", sampler: str | None, grid: str | None, *, budget: bool = False
) -> "tuple[Sampler, Grid]":
    """The sampler and the grid that are meant.

    A sampler that is given without a grid brings its own, where it has one, and a grid without a sampler likewise. A
    budget with neither of them is one for `auto`, unless the model cannot be asked at its times.

    Args:
        app: The application.
        run: The run.
        sampler: A spec, or None where none was given.
        grid: Likewise.
        budget: Whether a number of evaluations was given.

    Raises:
        ConfigError: If a component is unknown or a field of it is wrong.
    """
    from fokker import config

    plan = run.plan
    settings = plan.sample
    automatic = budget and sampler is None and grid is None and _can_be_automatic(app, plan)
    given: Grid | None = None if grid is None else config.build(app.registry, "grid", grid)
    chosen = "auto" if automatic else sampler
    if chosen is None and given is not None:
        chosen = given.own_sampler
    way: Sampler = settings.sampler if chosen is None else config.build(app.registry, "sampler", chosen)
    if given is not None:
        rule = given
    else:
        own = None if chosen is None else way.own_grid
        rule = settings.grid if own is None else own
    return way.on_data(run.width), rule.on_data(run.width)


def _can_be_automatic(app: App, plan: "Plan") -> bool:
    """Whether `auto` can go down with this model; says so if not."""
    from fokker import config

    way, p = config.build(app.registry, "sampler", "auto"), plan.perturbation
    if p.vanishing:
        return False
    try:
        plan.label(p, way.own_grid.times(p, 8))
    except ConfigError:
        app.say(
            "--nfe goes with the plan's own sampler and grid, since this network is told levels of its table alone; "
            "'--between round' lets it go with 'auto'."
        )
        return False
    return True
