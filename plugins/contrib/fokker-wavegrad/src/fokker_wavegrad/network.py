"""WaveGrad's network."""

from collections.abc import Mapping
from math import prod
from typing import Annotated, Any

from annotated_types import Ge, Gt, Len, MultipleOf
from fokker import ConfigError, DataSpec, Network, component
from fokker.network import Published
from torch import Tensor, nn

from fokker_wavegrad.blocks import Down, FiLM, Up
from fokker_wavegrad.original import opened

__all__ = ["WaveGrad"]

_NEAR, _FAR = (1, 2, 1, 2), (1, 2, 4, 8)
"""Dilations of the upsampling blocks: of the first ones, whose input is still coarse, and of the others."""

Count = Annotated[int, Gt(0)]
Even = Annotated[int, Gt(0), MultipleOf(2)]


@component
class WaveGrad(Network):
    """The network of WaveGrad (Chen et al., 2020, figure 2), for waveforms (1, L) that are told a mel spectrogram.

        eps = U(mel; FiLM(D(x), level))

    The spectrogram `mel`, (mels, L / hop), is brought to the length of the waveform by upsampling blocks, each of which
    is shifted and scaled by what downsampling blocks find in the noisy waveform at its rate. `hop` is the product of
    the factors. A trained network takes waveforms of any length. The noise level is what the label says, the scale
    `alpha` of the data in the paper; it enters the sinusoids as it is in the published weights (lmnt-com), and 5000
    times larger in the paper's text.

    Args:
        factors: Of the upsampling blocks, first to last.
        up: Their channels.
        down: Channels of the waveform's features at each rate, the finest first, even.
        first: Channels of the spectrogram's first features.
        near: How many of the upsampling blocks, from the first on, have the dilations 1, 2, 1, 2; the others have
            1, 2, 4, 8.
        level_scale: Factor of the noise level in its encoding.
    """

    factors: Annotated[tuple[Count, ...], Len(1)] = (5, 5, 3, 2, 2)
    up: Annotated[tuple[Count, ...], Len(1)] = (512, 512, 256, 128, 128)
    down: Annotated[tuple[Even, ...], Len(1)] = (32, 128, 128, 256, 512)
    first: Count = 768
    near: Annotated[int, Ge(0)] = 2
    level_scale: Annotated[float, Gt(0)] = 1.0

    def __post_init__(self) -> None:
        if not len(self.factors) == len(self.up) == len(self.down):
            raise ConfigError(
                f"WaveGrad has a factor, channels up and channels down for each block; got {len(self.factors)} factors,"
                f" {len(self.up)} up and {len(self.down)} down."
            )
        if self.near > len(self.up):
            raise ConfigError(f"WaveGrad.near must be at most {len(self.up)}, the number of blocks; got {self.near}.")
        odd = [c for c in self.down if c % 2]
        if odd:
            raise ConfigError(f"WaveGrad.down must be even, for sines and cosines of the noise level; got {odd[0]}.")

    @property
    def hop(self) -> int:
        """Values of the waveform for each frame of the spectrogram."""
        return prod(self.factors)

    @property
    def examples(self) -> tuple[DataSpec, ...]:
        """Two frames with eight bands."""
        return (DataSpec((1, 2 * self.hop), condition={"mel": (8, 2)}),)

    @classmethod
    def published(cls, content: Any) -> Published | None:
        """The weights of lmnt-com's implementation.

        They do not tell the factors: with five blocks these are the published ones.
        """
        found = opened(content)
        if found is None:
            return None
        return Published(
            weights=found.weights,
            facts={
                "network": {"name": "fokker-wavegrad/wavegrad", **found.sizes},
                "label": "alpha",
                "parameterization": "eps",
                "train": {"ema": 0.0},
            },
            defaults={
                "perturbation": "betas:start=1e-6,end=0.01",
                "objective": "fokker-wavegrad/wavegrad",
                "sample": {"sampler": "ddpm", "grid": "knots", "steps": 999},
            },
            condition=lambda shape: {"mel": (found.mels, shape[-1] // 300)},
        )

    def build(self, spec: DataSpec) -> nn.Module:
        """Build the backbone.

        Raises:
            ConfigError: If the data are no waveforms of whole frames with their mel spectrogram, or carry other
                conditions.
        """
        shape, hop = spec.event_shape, self.hop
        if len(shape) != 2 or shape[0] != 1 or shape[1] % hop:
            raise ConfigError(
                f"WaveGrad takes waveforms (1, L), L a multiple of {hop}, the product of its factors; these events have"
                f" the shape {shape}."
            )
        if spec.classes is not None or set(spec.condition) != {"mel"}:
            told = ", ".join([*(["class labels"] if spec.classes is not None else []), *sorted(spec.condition)])
            raise ConfigError(
                f"WaveGrad is told the mel spectrogram of a waveform and nothing else; this data has {told or 'none'}. "
                "Use data such as 'wav' with mels = 80, and train.labels = false."
            )
        mel = spec.condition["mel"]
        if len(mel) != 2 or mel[1] * hop != shape[1]:
            raise ConfigError(
                f"WaveGrad makes {hop} values of each frame, the product of its factors; this data has {mel[-1]} frames"
                f" for {shape[1]} values. Choose factors whose product is the data's hop."
            )
        return _Backbone(self, mel[0])


class _Backbone(nn.Module):
    def __init__(self, config: WaveGrad, mels: int) -> None:
        super().__init__()
        self._hop, self._level_scale = config.hop, config.level_scale
        up, down = config.up, config.down
        self.downsample = nn.ModuleList([nn.Conv1d(1, down[0], 5, padding=2)])
        for inputs, outputs, factor in zip(down, down[1:], reversed(config.factors), strict=False):
            self.downsample.append(Down(inputs, outputs, factor))
        self.film = nn.ModuleList(FiLM(a, b) for a, b in zip(down, reversed(up), strict=True))
        self.upsample = nn.ModuleList(
            Up(inputs, outputs, factor, _NEAR if k < config.near else _FAR)
            for k, (inputs, outputs, factor) in enumerate(zip((config.first, *up), up, config.factors, strict=False))
        )
        self.first_conv = nn.Conv1d(mels, config.first, 3, padding=1)
        self.last_conv = nn.Conv1d(up[-1], 1, 3, padding=1)

    def forward(self, x: Tensor, label: Tensor, cond: Mapping[str, Tensor] | None = None) -> Tensor:
        """The noise, (B, 1, L), from noisy waveforms (B, 1, L), levels (B,) and `mel`, (B, mels, L / hop)."""
        if cond is None or "mel" not in cond:
            raise ConfigError(
                "WaveGrad is told the mel spectrogram of every waveform, and got none: 'fokker vocode' and 'fokker "
                "sample' know one for each."
            )
        mel, level = cond["mel"].to(x.dtype), self._level_scale * label.to(x.dtype)
        if mel.shape[-1] * self._hop != x.shape[-1]:
            raise ConfigError(
                f"WaveGrad makes {self._hop} values of each frame; got {mel.shape[-1]} frames for {x.shape[-1]} values."
            )
        modulations, h = [], x
        for film, layer in zip(self.film, self.downsample, strict=True):
            h = layer(h)
            modulations.append(film(h, level))
        h = self.first_conv(mel)
        for layer, (shift, scale) in zip(self.upsample, reversed(modulations), strict=True):
            h = layer(h, shift, scale)
        out: Tensor = self.last_conv(h)
        return out
