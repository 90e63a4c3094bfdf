"""Likelihood by the instantaneous change of variables along the probability flow.

    log p(x) = log pi(x_1) + int_{t_min}^1 div u(x_t, t) dt,    dx/dt = u(x, t),    x_{t_min} = x

with pi = N(0, prior_std^2 I), the law that sampling starts from (Chen et al., 2018, theorem 1; Grathwohl et al., 2019,
eq. 4; Song et al., 2021, appendix D.2, eq. 39). It is the density of what `decode` makes of draws of pi, which an exact
model shares with the data up to two things: data has no noise where the flow has that of `t_min`, and p_1 is not quite
pi.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log, pi, sqrt

import torch
from torch import Tensor

from fokker.flow.divergence import Divergence, Hutchinson
from fokker.flow.transport import some_rows
from fokker.integrate import Variables, integrate
from fokker.model import ScoreModel
from fokker.noise import Noise

__all__ = ["LogLikelihood", "log_likelihood"]

Cond = Mapping[str, Tensor] | None


@dataclass(frozen=True, eq=False)
class LogLikelihood:
    """Log-densities of examples in the model's units, term by term, in nats.

    Args:
        prior: Log-density of the latents under the prior, (B,).
        divergence: The divergence integrated along the way, one estimate per probe, (B, K), or exactly, (B, 1).
        latent: The states at t = 1, (B, *D).
        nfe: Evaluations of the network for each example, int64 on the host, (B,).
        exact: Whether the divergence is exact.
    """

    prior: Tensor
    divergence: Tensor
    latent: Tensor
    nfe: Tensor
    exact: bool

    @property
    def value(self) -> Tensor:
        """log p(x), (B,)."""
        return self.prior + self.divergence.mean(1)

    @property
    def stderr(self) -> Tensor:
        """Standard error of `value` over the probes, (B,): 0 for an exact divergence, NaN for a single probe."""
        if self.exact:
            return torch.zeros_like(self.prior)
        k = self.divergence.shape[1]
        if k == 1:
            return torch.full_like(self.prior, torch.nan)
        return self.divergence.std(1) / sqrt(k)


@torch.no_grad()
def log_likelihood(
    model: ScoreModel,
    x: Tensor,
    noise: Noise,
    *,
    cond: Cond = None,
    divergence: Divergence | None = None,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    on_step: Callable[[float], None] | None = None,
) -> LogLikelihood:
    """log p(x) of data, with every term.

    The tolerance holds for the state and for the integral of the divergence alike.

    Args:
        model: The model, carrying its perturbation.
        x: Data in the model's units, (B, *D).
        noise: Source of the probes.
        cond: Conditions passed on to the model.
        divergence: How the divergence is had; two Rademacher probes unless given.
        rtol: Relative tolerance of a step.
        atol: Absolute tolerance of a step.
        on_step: Called with the share of the way that is done.

    Raises:
        ConfigError: If a tolerance is out of range.
        IntegrationError: If it cannot be met.
    """
    rule = Hutchinson() if divergence is None else divergence
    probes = rule.probes(x, noise)

    def rates(t: Tensor, y: Variables, rows: Tensor) -> Variables:
        with torch.enable_grad():
            state = y[0].detach().requires_grad_()
            u = model(state, t, some_rows(cond, rows)).velocity
            estimates = rule.estimates(u, state, probes[rows.to(x.device)])
        return u.detach(), estimates.detach()

    p = model.perturbation
    nothing = x.new_zeros((x.shape[0], 1 if rule.exact else probes.shape[1]))
    solution = integrate(rates, (x, nothing), p.t_min, 1.0, rtol=rtol, atol=atol, on_step=on_step)
    z, integral = solution.y
    return LogLikelihood(_log_normal(z, p.prior_std), integral, z, solution.evaluations, rule.exact)


def _log_normal(z: Tensor, std: float) -> Tensor:
    """log N(z; 0, std^2 I), (B,)."""
    squares: Tensor = (z / std).square().flatten(1).sum(1)
    rest: float = z[0].numel() * (log(std) + log(2 * pi) / 2)
    return -squares / 2 - rest
