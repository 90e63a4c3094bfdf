"""What every Label should do.

Where a label refuses times between the levels of a table it is looked at on the levels.
"""

from typing import Any

import torch
from torch import Tensor

from fokker.errors import ConfigError
from fokker.label import Label
from fokker.perturbation import Perturbation
from fokker.testing.check import Suite, expect, refused
from fokker.testing.compare import close, same
from fokker.testing.worlds import PERTURBATIONS

__all__ = ["suite"]


def _observe(label: Label) -> list[Any]:
    seen: list[Any] = []
    for p in PERTURBATIONS.values():
        try:
            seen.append(label(p, torch.linspace(p.t_min, 1, 7, dtype=torch.float64) if p.knots is None else p.knots))
            if p.knots is not None:  # a rule for times between levels shows there alone
                seen.append(label(p, 0.7 * p.knots[:-1] + 0.3 * p.knots[1:]))
        except ConfigError as error:
            seen.append(str(error))
    return seen


suite = Suite(Label, observe=_observe)


@suite.check(over=PERTURBATIONS)
def finite(label: Label, p: Perturbation) -> None:
    """Is finite from t_min to 1."""
    t = _times(label, p)
    value = label(p, t)
    bad = ~value.isfinite()
    if bool(bad.any()):
        expect(False, f"the label of t = {t[bad][0].item():g} is {value[bad][0].item():g}")


@suite.check(over=PERTURBATIONS)
def monotone(label: Label, p: Perturbation) -> str:
    """Tells any two times apart: it rises strictly with time, or falls strictly."""
    t = _times(label, p)
    value = label(p, t)
    steps = value.diff()
    rising = bool(value[-1] > value[0])
    bad = (~(steps > 0 if rising else steps < 0)).nonzero()
    if len(bad):
        i = int(bad[0])
        expect(
            False,
            f"the label goes from {value[i].item():.8g} at t = {t[i].item():.6g} to {value[i + 1].item():.8g} at "
            f"t = {t[i + 1].item():.6g}, and from {value[0].item():.6g} to {value[-1].item():.6g} in all",
        )
    return f"{'rises' if rising else 'falls'} from {value[0].item():.4g} to {value[-1].item():.4g}"


@suite.check(over=PERTURBATIONS)
def shape(label: Label, p: Perturbation) -> None:
    """Has the shape of the times, which it leaves alone."""
    times = _times(label, p)
    times = times[len(times) // 2 :][:4]
    for shape in ((), (4,), (2, 2), (4, 1), (0,)):
        t = times[: torch.Size(shape).numel()].reshape(shape).clone()
        before = t.clone()
        value = label(p, t)
        expect(value.shape == t.shape, f"the label of times {shape} has the shape {tuple(value.shape)}")
        same(t, before, "the time, after its label was asked for,")


@suite.check(over=PERTURBATIONS)
def each_on_its_own(label: Label, p: Perturbation) -> None:
    """Gives a time the same label whatever other times stand beside it."""
    t = _times(label, p)
    t = t[torch.linspace(0, len(t) - 1, 9).long()]
    alone = torch.stack([label(p, each) for each in t])
    close(label(p, t), alone, "the label of a time among others", rtol=1e-9, atol=1e-9)


def _times(label: Label, p: Perturbation) -> Tensor:
    """Times that the label takes, ascending from t_min to 1."""
    t = torch.linspace(p.t_min, 1, 65, dtype=torch.float64)
    if p.knots is None:
        refused(lambda: label(p, t))
        return t
    knots = p.knots[p.knots >= p.t_min]
    anywhere: Tensor = torch.cat([t, knots]).unique()
    try:
        label(p, anywhere)
    except ConfigError:
        refused(lambda: label(p, knots))
        return knots
    return anywhere
