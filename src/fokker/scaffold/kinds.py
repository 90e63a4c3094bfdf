"""What the package of each kind of component has of its own, besides its templates."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["KINDS", "Kind"]

_TRAIN = "fokker train --data swiss-roll --steps 2000 --out runs/roll"
_SAMPLE = "fokker sample runs/roll --out samples.npy"


@dataclass(frozen=True)
class Kind:
    """What the example of a kind is, and how it is used.

    Args:
        summary: One line for `fokker list`.
        use: Commands that use it, with `$name` for its name.
        instances: Further instances whose conformance is tested, as arguments of the class.
        also: Other kinds that the same class is registered as.
    """

    summary: str
    use: tuple[str, ...]
    instances: tuple[str, ...] = ()
    also: tuple[str, ...] = ()


KINDS: Mapping[str, Kind] = {
    "perturbation": Kind(
        "A log-SNR that falls in a straight line.",
        (f"{_TRAIN} --perturbation $name",),
        ("highest=8.0, lowest=-6.0",),
    ),
    "network": Kind(
        "Residual blocks over all values of an example.",
        (f"{_TRAIN} --network $name:width=64",),
        ("width=16, blocks=1",),
    ),
    "label": Kind("The angle between signal and noise.", (f"{_TRAIN} --label $name",), ("scale=1.0",)),
    "parameterization": Kind(
        "The network gives what is to be taken off the noisy data.", (f"{_TRAIN} --parameterization $name",)
    ),
    "objective": Kind(
        "Denoising at log-normal noise levels.", (f"{_TRAIN} --objective $name:std=1.5",), ("mean=0.0, std=2.0",)
    ),
    "weighting": Kind(
        "A sigmoid of the log-SNR.", (f'{_TRAIN} --objective "denoising:weighting=$name(bias=1.0)"',), ("bias=2.0",)
    ),
    "sampler": Kind(
        "A second-order step along the probability flow.",
        (
            _TRAIN,
            f"{_SAMPLE} --sampler $name --nfe 21",
            f'{_SAMPLE} --force --sampler "pc:predictor=$name,corrector=langevin" --nfe 40',
        ),
        ("ratio=0.5",),
        also=("predictor",),
    ),
    "predictor": Kind(
        "An exponential step with as much noise as is asked for.",
        (_TRAIN, f'{_SAMPLE} --sampler "pc:predictor=$name(eta=0.5)"'),
        ("eta=0.0", "eta=0.5"),
    ),
    "corrector": Kind(
        "A Langevin step in proportion to the variance of the noise.",
        (_TRAIN, f'{_SAMPLE} --sampler "pc:corrector=$name(step=0.2)"'),
        ("step=0.5",),
    ),
    "grid": Kind(
        "Times that are closer together near both ends.",
        (_TRAIN, f"{_SAMPLE} --grid $name:crowd=0.5"),
        ("crowd=0.0", "crowd=1.0"),
    ),
    "guidance": Kind(
        "A pull to a point.",
        (_TRAIN, f"{_SAMPLE} --guidance $name:point=1.0,precision=4.0"),
        ("point=1.0, precision=4.0",),
    ),
    "noise": Kind(
        "Draws of another stream of the seed.",
        (_TRAIN, f"{_SAMPLE} --noise $name:stream=2"),
        ("stream=2",),
    ),
    "data": Kind(
        "Sine waves of two pitches.",
        ("fokker train --data $name:length=32 --steps 2000 --out runs/waves",),
        ("n=7, length=9, noise=0.0",),
    ),
    "transform": Kind(
        "Long tails drawn in by asinh.",
        ('fokker train --data "swiss-roll:transforms=[$name(scale=0.5)]" --steps 2000 --out runs/roll',),
        ("scale=0.1",),
    ),
    "metric": Kind("The distance of means and standard deviations.", ("fokker show metric $name",), ("spread=0.0",)),
    "format": Kind(
        "A numpy archive of the tensors and the plan.",
        (_TRAIN, "fokker convert runs/roll --out roll.npz --format $name"),
        ("compressed=True",),
    ),
    "recipe": Kind(
        "The swiss roll by denoising score matching.",
        ("fokker plan $name", "fokker train $name --out runs/roll"),
    ),
}
"""In the order of the registry's kinds."""
