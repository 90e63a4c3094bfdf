"""Learning rates as a function of the step alone, so that a resumed run needs no scheduler's state."""

from math import cos, pi

from fokker.training.settings import TrainSettings

__all__ = ["learning_rate"]

_RISE = 0.3
_START, _END = 1 / 25, 1 / 250_000
"""One cycle starts at lr / 25 and ends at lr / 250,000, rising for 30 % of the steps, the constants of torch."""


def learning_rate(settings: TrainSettings, step: int) -> float:
    """The learning rate of a step, counted from 0.

    Args:
        settings: The training's settings.
        step: In [0, settings.steps).
    """
    if settings.decay == "one-cycle":
        return settings.lr * _one_cycle(step, settings.steps)
    warmup = settings.warmup or 0
    rise = min(1.0, (step + 1) / (warmup + 1))
    if settings.decay == "cosine":
        done = max(0, step - warmup) / max(1, settings.steps - warmup)
        return settings.lr * rise * (1 + cos(pi * done)) / 2
    return settings.lr * rise


def _one_cycle(step: int, steps: int) -> float:
    top = max(1e-9, _RISE * steps - 1)
    if step <= top:
        return _anneal(_START, 1.0, step / top)
    return _anneal(1.0, _END, (step - top) / max(1e-9, steps - 1 - top))


def _anneal(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + cos(pi * share))
