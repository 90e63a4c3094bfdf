"""The weights of every exponential-integrator step: integrals of Lagrange polynomials against a kernel.

With ell = log(alpha / sigma), s = sigma / alpha, phi = atan(s / c), rho^2 = c^2 alpha^2 + sigma^2, c = 1 unless said
otherwise, and h = ell_s - ell_t, the probability flow from time t to time s is, exactly (Lu et al., 2022, DPM-Solver,
prop. 3.1; DPM-Solver++, prop. 4.1; Zhang & Chen, 2023),

    eps   x_s = alpha_s / alpha_t x_t + alpha_s int eps ds
    x0    x_s = sigma_s / sigma_t x_t + alpha_s int exp(ell - ell_s) x0 d ell
    v     x_s = rho_s / rho_t x_t + rho_s int v / rho dphi

and the reverse SDE with the share eta of its noise, where kappa = 1 + eta^2 (DPM-Solver++, for x0 and eta = 1),

    x0    x_s = sigma_s / sigma_t exp(-eta^2 h) x_t + alpha_s int kappa exp(kappa (ell - ell_s)) x0 d ell
          + sigma_s sqrt(1 - exp(-2 eta^2 h)) z
    v     x_s = rho_s / rho_t r^(eta^2) x_t + rho_s int kappa (q_s / q)^(eta^2) v / rho dphi
          + rho_s sqrt(1 - r^(2 eta^2)) z,    q = rho / alpha,    r = q_s / q_t

A method replaces the prediction by the polynomial in some coordinate u of the noise level that has the known values at
the nodes u_j: its weights are those integrals of the Lagrange polynomials L_j. The sum of the weights is known in
closed form but for v with noise, and so are the weights of one node; the others are Gauss-Legendre sums in ell, float64
on the host.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, inf, log
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from fokker.perturbation import Perturbation

__all__ = ["Levels", "Predicted", "Variable", "decay", "noise_left", "total", "weights"]

Predicted: TypeAlias = Literal["eps", "x0", "v"]
"""The prediction that is interpolated; the exponential part of the equation goes with it."""

Variable: TypeAlias = Literal["log-snr", "sigma", "sqrt-sigma", "angle", "t"]
"""The coordinate in which it is a polynomial: ell, s, sqrt(s), atan(s), or the time itself."""

_FAR = 45.0
"""exp(-45) is below the rounding of what it is added to: where the log-SNR is infinite, the integral ends here."""
_NODES = 16
_PANEL = 3.0
"""Length in ell on which 16 nodes integrate exp(7 ell), and the kernel of v, whose poles are +-i pi / 2, well."""


@dataclass(frozen=True, eq=False)
class Levels:
    """Noise levels of some times, float64 on the host, (M,) each.

    Args:
        perturbation: Whose levels they are.
        t: Times.
        alpha: Scale of the data.
        sigma: Standard deviation of the noise.
        ell: log(alpha / sigma), infinite where one of them is 0.
        unit: Standard deviation c of the data that a step of v is exact on.
    """

    perturbation: Perturbation
    t: Tensor
    alpha: Tensor
    sigma: Tensor
    ell: Tensor
    unit: float = 1.0

    @classmethod
    def at(cls, p: Perturbation, t: Tensor, unit: float = 1.0) -> "Levels":
        """Those of the times `t`."""
        return cls(p, t, p.alpha(t), p.sigma(t), p.log_snr(t) / 2, unit)

    @property
    def rho(self) -> Tensor:
        """sqrt(c^2 alpha^2 + sigma^2)."""
        return torch.hypot(self.unit * self.alpha, self.sigma)

    @property
    def relative(self) -> Tensor:
        """rho / alpha, infinite at alpha = 0."""
        return torch.hypot(torch.full_like(self.ell, self.unit), (-self.ell).exp())

    @property
    def angle(self) -> Tensor:
        """atan(sigma / (c alpha))."""
        return torch.atan2(self.sigma, self.unit * self.alpha)

    def coordinate(self, variable: Variable) -> Tensor:
        """u at the levels; infinite where it does not exist."""
        return self.t if variable == "t" else _coordinate(self.perturbation, variable, self.ell, self.unit)


def decay(levels: Levels, predicted: Predicted, start: Tensor, end: Tensor, churn: float = 0.0) -> Tensor:
    """The factor of x_t in steps between the levels of indices `start` and `end`, (n,) each; `churn` is eta^2."""
    if predicted == "eps":
        return levels.alpha[end] / levels.alpha[start]
    if predicted == "v":
        plain = levels.rho[end] / levels.rho[start]
        return plain * (levels.relative[end] / levels.relative[start]) ** churn if churn else plain
    ratio = levels.sigma[end] / levels.sigma[start]
    return ratio * (-churn * (levels.ell[end] - levels.ell[start])).exp() if churn else ratio


def total(levels: Levels, predicted: Predicted, start: Tensor, end: Tensor, kappa: float = 1.0) -> Tensor:
    """The integral of the kernel alone over steps from `start` to `end`, (n,) each: the weight of one node."""
    if predicted == "v":
        if kappa != 1:
            return _quadrature(levels, predicted, start, end, kappa)[1].sum(1)
        # the difference of the angles without cancellation
        c = levels.unit
        sine = c * (levels.sigma[end] * levels.alpha[start] - levels.alpha[end] * levels.sigma[start])
        cosine = c**2 * levels.alpha[end] * levels.alpha[start] + levels.sigma[end] * levels.sigma[start]
        return levels.rho[end] * torch.atan2(sine, cosine)
    fall = levels.ell[start] - levels.ell[end]
    if predicted == "eps":
        return levels.alpha[end] * levels.sigma[start] / levels.alpha[start] * fall.expm1()
    return -levels.alpha[end] * (kappa * fall).expm1()


def noise_left(levels: Levels, start: Tensor, end: Tensor, churn: float) -> Tensor:
    """The standard deviation of what steps of v from `start` to `end` put back, (n,) each; `churn` is eta^2."""
    ratio = (levels.relative[end] / levels.relative[start]).log()
    return levels.rho[end] * (-torch.expm1(2 * churn * ratio)).sqrt()


def weights(
    levels: Levels,
    predicted: Predicted,
    variable: Variable,
    start: Tensor,
    end: Tensor,
    nodes: Tensor,
    kappa: float = 1.0,
) -> Tensor:
    """The weights of the predictions at `nodes` in steps from `start` to `end`.

    Where a step lands on sigma = 0, u has to be finite there if there is more than one node.

    Args:
        levels: The levels that the indices mean.
        predicted: What is interpolated; v counts as v / rho, which is what depends on log-SNRs alone.
        variable: The coordinate u.
        start: Where the steps start, indices, (n,).
        end: Where they land, likewise.
        nodes: Where the predictions are known, all different in u, (n, q).
        kappa: 1 + eta^2, for x0 and v.

    Returns:
        Float64, (n, q).
    """
    u = levels.coordinate(variable)[nodes]
    whole = total(levels, predicted, start, end, kappa)
    q = nodes.shape[1]
    if q == 1:
        others = whole.new_zeros(len(whole), 0)
    else:
        at, kernel = _quadrature(levels, predicted, start, end, kappa)
        there = _coordinate(levels.perturbation, variable, at, levels.unit)
        others = torch.stack([(kernel * _lagrange(u, j, there)).sum(1) for j in range(1, q)], dim=1)
        landed = levels.sigma[end] == 0
        if predicted == "x0" and bool(landed.any()):
            # the kernel is a point mass at the end
            zero = levels.coordinate(variable)[end].unsqueeze(1)
            limit = torch.cat([_lagrange(u, j, zero) for j in range(1, q)], dim=1)
            others = torch.where(landed.unsqueeze(1), levels.alpha[end].unsqueeze(1) * limit, others)
    found = torch.cat([(whole - others.sum(1)).unsqueeze(1), others], dim=1)
    return found / levels.rho[nodes] if predicted == "v" else found


def _quadrature(
    levels: Levels, predicted: Predicted, start: Tensor, end: Tensor, kappa: float
) -> tuple[Tensor, Tensor]:
    """Points ell of the steps, and the kernel there times what the points count, (n, points) each."""
    low, high = levels.ell[start], levels.ell[end]
    high = high.where(high < inf, low.clamp(min=0) + _FAR)
    low = low.where(low > -inf, high.clamp(max=0) - _FAR)
    panels = max(1, ceil(float((high - low).max()) / _PANEL))
    place, count = _gauss(panels)
    length = (high - low).unsqueeze(1)
    run = length * place
    at = low.unsqueeze(1) + run
    share = length * count
    if predicted == "eps":
        scale = levels.alpha[end] * levels.sigma[start] / levels.alpha[start]
        return at, -scale.unsqueeze(1) * (-run).exp() * share
    if predicted == "x0":
        return at, kappa * levels.alpha[end].unsqueeze(1) * (kappa * (run - length)).exp() * share
    kernel = -levels.rho[end].unsqueeze(1) / (2 * (at + log(levels.unit)).cosh()) * share
    if kappa != 1:
        there = torch.hypot(torch.full_like(at, levels.unit), (-at).exp())
        kernel = kernel * kappa * (levels.relative[end].unsqueeze(1) / there) ** (kappa - 1)
    return at, kernel


@lru_cache(maxsize=64)
def _gauss(panels: int) -> tuple[Tensor, Tensor]:
    """Gauss-Legendre points and weights on [0, 1], cut into equal panels."""
    x, w = np.polynomial.legendre.leggauss(_NODES)
    place = (np.arange(panels)[:, None] + (x + 1) / 2) / panels
    return torch.from_numpy(place.ravel()), torch.from_numpy(np.tile(w / 2, panels) / panels)


def _lagrange(u: Tensor, j: int, at: Tensor) -> Tensor:
    """L_j through the nodes `u`, (n, q), at points `at`, (n, points)."""
    value = torch.ones_like(at)
    for i in range(u.shape[1]):
        if i != j:
            value = value * ((at - u[:, i : i + 1]) / (u[:, j : j + 1] - u[:, i : i + 1]))
    return value


def _coordinate(p: Perturbation, variable: Variable, ell: Tensor, unit: float) -> Tensor:
    if variable == "log-snr":
        return ell
    if variable == "t":
        return p.time(2 * ell)
    if variable == "sqrt-sigma":
        return (-ell / 2).exp()
    s = (-ell).exp()
    return s if variable == "sigma" else (s / unit).atan()
