"""Pictures of sound: waveforms, and spectrograms under them."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from fokker.draw.picture import Picture, from_figure, from_image
from fokker.draw.style import DENSITY, SAMPLES, axes, figure
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

__all__ = ["decibels", "sound_picture", "sounds_beside"]

Samples: TypeAlias = NDArray[np.float32]

_DEPTH = 70.0
"""Decibels below the loudest that a spectrogram shows."""

_COLOURS = 32
"""Of a picture."""


def decibels(x: Tensor, n_fft: int, hop: int) -> Tensor:
    """Magnitudes of the frames of waveforms in decibels.

    Args:
        x: Waveforms, (B, L).
        n_fft: Length of the Hann window and of the transform.
        hop: Values from one frame to the next.

    Returns:
        20 log10 |STFT|, (B, n_fft // 2 + 1, frames); silence is -200.
    """
    window = torch.hann_window(n_fft, dtype=x.dtype)
    frames = torch.stft(x, n_fft, hop, n_fft, window, center=True, pad_mode="constant", return_complex=True)
    return 20 * frames.abs().clamp(min=1e-10).log10()


def sound_picture(columns: Sequence[tuple[str, Samples]], sample_rate: int, *, width: int = 340) -> Picture:
    """Sounds side by side: above each its waveform, below it its spectrogram, all at one scale.

    Args:
        columns: Title and waveform (L,) of each.
        sample_rate: In Hz.
        width: Of a column in pixels.

    Returns:
        The picture.
    """
    fig = figure(width * len(columns) + 80, 460)
    grid = fig.add_gridspec(2, len(columns), height_ratios=[1, 1.6])
    n_fft = 1 << (max(64, sample_rate // 32) - 1).bit_length()
    levels = [decibels(torch.from_numpy(np.ascontiguousarray(x))[None], n_fft, n_fft // 4)[0] for _, x in columns]
    top = max(float(each.max()) for each in levels)
    loud = max(0.05, max(float(np.abs(x).max(initial=0)) for _, x in columns))
    for k, ((title, x), level) in enumerate(zip(columns, levels, strict=True)):
        seconds = len(x) / sample_rate
        above = axes(fig.add_subplot(grid[0, k]), title=title)
        above.plot(np.arange(len(x)) / sample_rate, x, color=SAMPLES, linewidth=0.4)
        above.set_xlim(0, seconds)
        above.set_ylim(-1.05 * loud, 1.05 * loud)
        above.set_xticklabels([])
        scale = "" if k else f" (from white, {_DEPTH:g} dB)"
        below = axes(fig.add_subplot(grid[1, k]), x=f"seconds{scale}", y="kHz" if k == 0 else "")
        below.imshow(
            level.numpy(),
            origin="lower",
            aspect="auto",
            cmap=DENSITY,
            vmin=top - _DEPTH,
            vmax=top,
            extent=(0, seconds, 0, sample_rate / 2000),
        )
        if k:
            above.set_yticklabels([])
            below.set_yticklabels([])
    # a spectrogram's noise does not compress; in few colours it takes a third
    return from_image(from_figure(fig).image().quantize(_COLOURS, dither=Image.Dither.NONE))


def sounds_beside(x: Tensor, reference: Tensor | None, sample_rate: int, *, width: int) -> Picture:
    """Samples one after another, and the examples that they are compared with beside them.

    Args:
        x: Samples, (N, 1, L); the first six are drawn.
        reference: Examples, (M, 1, L), or None.
        sample_rate: In Hz.
        width: Of a panel in pixels.

    Returns:
        The picture.
    """
    columns = [("samples", _joined(x))]
    if reference is not None:
        columns.append(("data", _joined(reference)))
    return sound_picture(columns, sample_rate, width=max(width, 360))


def _joined(x: Tensor) -> Samples:
    joined: Samples = x[:6].detach().cpu().float()[:, 0].reshape(-1).numpy()
    return joined
