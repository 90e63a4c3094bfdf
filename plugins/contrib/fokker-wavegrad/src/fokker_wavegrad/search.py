"""The search for a noise schedule of a few levels (Chen et al., 2020, section 2.3 and appendix)."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from fokker import ConfigError, Perturbation
from torch import Tensor

from fokker_wavegrad.distance import log_spectral_distance
from fokker_wavegrad.grids import LinearBetas, level_times
from fokker_wavegrad.vocoder import Vocoder, features_of

__all__ = ["CHOICES", "Found", "distance_of", "search"]

CHOICES = tuple(m * 10.0**e for e in range(-6, 0) for m in range(1, 10))
"""Betas that are tried: one digit and a power of ten from 1e-6 on, the grid of the source."""

_DRAWN = 0.5
"""Share of the tries that are drawn at random; the others change the best one."""


@dataclass(frozen=True)
class Found:
    """What a search came to.

    Args:
        betas: The best schedule.
        distance: Its mean log-spectral distance in dB.
        linear: That of linear betas.
        tried: Number of schedules that were tried.
    """

    betas: tuple[float, ...]
    distance: float
    linear: float
    tried: int


def distance_of(vocoder: Vocoder, times: Tensor, x: Tensor, mel: Tensor, seed: int) -> float:
    """Mean log-spectral distance of what is made of spectrograms from what they were made of, in dB.

    Args:
        vocoder: The model and its sampler.
        times: The grid.
        x: Waveforms, (B, L).
        mel: Their spectrograms.
        seed: Of the noise, the same for every grid.

    Returns:
        The mean; infinite where a sample is not finite.
    """
    made = replace(vocoder, times=times)(mel, range(len(mel)), seed=seed)
    if not bool(made.isfinite().all()):
        return float("inf")
    rate = features_of(vocoder.run).sample_rate
    return float(log_spectral_distance(made, x, rate).mean())


def search(
    vocoder: Vocoder,
    x: Tensor,
    mel: Tensor,
    levels: int,
    *,
    tries: int = 120,
    seed: int = 0,
    tell: Callable[[int, float], None] | None = None,
) -> Found:
    """Look for betas that bring the samples nearest to what their spectrograms were made of.

    The source tries all combinations of one-digit betas, which are too many for more than a few levels. Here rising
    betas are drawn from the same choices, uniformly over the combinations, and the best of them is then improved one
    beta after another by small and large changes, as long as there are tries left. Every try has the same noise.

    Args:
        vocoder: The model and its sampler.
        x: Waveforms to be found again, (B, L).
        mel: Their spectrograms, (B, mels, frames).
        levels: Number of betas, 2 at least.
        tries: Number of schedules that are tried.
        seed: Of the tries and of the noise.
        tell: Told the number of tries and the least distance after each.

    Raises:
        ConfigError: If the perturbation has none of the schedules.
    """
    if levels < 2:
        raise ConfigError(f"A noise schedule has two levels at least, got {levels}.")
    p = vocoder.model.perturbation
    random = np.random.Generator(np.random.PCG64(seed & 0xFFFFFFFFFFFFFFFF))
    known: dict[tuple[float, ...], float] = {}

    def measure(betas: tuple[float, ...]) -> float:
        if betas not in known:
            known[betas] = distance_of(vocoder, level_times(p, betas), x, mel, seed)
            if tell is not None:
                tell(len(known), min(known.values()))
        return known[betas]

    linear = measure(LinearBetas().betas(p, levels))
    drawn = 0
    while len(known) < max(2, round(_DRAWN * tries)) and drawn < 200 * tries:
        drawn += 1
        betas = tuple(CHOICES[i] for i in sorted(random.choice(len(CHOICES), levels, replace=False)))
        if _possible(p, betas):
            measure(betas)
    chosen = [betas for betas in known if set(betas) <= set(CHOICES)]
    if not chosen:
        raise ConfigError(f"{type(p).__name__} has none of the noise schedules that were tried with {levels} levels.")
    best = min(chosen, key=known.__getitem__)
    improved = True
    while improved and len(known) < tries:
        improved = False
        for k in random.permutation(levels):
            for step in (1, -1, 3, -3, 9, -9):
                other = _changed(best, int(k), step)
                if other is None or not _possible(p, other) or len(known) >= tries:
                    continue
                if measure(other) < known[best]:
                    best, improved = other, True
    return Found(best, known[best], linear, len(known))


def _changed(betas: tuple[float, ...], k: int, step: int) -> tuple[float, ...] | None:
    """With the k-th beta some choices farther on, if they still rise."""
    place = CHOICES.index(betas[k]) + step
    if not 0 <= place < len(CHOICES):
        return None
    other = (*betas[:k], CHOICES[place], *betas[k + 1 :])
    return other if all(a < b for a, b in pairwise(other)) else None


def _possible(p: Perturbation, betas: tuple[float, ...]) -> bool:
    try:
        level_times(p, betas)
    except ConfigError:
        return False
    return True
