"""What every Weighting should do."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from fokker.errors import ConfigError
from fokker.perturbation import Perturbation
from fokker.testing.check import NotApplicable, Suite, expect, refused
from fokker.testing.compare import close, same
from fokker.testing.worlds import PERTURBATIONS
from fokker.weighting import Weighting

__all__ = ["suite"]


def _observe(weighting: Weighting) -> list[Any]:
    seen: list[Any] = []
    for p in PERTURBATIONS.values():
        try:
            seen.append(weighting(p, _times(p)))
        except ConfigError as error:
            seen.append(str(error))
    return seen


suite = Suite(Weighting, observe=_observe)


@suite.check(over=PERTURBATIONS)
def finite(weighting: Weighting, p: Perturbation) -> str:
    """Is finite and not negative from t_min to 1, and not zero everywhere."""
    t = _times(p)
    w = refused(lambda: weighting(p, t))
    bad = ~(w.isfinite() & (w >= 0))
    if bool(bad.any()):
        expect(False, f"the weight is {w[bad][0].item():g} at t = {t[bad][0].item():g}")
    expect(bool((w > 0).any()), "the weight is 0 at all times")
    return f"from {w[0].item():.3g} at t_min to {w[-1].item():.3g} at 1"


@suite.check(over=PERTURBATIONS)
def shape(weighting: Weighting, p: Perturbation) -> None:
    """Has the shape of the times, which it leaves alone, in float64."""
    for shape in ((), (4,), (2, 2), (4, 1), (0,)):
        t = _times(p)[-4:][: torch.Size(shape).numel()].reshape(shape).clone()
        before = t.clone()
        w = refused(partial(weighting, p, t))
        expect(w.shape == t.shape, f"the weight at times {shape} has the shape {tuple(w.shape)}")
        expect(w.dtype == torch.float64, f"the weight at float64 times is {w.dtype}")
        same(t, before, "the time, after its weight was asked for,")


@suite.check(over=PERTURBATIONS)
def each_on_its_own(weighting: Weighting, p: Perturbation) -> None:
    """Gives a time the same weight whatever other times stand beside it."""
    t = _times(p)
    w = refused(lambda: weighting(p, t))
    close(w, torch.stack([weighting(p, each) for each in t]), "the weight at a time among others", rtol=1e-9)


@suite.check(over=PERTURBATIONS)
def log_snr_alone(weighting: Weighting, p: Perturbation) -> None:
    """Is the same at one log-SNR on every perturbation, if it claims to be a function of the log-SNR alone."""
    if not weighting.claims.log_snr_alone:
        raise NotApplicable("it claims no such thing: the clock of the perturbation may matter")
    log_snr = torch.linspace(6.9, -5.1, 13, dtype=torch.float64)
    reference = PERTURBATIONS["vp"]
    expected = refused(lambda: weighting(reference, reference.time(log_snr)))
    w = refused(lambda: weighting(p, p.time(log_snr)))
    for value, there, here in zip(log_snr.tolist(), expected, w, strict=True):
        close(here, there, f"the weight at log-SNR {value:g}, with that on VP for comparison,", rtol=1e-6, atol=1e-300)


def _times(p: Perturbation) -> Tensor:
    """From t_min to 1, and levels of a table."""
    t = torch.linspace(p.t_min, 1, 33, dtype=torch.float64)
    return t if p.knots is None else torch.cat([t, p.knots[p.knots >= p.t_min][::9]]).sort().values
