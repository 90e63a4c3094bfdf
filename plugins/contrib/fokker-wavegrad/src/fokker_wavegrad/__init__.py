"""WaveGrad for fokker: waveforms from mel spectrograms (Chen et al., 2020), audio in and out."""

from typing import TYPE_CHECKING

from fokker import hookimpl

if TYPE_CHECKING:
    import click
    from fokker.plugins.registry import Registry

__all__ = ["fokker_commands", "fokker_register"]


@hookimpl
def fokker_register(registry: "Registry") -> None:
    """Register what this package provides; nothing is imported until it is used."""
    registry.network(
        "wavegrad",
        "fokker_wavegrad.network:WaveGrad",
        summary="WaveGrad's network: noisy waveform and mel spectrogram in, noise out (Chen et al., 2020).",
    )
    registry.objective(
        "wavegrad",
        "fokker_wavegrad.objective:ContinuousLevel",
        summary="L1 error of eps at noise levels drawn between those of a table (Chen et al., 2020, algorithm 1).",
    )
    registry.data(
        "wav",
        "fokker_wavegrad.wav:Wav",
        summary="Random crops of the audio files of a folder, with their mel spectrograms.",
    )
    registry.data(
        "tones",
        "fokker_wavegrad.tones:Tones",
        summary="Made-up pieces of tones and chirps, with their mel spectrograms.",
    )
    registry.sampler(
        "wavegrad",
        "fokker_wavegrad.sampler:ClippedAncestral",
        summary="DDPM's step with clipped states, the published program's way down (Chen et al., 2020).",
    )
    registry.grid(
        "noise-schedule",
        "fokker_wavegrad.grids:NoiseSchedule",
        summary="A few betas of its own, searched by 'fokker noise-schedule' (Chen et al., 2020).",
    )
    registry.grid(
        "linear-betas",
        "fokker_wavegrad.grids:LinearBetas",
        summary="A few betas that rise linearly to where the perturbation ends.",
    )
    registry.sink(".wav", "fokker_wavegrad.sink:WavSink")
    for name, what in (
        ("wavegrad", "WaveGrad as published, 24 kHz; for a GPU, days."),
        ("wavegrad-tones", "A narrow WaveGrad on tones and chirps at 8 kHz; ten minutes of one CPU core."),
        ("wavegrad-speech", "A narrow WaveGrad on a folder of speech at 8 kHz; ten minutes of one CPU core."),
    ):
        registry.recipe(name, f"fokker_wavegrad:recipes/{name}.toml", summary=what)


@hookimpl
def fokker_commands(cli: "click.Group") -> None:
    """Add the commands for sound."""
    from fokker_wavegrad.commands import noise_schedule, tones, vocode

    for command in (vocode, noise_schedule, tones):
        cli.add_command(command)
