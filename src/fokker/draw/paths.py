"""The way of samples down a trajectory: snapshots side by side, or one after another."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from fokker.draw.by_shape import samples
from fokker.draw.picture import Picture, row, saved

__all__ = ["trajectory_frames", "trajectory_strip"]

_SAME_SCALE = 5.0  # up to this ratio of spreads, all snapshots are drawn at one scale

States = Sequence[tuple[float, Tensor]]


def trajectory_strip(states: States, path: Path | None = None, *, n: int = 6, width: int = 300) -> Picture:
    """Snapshots of a trajectory from left to right, each under its time.

    Args:
        states: Times and states (B, *D), as a trajectory passes through them, one at least.
        path: Where to save the picture too.
        n: Snapshots, spread evenly over the states, the first and the last among them.
        width: Of one snapshot, about, in pixels.

    Returns:
        The picture.
    """
    return saved(row(trajectory_frames(states, n=n, width=width)), path)


def trajectory_frames(states: States, *, n: int = 30, width: int = 480) -> list[tuple[str, Picture]]:
    """Snapshots of a trajectory one after another, to scrub through; all are drawn at one scale where one suits them.

    Args:
        states: Times and states (B, *D), as a trajectory passes through them, one at least.
        n: Snapshots, spread evenly over the states, the first and the last among them.
        width: Of a snapshot, about, in pixels.

    Returns:
        Captions that say the time, and pictures.
    """
    last = len(states) - 1
    chosen = sorted({round(i * last / max(n - 1, 1)) for i in range(n)}) if n > 1 else [last]
    kept = [states[k] for k in chosen]
    like = _common(kept)
    return [(f"t = {t:.3f}", samples(x, like=like, width=width)) for t, x in kept]


def _common(states: States) -> Tensor | None:
    """Examples whose range suits all states, or None where each needs its own scale."""
    first, last = states[0][1], states[-1][1]
    spreads = [float(x.double().std(correction=0)) for x in (first, last)]
    if max(spreads) > _SAME_SCALE * min(spreads):
        return None
    # pictures are judged by how they end; points should never leave the picture
    return last if last.ndim > 2 else torch.cat([x for _, x in states])
