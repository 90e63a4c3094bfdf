"""Models with a known score: the oracles of tests, of comparisons, and of plugin authors.

For data N(m, C) perturbed to N(alpha m, V), V = alpha^2 C + sigma^2 I,

    score = -V^-1 (x - alpha m),    x0 = m + alpha C V^-1 (x - alpha m),    eps = sigma V^-1 (x - alpha m)

A mixture weights its components' answers by their responsibilities at `x`; a point mass and an empirical law are
the cases C = 0. Each returns v = alpha eps - sigma x0, which is accurate at both ends of time; where V is singular,
at sigma = 0 for a singular C, there is no density and the model raises.
"""

from abc import abstractmethod
from collections.abc import Mapping
from math import log, pi, prod

import torch
from torch import Tensor

from fokker.errors import ConfigError, SingularError
from fokker.model import ScoreModel, rates_at
from fokker.noise import Noise
from fokker.perturbation import Perturbation
from fokker.prediction import Prediction

__all__ = ["Empirical", "ExactModel", "Gaussian", "Mixture", "PointMass"]

Cond = Mapping[str, Tensor] | None


class ExactModel(ScoreModel):
    """A law whose perturbed densities and scores are known in closed form."""

    def __init__(self, perturbation: Perturbation, event_shape: tuple[int, ...]) -> None:
        self._perturbation = perturbation
        self.event_shape = event_shape

    @property
    def perturbation(self) -> Perturbation:
        """The perturbation that it is seen through."""
        return self._perturbation

    @abstractmethod
    def log_prob(self, x: Tensor, t: Tensor | float) -> Tensor:
        """log p_t(x) in nats, (B,), for `x` (B, *D) and `t` () or (B,)."""

    @abstractmethod
    def score(self, x: Tensor, t: Tensor | float) -> Tensor:
        """Gradient of log p_t at `x`, (B, *D)."""

    @abstractmethod
    def draw(self, n: int, noise: Noise) -> Tensor:
        """Independent draws of the data, float64, (n, *D)."""


class Mixture(ExactModel):
    """A mixture of Gaussians with any covariances.

    Args:
        perturbation: The perturbation that it is seen through.
        weights: Probabilities of the components, (K,); normalised to 1.
        means: (K, *D).
        covariances: (K,) for variances that all dimensions share, (K, numel) for diagonals, (K, numel, numel) for
            full matrices; entries at least 0 and matrices positive semi-definite.

    Raises:
        ConfigError: If the shapes do not fit, a weight or variance is negative, or all weights are 0.
    """

    def __init__(self, perturbation: Perturbation, weights: Tensor, means: Tensor, covariances: Tensor) -> None:
        super().__init__(perturbation, tuple(means.shape[1:]))
        k, d = means.shape[0], prod(means.shape[1:])
        if weights.shape != (k,) or covariances.shape not in ((k,), (k, d), (k, d, d)):
            raise ConfigError(
                f"A mixture of {k} components in {d} dimensions takes weights ({k},) and covariances ({k},), "
                f"({k}, {d}) or ({k}, {d}, {d}); got {tuple(weights.shape)} and {tuple(covariances.shape)}."
            )
        if bool((weights < 0).any()) or not bool((weights > 0).any()):
            raise ConfigError(f"A mixture takes weights of at least 0, not all of them 0; got {weights.tolist()}.")
        self.weights = weights.double() / weights.double().sum()
        self.means = means.double().reshape(k, d)
        covariances = covariances.double()
        if covariances.ndim == 3:
            variances, self._basis = torch.linalg.eigh(covariances)
            # rounding makes the vanishing eigenvalues of a singular matrix slightly negative
            self._variances = torch.where(variances.abs() < 1e-12 * variances.amax(1, keepdim=True), 0.0, variances)
        else:
            self._basis = None
            self._variances = covariances.reshape(k, -1).expand(k, d)
        if bool((self._variances < 0).any()):
            raise ConfigError("A mixture takes variances of at least 0, and matrices that are positive semi-definite.")
        self._cast: dict[tuple[torch.device, torch.dtype], tuple[Tensor, Tensor, Tensor | None, Tensor]] = {}

    def _parameters(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
        key = (x.device, x.dtype)
        if key not in self._cast:
            self._cast[key] = (
                self.means.to(*key),
                self._variances.to(*key),
                None if self._basis is None else self._basis.to(*key),
                self.weights.log().to(*key),
            )
        return self._cast[key]

    def _whiten(self, x: Tensor, t: Tensor | float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """In each component's eigenbasis: x - alpha m (B, K, d), its variances V (B or 1, K, d), alpha, sigma."""
        alpha, sigma = (torch.as_tensor(c, dtype=x.dtype, device=x.device) for c in self._perturbation.scales(t, x))
        alpha, sigma = alpha.reshape(-1, 1, 1), sigma.reshape(-1, 1, 1)
        means, variances, basis, _ = self._parameters(x)
        off = x.flatten(1).unsqueeze(1) - alpha * means
        if basis is not None:
            off = torch.einsum("bki,kij->bkj", off, basis)
        v = alpha**2 * variances + sigma**2
        if bool((v == 0).any()):
            raise SingularError("This law has no density where sigma = 0: one of its variances is 0. Use a later time.")
        return off, v, alpha, sigma

    def _component_log_probs(self, off: Tensor, v: Tensor, log_weights: Tensor) -> Tensor:
        d = off.shape[-1]
        return log_weights - ((off**2 / v).sum(-1) + v.log().sum(-1) + d * log(2 * pi)) / 2

    def _responsibilities(self, x: Tensor, off: Tensor, v: Tensor) -> Tensor:
        return self._component_log_probs(off, v, self._parameters(x)[3]).softmax(1).unsqueeze(-1)

    def _turn_back(self, y: Tensor, x: Tensor) -> Tensor:
        basis = self._parameters(x)[2]
        return y if basis is None else torch.einsum("bkj,kij->bki", y, basis)

    def log_prob(self, x: Tensor, t: Tensor | float) -> Tensor:
        """Log-sum-exp over the components, (B,)."""
        off, v, _, _ = self._whiten(x, t)
        return self._component_log_probs(off, v, self._parameters(x)[3]).logsumexp(1)

    def log_shares(self, x: Tensor, t: Tensor | float) -> Tensor:
        """Logarithms of the components' responsibilities, log p(k | x_t = x), (B, K)."""
        off, v, _, _ = self._whiten(x, t)
        return self._component_log_probs(off, v, self._parameters(x)[3]).log_softmax(1)

    def score(self, x: Tensor, t: Tensor | float) -> Tensor:
        """Responsibility-weighted -V^-1 (x - alpha m), (B, *D)."""
        off, v, _, _ = self._whiten(x, t)
        each = self._turn_back(-off / v, x)
        return (self._responsibilities(x, off, v) * each).sum(1).reshape(x.shape)

    def __call__(self, x: Tensor, t: Tensor | float, cond: Cond = None) -> Prediction:
        """v of the whole mixture; see `ScoreModel`."""
        off, v, alpha, sigma = self._whiten(x, t)
        means, variances, _, _ = self._parameters(x)
        # alpha eps - sigma x0 = alpha sigma V^-1 off - sigma (m + alpha C V^-1 off)
        each = self._turn_back(alpha * sigma * (1 - variances) / v * off, x) - sigma * means
        value = (self._responsibilities(x, off, v) * each).sum(1).reshape(x.shape)
        a, s = self._perturbation.scales(t, x)
        return Prediction(x, a, s, v=value, rates=rates_at(self._perturbation, t, x))

    def draw(self, n: int, noise: Noise) -> Tensor:
        """Independent draws of the data, float64, (n, *D)."""
        d = self.means.shape[1]
        u = noise.uniform(torch.empty(n, dtype=torch.float64))
        k = torch.searchsorted(self.weights.cumsum(0), u).clamp(max=len(self.weights) - 1)
        z = noise(torch.empty(n, d, dtype=torch.float64)) * self._variances[k].sqrt()
        if self._basis is not None:
            z = torch.einsum("nj,nij->ni", z, self._basis[k])
        return (self.means[k] + z).reshape(n, *self.event_shape)


class Gaussian(Mixture):
    """Normally distributed data; its probability-flow map is known too.

    Args:
        perturbation: The perturbation that it is seen through.
        mean: *D.
        covariance: () for one variance, (numel,) for a diagonal, (numel, numel) for a full matrix.
    """

    def __init__(self, perturbation: Perturbation, mean: Tensor, covariance: Tensor) -> None:
        super().__init__(perturbation, torch.ones(1), mean.unsqueeze(0), covariance.unsqueeze(0))

    @property
    def mean(self) -> Tensor:
        """Mean of the data, (numel,), float64."""
        return self.means[0]

    @property
    def covariance(self) -> Tensor:
        """Covariance of the data, (numel, numel), float64."""
        return self._covariance(self._variances[0])

    def marginal(self, t: float) -> tuple[Tensor, Tensor]:
        """Mean (numel,) and covariance (numel, numel) of x_t, float64."""
        alpha, sigma = self._perturbation.scales(t, self.means)
        return alpha * self.mean, self._covariance(alpha**2 * self._variances[0] + sigma**2)

    def _covariance(self, variances: Tensor) -> Tensor:
        return variances.diag() if self._basis is None else self._basis[0] * variances @ self._basis[0].T

    def flow(self, x: Tensor, t: float, s: float) -> Tensor:
        """Carry `x`, (B, *D), along the probability-flow ODE from time `t` to time `s`.

        In the eigenbasis of C, (y - alpha_t m) / sqrt(V_t) is constant in time.
        """
        off, v, _, _ = self._whiten(x, t)
        a_s, s_s = self._perturbation.scales(s, x)
        means, variances, _, _ = self._parameters(x)
        y = off * ((a_s**2 * variances + s_s**2) / v).sqrt()
        return (self._turn_back(y, x).sum(1) + a_s * means[0]).reshape(x.shape)


class Empirical(Mixture):
    """The law of a finite data set, each example with the same weight: what a model learns that has memorised it.

    Args:
        perturbation: The perturbation that it is seen through.
        data: Examples, (N, *D).
    """

    def __init__(self, perturbation: Perturbation, data: Tensor) -> None:
        n = data.shape[0]
        super().__init__(perturbation, torch.ones(n), data, torch.zeros(n))


class PointMass(Empirical):
    """A single example: every trajectory ends there.

    Args:
        perturbation: The perturbation that it is seen through.
        point: The example, *D.
    """

    def __init__(self, perturbation: Perturbation, point: Tensor) -> None:
        super().__init__(perturbation, point.unsqueeze(0))
