"""The loss at each noise level, on examples that were not trained on.

    loss(t) = E [ loss of the objective at time t ],    excess(t) = loss(t) - loss of the exact law at t

The mean over a training's steps hides which level it comes from, and how much of it is noise that nobody can learn: the
loss of a perfect model is not zero. Where the law of the data is known, the objective is asked of its exact score too,
on the same examples with the same noise, so that most of the noise goes out of the difference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, isfinite, nan, sqrt

import torch
from torch import Tensor

from fokker.errors import ConfigError
from fokker.model import ScoreModel
from fokker.noise import PerSample
from fokker.objective import Objective
from fokker.perturbation import Perturbation

__all__ = ["LevelLoss", "losses_at", "picked_times", "spread_levels"]

_STREAM = 1 << 43
"""Separates the noise of this from other uses of a seed."""


@dataclass(frozen=True)
class LevelLoss:
    """The loss at one level.

    Args:
        t: Its time.
        log_snr: 2 log(alpha / sigma).
        loss: Mean over the examples.
        stderr: Its standard error; NaN for one example.
        optimum: Mean of the exact law's losses, None where it is not known.
        excess: Mean of the differences of the two, None likewise.
        excess_stderr: Its standard error.
    """

    t: float
    log_snr: float
    loss: float
    stderr: float
    optimum: float | None = None
    excess: float | None = None
    excess_stderr: float | None = None

    @property
    def ratio(self) -> float:
        """sigma / alpha."""
        return exp(-self.log_snr / 2)


def spread_levels(objective: Objective, model: ScoreModel, n: int) -> list[float]:
    """Times that the objective trains at, evenly spread over what it spreads them over, the least noise first.

    Args:
        objective: The objective.
        model: The model, which carries its perturbation.
        n: Number of times; fewer where the objective knows fewer levels.

    Raises:
        ConfigError: If the objective has no times on this perturbation.
    """
    u = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return sorted(set(objective.times(model.perturbation, u).tolist()))


def picked_times(perturbation: Perturbation, n: int) -> list[float]:
    """Times that tell of all noise levels, the most noise first.

    Levels of a table, the first and the last among them; one time where the noise is a formality; otherwise the middles
    of equal parts of the log-SNR, or of t where the log-SNR is infinite at an end.

    Args:
        perturbation: The perturbation.
        n: Number of times; fewer where there are fewer levels.
    """
    if perturbation.vanishing:
        return [0.0]
    if perturbation.knots is not None:
        last = len(perturbation.knots) - 1
        chosen = sorted({round(k * last / max(n - 1, 1)) for k in range(n)}, reverse=True)
        return [float(perturbation.knots[k]) for k in chosen]
    share = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    ends = torch.tensor([1.0, perturbation.t_min], dtype=torch.float64)
    low, high = perturbation.log_snr(ends).tolist()
    if not isfinite(high - low):
        return [float(t) for t in 1 - (1 - perturbation.t_min) * share]
    return [float(t) for t in perturbation.time(low + (high - low) * share).clamp(perturbation.t_min, 1.0)]


def losses_at(
    objective: Objective,
    model: ScoreModel,
    x0: Tensor,
    times: Sequence[float],
    *,
    seed: int = 0,
    law: ScoreModel | None = None,
    cond: Mapping[str, Tensor] | None = None,
    batch_size: int = 4096,
) -> list[LevelLoss]:
    """The loss at each of some times, all on the same examples.

    Args:
        objective: What is evaluated.
        model: The model.
        x0: Examples in the model's units, (N, *D), where the model is.
        times: In [0, 1].
        seed: With an example's index, decides its noise, which is the same at every time and for the law.
        law: A model with the exact score of the data.
        cond: Conditions of the examples, batch first.
        batch_size: Examples at a time.

    Returns:
        A row for each time, in their order.

    Raises:
        ConfigError: If there is no example.
    """
    if not len(x0):
        raise ConfigError("A loss takes one example at least, and there is none.")
    return [_level(objective, model, x0, t, seed, law, cond, batch_size) for t in times]


def _level(
    objective: Objective,
    model: ScoreModel,
    x0: Tensor,
    t: float,
    seed: int,
    law: ScoreModel | None,
    cond: Mapping[str, Tensor] | None,
    batch_size: int,
) -> LevelLoss:
    found: list[Tensor] = []
    best: list[Tensor] = []
    for start in range(0, len(x0), batch_size):
        x = x0[start : start + batch_size]
        part = None if cond is None else {name: value[start : start + batch_size] for name, value in cond.items()}
        at = torch.full((len(x),), t, dtype=torch.float64)
        for each, losses, given in ((model, found, part), (law, best, None)):
            if each is not None:
                noise = PerSample(
                    seed, range(start, start + len(x)), tuple(x.shape[1:]), stream=_STREAM, device=x.device
                )
                # objectives that differentiate the model's answers need gradients on, in validation too
                with torch.set_grad_enabled(objective.differentiates):
                    losses.append(objective.loss(each, x, at, noise, given).detach().double().cpu())
    loss = torch.cat(found)
    snr = float(model.perturbation.log_snr(torch.tensor(t, dtype=torch.float64)))
    if law is None:
        return LevelLoss(t, snr, *_mean(loss))
    exact = torch.cat(best)
    return LevelLoss(t, snr, *_mean(loss), float(exact.mean()), *_mean(loss - exact))


def _mean(x: Tensor) -> tuple[float, float]:
    """Mean and standard error."""
    return float(x.mean()), float(x.std()) / sqrt(len(x)) if len(x) > 1 else nan
