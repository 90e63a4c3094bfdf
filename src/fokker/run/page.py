"""The report of a run: its plan, how training went, and what it samples."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from fokker import config, draw
from fokker.draw import Picture
from fokker.levels import losses_at, picked_times, spread_levels
from fokker.noise import PerSample
from fokker.report import Frames, Pictures, Section, Table, Text
from fokker.run.folder import Run, read_lines
from fokker.sampling import Chunk, generate
from fokker.start import start_from

if TYPE_CHECKING:
    from fokker.plugins.registry import Registry
    from fokker.sampler import Sampler

__all__ = ["Way", "level_sections", "sample_sections", "training_sections"]

_LEVELS = 12
_VALUES = 1 << 14  # of the examples at whose levels the loss is evaluated

Way = tuple[str, str, int]
"""A sampler's spec, a grid's spec, and a number of steps."""


def training_sections(run: Run, prefix: str = "") -> list[Section]:
    """The loss curve and the previews of a run.

    Args:
        run: The run.
        prefix: Goes before the titles.
    """
    rows = list(read_lines(run.path / "metrics.jsonl"))
    sections: list[Section] = []
    if rows:
        last = rows[-1]
        text = (
            f"After step {last['step']} ({last['epoch']:.1f} epochs) the mean loss is {last['loss']:.4g}, "
            f"{last['loss_per_dim']:.4g} per dimension."
        )
        sections.append(Pictures(f"{prefix}Loss", [("loss over the steps", draw.loss_curve(rows))], text))
    else:
        sections.append(Text(f"{prefix}Loss", "No step has been logged yet."))
    previews = sorted((run.path / "previews").glob("step-*.png"))
    if previews:
        frames = [(f"step {int(p.stem.removeprefix('step-'))}", Picture(p.read_bytes())) for p in previews]
        sections.append(Frames(f"{prefix}Previews", frames))
    return sections


def level_sections(
    run: Run, *, seed: int = 0, checkpoint: str | None = None, device: torch.device | str = "cpu"
) -> list[Section]:
    """The loss of a run at each noise level on held-out examples, and the score of points of the plane.

    Args:
        run: The run.
        seed: Of the noise.
        checkpoint: See `Run.checkpoint`.
        device: Where to evaluate.

    Returns:
        Nothing where the split has no example, or the objective knows no levels.
    """
    examples = run.plan.data.open("test")
    count = min(len(examples), max(32, min(1000, _VALUES // run.spec.numel)))
    if not count:
        return []
    model, plan = run.model(checkpoint=checkpoint, device=device), run.plan
    batch = examples.fetch(range(count))
    x = plan.chain.forward(batch.x, PerSample(seed, range(count), run.spec.event_shape)).to(device)
    classes = run.spec.classes is not None
    law = None if classes else plan.data.law(plan.perturbation)
    told = run.spec.told(batch.cond)
    cond = None if told is None else {name: value.to(device) for name, value in told.items()}
    times = spread_levels(plan.objective, model, _LEVELS)
    found = losses_at(plan.objective, model, x, times, seed=seed, law=law, cond=cond)
    best = " The dashed line is the loss of the data's exact score: no model has less." if law is not None else ""
    text = f"The objective on {count} examples of the test split, with two standard errors either way.{best}"
    pictures = [("loss at each noise level", draw.level_losses(found))]
    if run.spec.event_shape == (2,) and not classes:
        noise = PerSample(seed, range(count), (2,), stream=1, device=device)
        field = draw.score_fields(model, picked_times(plan.perturbation, 4), reference=x, noise=noise, arrows=32)
        pictures.append(("score over the data", field))
    return [Pictures("Noise levels", pictures, text)]


def sample_sections(
    registry: "Registry",
    run: Run,
    ways: Sequence[Way],
    *,
    n: int,
    seed: int = 0,
    prefix: str = "",
    checkpoint: str | None = None,
    device: torch.device | str = "cpu",
    on_step: Callable[[float], None] | None = None,
) -> list[Section]:
    """Sample a run in several ways and compare: pictures, a table, and the first way's trajectory.

    Args:
        registry: Where samplers, grids and the metric are looked up.
        run: The run.
        ways: How to sample; the first one's trajectory is shown.
        n: Number of samples of each way.
        seed: Of the samples.
        prefix: Goes before the titles.
        checkpoint: See `Run.checkpoint`.
        device: Where to sample.
        on_step: Told the share of the work that is done.
    """
    model = run.model(checkpoint=checkpoint, device=device)
    p = run.plan.perturbation
    real = _examples(run, n)
    metric = config.build(registry, "metric", "sliced-wasserstein")
    pictures: list[tuple[str, Picture]] = [("data", draw.samples(real, like=real, width=420, source=run.plan.data))]
    rows: list[tuple[str, str, float, float, float]] = []
    frames: list[tuple[str, Picture]] = []
    for k, (spec, rule, steps) in enumerate(ways):
        sampler: Sampler = config.build(registry, "sampler", spec).on_data(run.width)
        grid = config.build(registry, "grid", rule).on_data(run.width).times(p, steps)

        began = time.perf_counter()
        tell = _share(on_step, n * len(grid), k, len(ways))
        chunks: list[Chunk] = list(
            generate(
                model,
                run.plan.chain,
                run.spec,
                sampler,
                grid,
                n=n,
                batch_size=min(n, max(1, 2**18 // run.spec.numel)),
                seed=seed,
                init=start_from(run.plan.sample.init, run.plan),
                final=run.plan.sample.final,
                data=run.plan.data,
                keep_states=24 if k == 0 else 0,
                keep_samples=min(n, max(16, 4096 // run.spec.numel)),
                device=device,
                on_step=tell,
            )
        )
        seconds = time.perf_counter() - began
        x = torch.cat([c.x for c in chunks])
        nfe = sum(c.nfe * len(c.x) for c in chunks) / n
        name = f"{spec} on {rule}, NFE {nfe:g}"
        pictures.append((name, draw.samples(x, like=real, width=420, source=run.plan.data)))
        rows.append((spec, rule, nfe, seconds, float(metric(x, real))))
        if k == 0:
            states = [(t, run.plan.chain.inverse(y)) for t, y in chunks[0].states]
            frames = draw.trajectory_frames(states, n=24)
    other = _examples(run, n, skip=n)
    floor = float(metric(other, real)) if len(other) == len(real) else float("nan")
    rows.append(("data against data", "", 0, 0.0, floor))
    return [
        Pictures(f"{prefix}Samples", pictures, f"{n} samples of each sampler beside as many examples."),
        Table(
            f"{prefix}Samplers",
            ("sampler", "grid", "NFE", "seconds", "sliced Wasserstein distance to the data"),
            rows,
            "The last row compares two disjoint sets of examples: what no sampler can be expected to beat.",
        ),
        Frames(f"{prefix}The way down", frames, "Move the slider to go from noise to data."),
    ]


def _share(on_step: Callable[[float], None] | None, total: int, part: int, parts: int) -> Callable[[int], None]:
    """Turns counts of one part of the work into the share of the whole."""
    done = 0

    def tell(count: int) -> None:
        nonlocal done
        done += count
        if on_step is not None:
            on_step((part + min(1.0, done / total)) / parts)

    return tell


def _examples(run: Run, n: int, skip: int = 0) -> torch.Tensor:
    examples = run.plan.data.open("train")
    count = max(0, min(n, len(examples) - skip))
    return examples.fetch(range(skip, skip + count)).x if count else torch.empty(0, *run.spec.event_shape)
