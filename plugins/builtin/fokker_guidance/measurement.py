"""What a measurement by a linear operator has to tell a guided model."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from fokker.errors import ConfigError
from fokker.exact import Gaussian
from fokker.guidance import Subject
from fokker.noise import PerSample
from fokker_guidance.answer import conditioned
from fokker_guidance.operators import Operator, operator
from fokker_guidance.units import units
from fokker_guidance.values import Values, held_out, stored

__all__ = ["law", "measured"]

_STREAM = 0x6D656173
"""Of the errors of simulated measurements, apart from all other uses of a seed."""


def measured(
    name: str, a: Operator, values: Values, noise: float, subject: Subject, index: Sequence[int]
) -> Mapping[str, Tensor]:
    """A measurement of each sample, and the units that it is in.

    Of held-out examples, y = A x + noise z is made here; z depends on the index of a sample alone.

    Args:
        name: What the names of the tensors begin with.
        a: The operator.
        values: What was measured.
        noise: Standard deviation of the error.
        subject: What is sampled.
        index: Absolute indices of the samples, (B,).

    Returns:
        `y` (B, m), in the data's own units, `shift` and `scale` (B, *D).
    """
    own = units(subject.chain, subject.spec.event_shape)
    x = held_out(values, subject, index)
    if x is None:
        y = stored(values, a.size, index)
    else:
        y = a(x)
        if noise:
            y = y + noise * PerSample(0, index, (a.size,), stream=_STREAM)(y)
    each = (len(index), *subject.spec.event_shape)
    return {f"{name}y": y, f"{name}shift": own.shift.expand(each), f"{name}scale": own.scale.expand(each)}


def law(name: str, text: str, noise: float, prior: Gaussian, cond: Mapping[str, Tensor] | None) -> Gaussian:
    """The exact posterior of Gaussian data given the first measurement in `cond`.

    Raises:
        ConfigError: If there is none.
    """
    if cond is None:
        raise ConfigError("The law of a measured sample depends on what was measured; give its conditions.")
    y, shift, scale = (cond[name + word][0] for word in ("y", "shift", "scale"))
    return conditioned(prior, operator(text, prior.event_shape), y, shift, scale, noise)
