"""Log-spectral distance: how far two sounds are apart, phases left out."""

import torch
from fokker import ConfigError
from torch import Tensor

from fokker_wavegrad.pictures import decibels

__all__ = ["DEPTH", "log_spectral_distance", "window_of"]

DEPTH = 60.0
"""Decibels below the loudest value of the reference under which everything counts as equally silent."""


def window_of(sample_rate: int) -> int:
    """Length of the window at a sample rate: the power of two next to 50 ms."""
    return int(1 << (sample_rate // 20 - 1).bit_length())


def log_spectral_distance(x: Tensor, reference: Tensor, sample_rate: int) -> Tensor:
    """Log-spectral distance of waveforms, in dB (Gray & Markel, 1976, with a floor).

        LSD = mean over frames of sqrt(mean over bins of (20 log10 |X| - 20 log10 |R|)^2)

    Of windows of about 50 ms, a quarter of it apart. Magnitudes more than 60 dB below the largest of the reference
    count as 60 dB below, in both.

    Args:
        x: Waveforms, (B, L).
        reference: What they should sound like, (B, L).
        sample_rate: In Hz.

    Returns:
        The distances, float64, (B,).

    Raises:
        ConfigError: If the shapes differ.
    """
    if x.shape != reference.shape:
        raise ConfigError(f"Waveforms of shapes {tuple(x.shape)} and {tuple(reference.shape)} cannot be compared.")
    n_fft = window_of(sample_rate)
    a, b = (decibels(w.double(), n_fft, n_fft // 4) for w in (x, reference))
    floor = b.amax(dim=(1, 2), keepdim=True) - DEPTH
    difference = torch.maximum(a, floor) - torch.maximum(b, floor)
    found: Tensor = difference.square().mean(dim=1).sqrt().mean(dim=1)
    return found
