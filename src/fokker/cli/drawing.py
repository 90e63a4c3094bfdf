"""What the commands of `fokker draw` share: the run's model and data, its way down, and where the picture goes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fokker.cli.app import App
from fokker.cli.options import ComponentType
from fokker.cli.way import pick_way
from fokker.errors import ConfigError, RunError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from fokker.model import ScoreModel
    from fokker.run.folder import Run
    from fokker.sampler import Sampler
    from fokker.sampling import Chunk

__all__ = ["Drawing", "Way", "check_out", "open_drawing", "open_way", "run_options", "way_options"]

F = TypeVar("F", bound=Callable[..., Any])

_CHUNK_NUMEL = 1 << 18
_STREAM = 1 << 44
"""Separates the noise of data that is drawn from other uses of a seed."""


@dataclass(frozen=True, eq=False)
class Drawing:
    """A run's model and data.

    Args:
        app: The plugins, and whether to be quiet.
        run: The run.
        model: Its model.
        device: Where it is.
        label: Class of all examples and samples, or None.
        seed: Of all that is drawn at random.
    """

    app: App
    run: "Run"
    model: "ScoreModel"
    device: "torch.device"
    label: int | None
    seed: int

    def examples(self, n: int) -> "tuple[Tensor, dict[str, Tensor]]":
        """Up to `n` examples of the test split in their own units, of the class if given; and their conditions."""
        opened = self.run.plan.data.open("test")
        batch = opened.fetch(range(min(n, len(opened))))
        if self.label is None or "label" not in batch.cond:
            return batch.x, batch.cond
        of_class = batch.cond["label"] == self.label
        if not bool(of_class.any()):
            raise ConfigError(f"None of the first {len(batch.x)} examples is of class {self.label}; raise -n.")
        return batch.x[of_class], {name: value[of_class] for name, value in batch.cond.items()}

    def noise(self, x: "Tensor", use: int = 0) -> Any:
        """A source of noise for examples (N, *D), unlike that of samples; two uses get unrelated numbers."""
        from fokker.noise import PerSample

        return PerSample(self.seed, range(len(x)), tuple(x.shape[1:]), stream=_STREAM + use)

    def inputs(self, x: "Tensor") -> "Tensor":
        """Examples in the model's units, on the host."""
        return self.run.plan.chain.forward(x, self.noise(x))

    def law(self) -> "ScoreModel | None":
        """The exact score of the data, as far as it is known, for a model without classes."""
        return None if self.run.spec.classes is not None else self.run.plan.data.law(self.run.plan.perturbation)

    def plane(self, what: str) -> None:
        """Refuse data that is not of the plane."""
        shape = self.run.spec.event_shape
        if shape != (2,):
            raise ConfigError(
                f"{what} is drawn of points of the plane, shape (2,); the data of this run has shape {shape}. "
                "'fokker draw animation', 'samples' and 'marginals --coordinate' draw any shape."
            )


@dataclass(frozen=True, eq=False)
class Way:
    """The way down.

    Args:
        sampler: The sampler.
        times: Its grid.
        init: How its start is written.
        final: How it ends.
    """

    sampler: "Sampler"
    times: "Tensor"
    init: Any
    final: Any

    def walk(self, drawing: Drawing, n: int, *, states: int = 0) -> "tuple[Tensor, Chunk]":
        """Sample.

        Args:
            drawing: The run, the seed and the class.
            n: Samples.
            states: States of the trajectory that are kept, of all samples; none unless given.

        Returns:
            Samples in the data's own units, (n, *D), and the first chunk, which has the states.
        """
        import torch

        from fokker.cli.progress import progress
        from fokker.sampling import generate
        from fokker.start import start_from

        run, done = drawing.run, 0
        total = n * (len(self.times) - 1 + (self.final == "tweedie"))
        with progress(drawing.app, "sampling", total) as tell:

            def on_step(count: int) -> None:
                nonlocal done
                done += count
                tell(done, "")

            chunks = list(
                generate(
                    drawing.model,
                    run.plan.chain,
                    run.spec,
                    self.sampler,
                    self.times,
                    n=n,
                    batch_size=n if states else max(1, min(4096, _CHUNK_NUMEL // run.spec.numel)),
                    seed=drawing.seed,
                    init=start_from(self.init, run.plan),
                    final=self.final,
                    label=drawing.label,
                    data=run.plan.data,
                    keep_states=states,
                    keep_samples=n,
                    device=drawing.device,
                    on_step=on_step,
                )
            )
        return torch.cat([chunk.x for chunk in chunks]), chunks[0]


def run_options(command: F) -> F:
    """Add the options of `open_drawing`, and `--force`."""
    for option in reversed(
        (
            click.option("--seed", type=int, default=0, show_default=True, help="Of all that is drawn at random."),
            click.option("--label", type=click.IntRange(min=0), help="Class of all samples and of the data."),
            click.option("--checkpoint", help="A step, or a checkpoint's name; the last one unless given."),
            click.option("--raw-weights", is_flag=True, help="Use the weights themselves, not their moving average."),
            click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps."),
            click.option("--force", is_flag=True, help="Replace what is at --out."),
        )
    ):
        command = option(command)
    return command


def way_options(command: F) -> F:
    """Add the options of `open_way`."""
    for option in reversed(
        (
            click.option("--sampler", type=ComponentType("sampler"), help="The way down; the plan's unless given."),
            click.option("--grid", type=ComponentType("grid"), help="Where it stops; the plan's unless given."),
            click.option("--steps", type=click.IntRange(min=1), help="Steps of the grid; the plan's unless given."),
            click.option(
                "--init", help="Where it begins: prior, normal, uniform, data, or a point such as [1.5,-1.5]."
            ),
            click.option("--final", type=click.Choice(["tweedie", "mean", "none"]), help="How trajectories end."),
        )
    ):
        command = option(command)
    return command


def open_drawing(
    app: App,
    run: Path,
    *,
    seed: int,
    label: int | None,
    checkpoint: str | None,
    raw_weights: bool,
    device: str,
) -> Drawing:
    """Open a run to be drawn.

    Raises:
        RunError: If there is no such run or checkpoint.
        ConfigError: If there is no such class.
    """
    from fokker.run.folder import open_run
    from fokker.training.device import pick_device

    opened = open_run(run, app.host)
    opened.label(label)
    where = pick_device(device)
    model = opened.model(checkpoint=checkpoint, raw_weights=raw_weights, device=where)
    return Drawing(app, opened, model, where, label, seed)


def open_way(
    drawing: Drawing,
    *,
    sampler: str | None,
    grid: str | None,
    steps: int | None,
    init: str | None,
    final: str | None,
) -> Way:
    """The way down that is meant: the plan's, with what is given instead.

    Raises:
        ConfigError: If a component is unknown, or the network cannot be asked at its times.
    """
    from fokker import config
    from fokker.plan import SampleSettings
    from fokker.sampler import check_noise
    from fokker.spec import as_spec, parse_value

    registry, plan = drawing.app.registry, drawing.run.plan
    settings, p = plan.sample, plan.perturbation
    way, rule = pick_way(drawing.app, drawing.run, sampler, grid)
    if init is not None:
        table = {**config.settings_table(registry, settings), "init": parse_value(init)}
        settings = config.build_settings(registry, SampleSettings, table, "sample")
    check_noise(p, way)
    steps = settings.steps if steps is None else steps
    named = str(as_spec(config.to_table(registry, way, "sampler")))
    times = rule.in_run(drawing.run.path, named, steps).times(p, steps)
    plan.label(p, way.levels(times))  # a label that does not exist between levels refuses here, before any work
    return Way(way, times, settings.init, final or settings.final)


def check_out(out: Path, suffix: str, *, force: bool) -> None:
    """Refuse a file of another kind, and to replace one unless told to.

    Raises:
        ConfigError: If its name ends otherwise.
        RunError: If it is there.
    """
    if out.suffix != suffix:
        raise ConfigError(f"This is written as {suffix}; got --out {out}.")
    if out.exists() and not force:
        raise RunError(f"{out} is there already: choose another --out, or give --force to replace it.")
