"""Budgets: how many steps a number of evaluations of the network pays for.

evaluations = factor (evaluations a step * steps + those at the end)
"""

from collections.abc import Sequence

from fokker.errors import ConfigError
from fokker.guidance import Guidance
from fokker.sampler import Sampler

__all__ = ["steps_for"]


def steps_for(sampler: Sampler, name: str, nfe: int, final: str, guidance: Sequence[Guidance] = ()) -> int:
    """The largest number of steps that costs at most `nfe` evaluations per sample.

    Args:
        sampler: The sampler.
        name: What it is called in messages.
        nfe: Evaluations of the network per sample.
        final: How the trajectory ends.
        guidance: What steers the samples; each multiplies the evaluations.

    Raises:
        ConfigError: If the sampler or a guidance chooses its own number of evaluations, or the budget does not allow
            one step.
    """
    claims, factor = sampler.claims, 1
    if claims.evaluations is None:
        raise ConfigError(f"{name} chooses its own number of evaluations; set its tolerance instead of --nfe.")
    for each in guidance:
        cost = each.claims.evaluations
        if cost is None:
            raise ConfigError(f"{each!r} chooses its own number of evaluations; give --steps instead of --nfe.")
        factor *= cost
    a_step, fixed = factor * claims.evaluations, factor * (claims.at_end + (final == "tweedie" and not claims.finishes))
    steps = (nfe - fixed) // a_step if a_step else 0
    if steps < 1:
        guided = " with this guidance" if guidance else ""
        raise ConfigError(
            f"--nfe {nfe} does not allow a single step of {name}{guided}, which takes {a_step} evaluations a step and "
            f"{fixed} at the end."
        )
    return steps
