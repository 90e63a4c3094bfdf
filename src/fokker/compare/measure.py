"""Measuring: samples of every cell, what they cost, and how far they are from what they should be."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from fokker.compare.cell import Cell
from fokker.compare.solution import EXACT, LEARNED, Ends, distance, solve
from fokker.compare.target import Floor, Target, floor
from fokker.data import Chain, DataSource
from fokker.errors import ConfigError, FokkerError
from fokker.guidance import Guidance, Subject
from fokker.metric import Metric
from fokker.model import ScoreModel
from fokker.network import DataSpec
from fokker.perturbation import Perturbation
from fokker.prediction import Prediction
from fokker.sampler import Claims, Final, Sampler
from fokker.sampling import begin, generate
from fokker.start import Start, prior

__all__ = ["CONVERGENCE", "Comparison", "Row", "Timed", "follows_the_flow"]

CONVERGENCE = "convergence"
"""The name of the mean distance to the end of the probability flow."""

Cond = Mapping[str, Tensor] | None


@dataclass(frozen=True)
class Row:
    """What came of a cell and a seed.

    Args:
        sampler: The cell's sampler.
        grid: Its grid.
        budget: Its budget, or None.
        seed: The seed; None where nothing was drawn.
        n: Number of samples.
        nfe: Evaluations of the network per sample.
        seconds: For all samples.
        network: Share of them that the network took.
        metrics: Values by name.
        missing: Why there is no value, by name.
        floor: What the metrics say of real data, in the mean.
        limit: What one set of real data in twenty exceeds.
        tie: Whether a value is within that limit.
        baseline: Whether it is the run's own way down.
        refused: Why there are no samples, or None.
    """

    sampler: str
    grid: str
    budget: int | None
    seed: int | None = None
    n: int = 0
    nfe: float | None = None
    seconds: float | None = None
    network: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    floor: Mapping[str, float] = field(default_factory=dict)
    limit: Mapping[str, float] = field(default_factory=dict)
    tie: Mapping[str, bool] = field(default_factory=dict)
    baseline: bool = False
    refused: str | None = None

    def table(self) -> dict[str, Any]:
        """The row for JSON."""
        return {
            "sampler": self.sampler,
            "grid": self.grid,
            "budget": self.budget,
            "nfe": self.nfe,
            "n": self.n,
            "seconds": self.seconds,
            "seconds_per_sample": None if self.seconds is None else self.seconds / self.n,
            "network_share": self.network,
            "seed": self.seed,
            "metrics": dict(self.metrics),
            "missing": dict(self.missing),
            "floor": dict(self.floor),
            "floor_p95": dict(self.limit),
            "tie": dict(self.tie),
            "baseline": self.baseline,
            "refused": self.refused,
        }


class Timed(ScoreModel):
    """A model that measures the time that its evaluations take.

    Args:
        model: The model.
        device: Where it is.
    """

    def __init__(self, model: ScoreModel, device: torch.device) -> None:
        self.model = model
        self.seconds = 0.0
        self._device = device

    @property
    def perturbation(self) -> Perturbation:
        """That of the model."""
        return self.model.perturbation

    def __call__(self, x: Tensor, t: Tensor | float, cond: Cond = None) -> Prediction:
        """Pass on, and look at the clock; the device has nothing left to do then."""
        began = _now(self._device)
        found = self.model(x, t, cond)
        self.seconds += _now(self._device) - began
        return found


def follows_the_flow(claims: Claims) -> str | None:
    """Why a sampler's samples are not meant to be the ends of their latents' probability flow; None if they are."""
    if claims.stochastic:
        return "it draws noise on the way, and leads to other samples than the probability flow"
    if claims.order is None and claims.accuracy is None:
        return "it does not claim to follow the probability flow"
    return None


class Comparison:
    """Samples of one model by many ways down, and what they are measured against.

    The ends of the probability flow and the floors are computed when they are first needed, once for all cells.

    Args:
        model: The model.
        spec: Shape and classes of the data.
        chain: The data's transforms.
        exact: Whether the model is an exact law, which is then sampled in float64.
        metrics: Metrics by name.
        target: What they compare with; it is needed wherever there are metrics.
        latents: Number of samples, the first ones of each seed, whose convergence is measured; 0 for none.
        n: Number of samples.
        batch_size: Samples that go down together.
        init: Where they begin.
        final: How they end.
        label: Class of all samples.
        guidance: What steers them.
        data: Where a guidance finds examples.
        device: Where the model is.

    Raises:
        ConfigError: If there are metrics without a target.
    """

    def __init__(
        self,
        model: ScoreModel,
        spec: DataSpec,
        chain: Chain,
        *,
        exact: bool = False,
        metrics: Mapping[str, Metric] | None = None,
        target: Target | None = None,
        latents: int = 100,
        n: int = 500,
        batch_size: int = 4096,
        init: Start = prior,
        final: Final = "tweedie",
        label: int | None = None,
        guidance: Sequence[Guidance] = (),
        data: DataSource | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.model, self.spec, self.chain, self.n = model, spec, chain, n
        self.metrics = dict(metrics or {})
        self.latents = min(latents, n)
        if self.metrics and target is None:
            raise ConfigError("Metrics compare samples with a target; give one, or no metrics.")
        self._target, self._batch = target, batch_size
        self._init, self._final, self._label, self._guidance = init, final, label, tuple(guidance)
        self._data, self._device = data, torch.device(device)
        self._dtype = torch.float64 if exact and self._device.type != "mps" else torch.float32
        self._ends: dict[tuple[float, int], Ends | str] = {}
        self._floors: dict[str, Floor] | None = None
        self._unmeasured: dict[str, str] = {}

    @property
    def floors(self) -> Mapping[str, Floor]:
        """What the metrics say of real data, those that can be had of so many examples."""
        if self._floors is None:
            self._floors = {}
            for name, metric in self.metrics.items():
                if self._target is None:
                    break
                try:
                    self._floors[name] = floor(metric, self._target)
                except Exception as error:
                    self._unmeasured[name] = _reason(error)
        return self._floors

    @property
    def names(self) -> list[str]:
        """Names of all that is measured."""
        return [*self.metrics, *([CONVERGENCE] if self.latents else [])]

    def likeness(self, name: str) -> bool:
        """Whether more of it is better."""
        return name in self.metrics and self.metrics[name].claims.larger_is_closer

    def rows(self, cell: Cell, seeds: Sequence[int], on_step: Callable[[float], None] | None = None) -> Iterator[Row]:
        """One row for each seed, or one that says why there is none.

        Args:
            cell: The cell.
            seeds: The seeds.
            on_step: Called with the share of a seed's steps that is done.
        """
        if cell.refused is not None or cell.times is None:
            yield self._refused(cell, cell.refused or "it has no times")
            return
        try:
            self._sampled(cell, seeds[0], 1, None)  # what is computed once is computed before the clock starts
        except Exception as error:
            yield self._refused(cell, _reason(error))
            return
        for seed in seeds:
            try:
                yield self._row(cell, seed, on_step)
            except Exception as error:
                yield self._refused(cell, _reason(error), seed)

    def _refused(self, cell: Cell, reason: str, seed: int | None = None) -> Row:
        return Row(cell.sampler, cell.grid, cell.budget, seed, baseline=cell.baseline, refused=reason)

    def _row(self, cell: Cell, seed: int, on_step: Callable[[float], None] | None) -> Row:
        x, y, nfe, seconds, share = self._sampled(cell, seed, self.n, on_step)
        broken = int((~x.flatten(1).isfinite().all(1)).sum())
        values: dict[str, float] = {}
        missing: dict[str, str] = {}
        floors = dict(self.floors)
        assert cell.times is not None
        for name in self.names:
            if broken:
                missing[name] = f"{broken} of {self.n} samples are not finite"
            elif name in self._unmeasured:  # real data cannot be measured either
                missing[name] = self._unmeasured[name]
            elif name != CONVERGENCE:
                assert self._target is not None
                try:
                    values[name] = self.metrics[name](x, self._target.reference)
                except Exception as error:
                    missing[name] = _reason(error)
            elif (reason := follows_the_flow(cell.way.claims)) is not None:
                missing[name] = reason
            else:
                found = self._ends_of(cell.way, cell.times, seed)
                if isinstance(found, Ends):
                    values[name] = distance(y[: self.latents], found.x)
                    floors[name] = Floor(found.error, found.error)
                else:
                    missing[name] = found
        return Row(
            cell.sampler,
            cell.grid,
            cell.budget,
            seed,
            self.n,
            nfe,
            seconds,
            share,
            values,
            missing,
            {name: f.mean for name, f in floors.items()},
            {name: f.limit for name, f in floors.items()},
            {name: self.within(name, value, floors[name].limit) for name, value in values.items()},
            cell.baseline,
        )

    def within(self, name: str, value: float, limit: float) -> bool:
        """Whether a value is one that real data would have."""
        return value >= limit if self.likeness(name) else value <= limit

    def _sampled(
        self, cell: Cell, seed: int, n: int, on_step: Callable[[float], None] | None
    ) -> tuple[Tensor, Tensor, float, float, float]:
        """Samples in the data's units, the first ones in the model's; NFE, seconds, the network's share of them."""
        assert cell.times is not None
        timed = Timed(self.model, self._device)
        total = n * (len(cell.times) - 1 + (self._final == "tweedie"))
        done = 0

        def step(count: int) -> None:
            nonlocal done
            done += count
            if on_step is not None:
                on_step(done / total)

        own, states, calls = [], [], 0.0
        began = _now(self._device)
        for chunk in generate(
            timed,
            self.chain,
            self.spec,
            cell.way,
            cell.times,
            n=n,
            batch_size=self._batch,
            seed=seed,
            init=self._init,
            final=self._final,
            label=self._label,
            guidance=self._guidance,
            data=self._data,
            device=self._device,
            dtype=self._dtype,
            on_step=step,
        ):
            own.append(chunk.x)
            if chunk.first < self.latents:
                states.append(chunk.y.cpu())
            calls += chunk.nfe * len(chunk.x)
        seconds = _now(self._device) - began
        y = torch.cat(states)[: self.latents] if states else torch.empty(0)
        nfe = calls / n if calls % n else calls // n  # an adaptive sampler's differ from batch to batch
        return torch.cat(own), y, nfe, seconds, timed.seconds / seconds

    def _ends_of(self, way: Sampler, times: Tensor, seed: int) -> Ends | str:
        """The ends of the latents' probability flow, or why they cannot be had."""
        key = float(way.levels(times)[0]), seed
        if key not in self._ends:
            try:
                begun = begin(
                    self.model,
                    Subject(self.spec, self.chain, self._data),
                    way,
                    times,
                    range(self.latents),
                    seed=seed,
                    init=self._init,
                    label=self._label,
                    guidance=self._guidance,
                    device=self._device,
                    dtype=self._dtype,
                )
                self._ends[key] = solve(begun, tolerance=EXACT if self._dtype is torch.float64 else LEARNED)
            except FokkerError as error:
                self._ends[key] = str(error)
        return self._ends[key]


def _reason(error: Exception) -> str:
    """Why there is nothing; a mistake of a plugin is named, and costs its own cell only."""
    return str(error) if isinstance(error, FokkerError) else f"it failed: {type(error).__name__}: {error}"


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
