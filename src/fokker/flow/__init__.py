"""The probability flow: an ODE with the marginals of the diffusion, which maps data to latents and back.

    dx/dt = u(x, t) = f x - g^2 score / 2 = alpha' x0 + sigma' eps

(Song et al., 2021, eq. 13.) Followed up from the perturbation's `t_min` it encodes, followed down it decodes, and the
divergence of u along the way is the change of log-density. Every example has its own steps, so none depends on its
batch.
"""

from fokker.flow.divergence import Divergence, Exact, Hutchinson
from fokker.flow.examples import Inputs, read
from fokker.flow.interpolate import spherical
from fokker.flow.likelihood import LogLikelihood, log_likelihood
from fokker.flow.transport import Carried, decode, encode

__all__ = [
    "Carried",
    "Divergence",
    "Exact",
    "Hutchinson",
    "Inputs",
    "LogLikelihood",
    "decode",
    "encode",
    "log_likelihood",
    "read",
    "spherical",
]
