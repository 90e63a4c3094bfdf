"""Where latents belong: the ends of their probability flow, by steps as small as it takes.

    dx/dt = alpha' x0 + sigma' eps    from the first time of a grid to t_min, then the expected data given x

by the embedded pair of `fokker.integrate`, every row with steps of its own, in float64. The end is the same for all
grids that start at one time: a grid that stops early has that among its errors. How good the solution itself is, is
measured, by its distance to one of ten times the tolerance.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from fokker.errors import ConfigError
from fokker.flow.transport import some_rows
from fokker.integrate import Variables, integrate
from fokker.model import ScoreModel
from fokker.sampling import Begun

__all__ = ["EXACT", "LEARNED", "Ends", "distance", "solve"]

EXACT = 1e-8
"""Tolerance of a step where the score is known, and answers in float64."""
LEARNED = 1e-5
"""Tolerance of a step where a network answers in float32, whose rounding a tighter one would follow."""


@dataclass(frozen=True, eq=False)
class Ends:
    """Ends of the probability flow.

    Args:
        x: In the model's units, float64, (B, *D).
        error: Mean distance to the solution of ten times the tolerance, an estimate from above of the own error.
        nfe: Evaluations of the model, in the mean.
    """

    x: Tensor
    error: float
    nfe: float


@torch.no_grad()
def solve(begun: Begun, *, tolerance: float) -> Ends:
    """Carry samples that have begun along the flow.

    Args:
        begun: Their states; the model answers in the precision that they have.
        tolerance: Relative and absolute tolerance of a step.

    Raises:
        ConfigError: If they begin at the end, or if the network cannot be asked between the levels of a table.
        IntegrationError: If the tolerance cannot be met.
    """
    tight, nfe = _solved(begun, tolerance)
    loose, _ = _solved(begun, 10 * tolerance)
    return Ends(tight, distance(loose, tight), nfe)


def distance(x: Tensor, y: Tensor) -> float:
    """Mean Euclidean distance of the rows of (B, *D) to those of another tensor."""
    return float((x.double() - y.to(x.device, torch.float64)).flatten(1).norm(dim=1).mean())


def _solved(begun: Begun, tolerance: float) -> tuple[Tensor, float]:
    model, p, dtype = begun.model, begun.model.perturbation, begun.x.dtype
    if begun.t <= p.t_min:
        raise ConfigError("This sampler begins at the end of the probability flow, which leaves nothing to follow.")

    def velocity(t: Tensor, y: Variables, rows: Tensor) -> Variables:
        answer = model(y[0].to(dtype), t, some_rows(begun.cond, rows))
        return (answer.velocity.to(y[0].dtype),)

    wide = torch.float32 if begun.x.device.type == "mps" else torch.float64
    found = integrate(velocity, (begun.x.to(wide),), begun.t, p.t_min, rtol=tolerance, atol=tolerance)
    x = _denoised(model, found.y[0].to(dtype), begun)
    return x.double().cpu(), float(found.evaluations.double().mean()) + 1


def _denoised(model: ScoreModel, x: Tensor, begun: Begun) -> Tensor:
    """The expected data; the state itself where no noise is left."""
    p = model.perturbation
    alpha, sigma = p.scales(p.t_min, x)
    return x / alpha if sigma == 0 else model(x, p.t_min, begun.cond).x0
