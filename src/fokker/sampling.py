"""Sampling in chunks: any number of samples in constant memory, each the same whatever the chunks are."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fokker.data import Chain, DataSource
from fokker.errors import ConfigError
from fokker.guidance import Guidance, Subject
from fokker.model import Counted, ScoreModel
from fokker.network import DataSpec
from fokker.noise import Noise
from fokker.noise_source import Independent, NoiseSource
from fokker.sampler import Final, Sampler, State, trajectory
from fokker.start import Start, prior

__all__ = ["Begun", "Chunk", "begin", "classes_of", "generate"]

_INDEPENDENT = Independent()


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some neighbouring samples.

    Args:
        first: Absolute index of the first one.
        x: Samples in the data's own units, (B, *D), float32, on the CPU.
        y: The same in the model's units, (B, *D), in the precision of the states, where they are.
        labels: Their class labels, int64, (B,), or None.
        nfe: Evaluations of the network per sample; their mean, where samples have steps of their own.
        states: Times and states of the trajectories that were asked for, in the model's units, on the CPU.
    """

    first: int
    x: Tensor
    y: Tensor
    labels: Tensor | None
    nfe: float
    states: tuple[tuple[float, Tensor], ...] = ()


def generate(
    model: ScoreModel,
    chain: Chain,
    spec: DataSpec,
    sampler: Sampler,
    grid: Tensor,
    *,
    n: int,
    first: int = 0,
    batch_size: int = 256,
    seed: int = 0,
    init: Start = prior,
    final: Final = "tweedie",
    label: int | None = None,
    guidance: Sequence[Guidance] = (),
    data: DataSource | None = None,
    keep_states: int = 0,
    keep_samples: int = 16,
    source: NoiseSource = _INDEPENDENT,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    on_step: Callable[[int], None] | None = None,
) -> Iterator[Chunk]:
    """Draw samples `first` to `first + n - 1`.

    Args:
        model: The model.
        chain: The data's transforms, whose inverse is applied.
        spec: Shape and classes of the data.
        sampler: The way down.
        grid: Strictly decreasing times, float64 on the host.
        n: Number of samples.
        first: Absolute index of the first sample.
        batch_size: Samples that go down together.
        seed: Decides, with a sample's index, all its random numbers.
        init: Where trajectories begin; see `fokker.start.start_from`.
        final: See `fokker.sampler.trajectory`.
        label: Class of all samples, the number of classes for no label; where the model or a guidance has classes,
            sample `i` has class `i mod classes` unless given.
        guidance: What steers the samples, the innermost first.
        data: Where a guidance finds examples to measure, and whose conditions samples are told in turn (see
            `fokker.guidance.Subject.told`); may be left out if nothing asks for them.
        keep_states: States of the trajectory to keep at most, evenly spread over it, the last among them; 0 keeps none.
        keep_samples: Samples of which states are kept, from the first chunk alone.
        source: Where random numbers come from.
        device: Of the states.
        dtype: Of the states.
        on_step: Called after every step with the number of samples that went one step further.
    """
    subject = Subject(spec, chain, data)
    for start in range(first, first + n, batch_size):
        count = min(batch_size, first + n - start)
        begun = begin(
            model,
            subject,
            sampler,
            grid,
            range(start, start + count),
            seed=seed,
            init=init,
            label=label,
            guidance=guidance,
            source=source,
            device=device,
            dtype=dtype,
        )
        keep = keep_states if start == first else 0
        wanted = _spread(len(grid) - 1 + (final == "tweedie"), keep)
        states: list[tuple[float, Tensor]] = []
        state, k = State(begun.t, begun.x), 0
        way = trajectory(begun.model, sampler, grid, begun.noise, begun.x, cond=begun.cond, final=final)
        for k, state in enumerate(way):
            if k in wanted:
                states.append(_kept(state, keep_samples))
            if on_step is not None and k:
                on_step(count)
        if keep and k not in wanted:
            states.append(_kept(state, keep_samples))
        own = chain.inverse(state.x.float().cpu())
        yield Chunk(start, own, state.x, begun.labels, begun.counted.rows / count, tuple(states))


@dataclass(frozen=True, eq=False)
class Begun:
    """Samples that are about to go down.

    Args:
        t: The time that they are at.
        x: Their states, (B, *D).
        model: The model as it is guided.
        counted: The model inside, which counts its evaluations.
        noise: Source of their randomness, from which the states were drawn.
        cond: Conditions of the model.
        labels: Their class labels, int64, on the CPU, (B,), or None.
    """

    t: float
    x: Tensor
    model: ScoreModel
    counted: Counted
    noise: Noise
    cond: dict[str, Tensor] | None
    labels: Tensor | None


def begin(
    model: ScoreModel,
    subject: Subject,
    sampler: Sampler,
    grid: Tensor,
    index: range,
    *,
    seed: int = 0,
    init: Start = prior,
    label: int | None = None,
    guidance: Sequence[Guidance] = (),
    source: NoiseSource = _INDEPENDENT,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Begun:
    """Where samples begin: a function of the seed, the index and the first level alone, whatever the way down is.

    Args:
        model: The model.
        subject: What is sampled.
        sampler: The way down, of whose levels the first one matters.
        grid: Its grid.
        index: Absolute indices of the samples.
        seed: See `generate`, as for all that follow.
        init: Where trajectories begin.
        label: Class of all samples.
        guidance: What steers the samples.
        source: Where random numbers come from.
        device: Of the states.
        dtype: Of the states.
    """
    spec = subject.spec
    classes = classes_of(spec, guidance)
    labels = None
    if classes is not None:
        labels = torch.tensor([i % classes if label is None else label for i in index])
    cond = {} if labels is None else {"label": labels.to(device)}
    for found in (subject.told(index), *(each.conditions(subject, index) for each in guidance)):
        for name, value in found.items():
            cond[name] = value.to(device, dtype if value.is_floating_point() else value.dtype)
    separate = sampler.claims.own_steps and sampler.claims.stochastic
    noise = source.open(seed, index, spec.event_shape, device=device, separate=separate)
    counted = Counted(model)
    guided: ScoreModel = counted
    for each in guidance:
        guided = each.wrap(guided)
    t = float(sampler.levels(grid)[0])
    # the prior of a time belongs to what walks down from there; a sampler that stays at one time has the widest one
    first = 1.0 if init is prior and t != float(grid[0]) else t
    x = init(model.perturbation, first, noise, torch.empty((len(index), *spec.event_shape), dtype=dtype, device=device))
    return Begun(t, x, guided, counted, noise, cond or None, labels)


def classes_of(spec: DataSpec, guidance: Sequence[Guidance]) -> int | None:
    """Number of classes that samples have, by the model or by what steers them; None where there are none.

    Raises:
        ConfigError: If the model and a guidance, or two guidances, know different numbers of classes.
    """
    found = spec.classes
    for each in guidance:
        if each.classes is not None:
            if found not in (None, each.classes):
                raise ConfigError(
                    f"{type(each).__name__} steers towards {each.classes} classes, and what it steers has {found}; "
                    "both must be trained on the same classes."
                )
            found = each.classes
    return found


def _kept(state: State, n: int) -> tuple[float, Tensor]:
    """Time and first samples of a state; a copy, since a view would keep the whole batch in memory."""
    t = float(state.t.max()) if isinstance(state.t, Tensor) else state.t
    return t, state.x[:n].to("cpu", torch.float32, copy=True)


def _spread(last: int, k: int) -> frozenset[int]:
    """Positions from 0 on, evenly spread; with the last one, which is kept in any case, they are at most `k`."""
    k = min(k - 1, last)
    return frozenset(round(i * last / k) for i in range(k))
