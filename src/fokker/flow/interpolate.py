"""Ways between two latents that stay where the prior has its mass."""

import torch
from torch import Tensor

from fokker.perturbation import expand

__all__ = ["angle", "spherical"]


def angle(a: Tensor, b: Tensor) -> float:
    """Angle between two latents *D, in radians, in [0, pi]; 0 where one of them is 0 and has no direction."""
    a, b = a.double().flatten(), b.double().flatten()
    if not bool(a.any()) or not bool(b.any()):
        return 0.0
    a, b = a / a.norm(), b / b.norm()
    # atan2 is accurate near 0 and pi, where acos of a scalar product is not (Kahan, 2006, section 12)
    return float(2 * torch.atan2((a - b).norm(), (a + b).norm()))


def spherical(a: Tensor, b: Tensor, frames: int) -> Tensor:
    """Spherical linear interpolation (Shoemake, 1985; Song et al., 2021, DDIM, eq. 67).

        z_w = (sin((1 - w) theta) a + sin(w theta) b) / sin theta,    w = 0, 1 / (K - 1), ..., 1

    In many dimensions draws of the prior lie near a sphere, which straight lines leave. Where the angle theta is 0 or
    pi, as it always is in one dimension, no great circle is singled out, and the way is straight.

    Args:
        a: Where it starts, *D.
        b: Where it ends, *D.
        frames: Number K of latents on the way, both ends among them, at least 2.

    Returns:
        Latents, (K, *D).
    """
    w = torch.arange(frames, dtype=torch.float64) / (frames - 1)
    theta = torch.tensor(angle(a, b), dtype=torch.float64)
    of_a, of_b = 1 - w, w
    if float(theta.sin()) > 1e-6:
        of_a, of_b = ((share * theta).sin() / theta.sin() for share in (of_a, of_b))
    of_a, of_b = (expand(c.to(a.device, a.dtype), a.unsqueeze(0)) for c in (of_a, of_b))
    return of_a * a + of_b * b
