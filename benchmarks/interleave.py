"""Timing of several contenders in turn, so that whatever else the machine does meets all of them alike."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

__all__ = ["Timing", "interleaved"]


@dataclass(frozen=True)
class Timing:
    """Seconds that a contender took.

    Args:
        median: Of all rounds.
        least: Of the best round, which nothing else on the machine disturbed, if any.
    """

    median: float
    least: float


def interleaved(contenders: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Timing]:
    """Run every contender once per round, on one thread, after a round that does not count.

    Args:
        contenders: What is timed, by name. One that returns a float tells its own seconds, without its preparations.
        rounds: Number of rounds.
    """
    torch.set_num_threads(1)
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for k in range(rounds + 1):
        for name, run in contenders.items():
            began = time.perf_counter()
            told = run()
            spent = told if isinstance(told, float) else time.perf_counter() - began
            if k:
                seconds[name].append(spent)
    return {name: Timing(statistics.median(each), min(each)) for name, each in seconds.items()}
