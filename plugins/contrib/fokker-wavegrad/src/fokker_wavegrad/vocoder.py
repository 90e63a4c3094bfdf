"""Waveforms of any length from mel spectrograms, by a trained run."""

from dataclasses import dataclass

import torch
from fokker import ConfigError, Sampler, ScoreModel
from fokker.noise import PerSample
from fokker.run.folder import Run
from fokker.sampler import Final, trajectory
from fokker.start import prior
from torch import Tensor

from fokker_wavegrad.crops import Audio
from fokker_wavegrad.mel import LogMel

__all__ = ["Vocoder", "features_of", "mel_of"]


def features_of(run: Run) -> LogMel:
    """What a run's model is told of a waveform.

    Raises:
        ConfigError: If it is no vocoder.
    """
    data = run.plan.data
    found = data.features if isinstance(data, Audio) else None
    if found is None or set(run.spec.condition) != {"mel"}:
        raise ConfigError(
            f"{run.path} is no vocoder: it was not trained on audio with mel spectrograms, as the recipe 'wavegrad' is."
        )
    return found


def mel_of(x: Tensor, features: LogMel) -> tuple[Tensor, Tensor]:
    """A waveform in whole frames, and its spectrogram, with silence around it.

    Args:
        x: Values, (n,).
        features: The features.

    Returns:
        The waveform with zeros up to the next whole frame, (L,), and the spectrogram, (mels, L / hop).
    """
    frames = max(1, -(-len(x) // features.hop))
    whole = torch.nn.functional.pad(x, (0, frames * features.hop - len(x)))
    wide = torch.nn.functional.pad(whole, (features.margin, features.margin))
    return whole, features(wide[None])[0]


@dataclass(frozen=True, eq=False)
class Vocoder:
    """A model and its way down.

    Args:
        model: The model.
        run: The run that it comes from.
        sampler: The way down.
        times: The grid, float64 on the host.
        final: How it ends.
        device: Where the model is.
    """

    model: ScoreModel
    run: Run
    sampler: Sampler
    times: Tensor
    final: Final = "tweedie"
    device: torch.device | str = "cpu"

    def __call__(self, mel: Tensor, index: range, *, seed: int = 0) -> Tensor:
        """Waveforms of spectrograms.

        Args:
            mel: (B, mels, frames).
            index: Their absolute indices, which with the seed decide all random numbers, B of them.
            seed: The seed.

        Returns:
            The waveforms in the data's own units, (B, hop frames), float32 on the host.
        """
        features = features_of(self.run)
        shape = (1, features.hop * mel.shape[-1])
        noise = PerSample(seed, index, shape, device=self.device)
        like = torch.empty((len(mel), *shape), device=self.device)
        x = prior(self.model.perturbation, float(self.times[0]), noise, like)
        cond = {"mel": mel.to(self.device)}
        for state in trajectory(self.model, self.sampler, self.times, noise, x, cond=cond, final=self.final):
            x = state.x
        return self.run.plan.chain.inverse(x.float().cpu())[:, 0]
