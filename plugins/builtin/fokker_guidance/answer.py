"""Predictions that were changed by what is known of the data.

A change of the expected data and a change of the score are one thing: with x = alpha x0 + sigma eps,

    delta eps = -(alpha / sigma) delta x0 = -sigma delta score
"""

from collections.abc import Callable, Mapping
from math import inf

import torch
from torch import Tensor

from fokker.errors import ConfigError, SingularError
from fokker.exact import Gaussian
from fokker.jacobian import leaf, pull_back, twice_differentiable
from fokker.model import ScoreModel
from fokker.perturbation import Perturbation, Scale
from fokker.prediction import Prediction
from fokker_guidance.operators import Operator

__all__ = ["Guided", "conditioned", "moved", "noiseless", "relative_noise", "steered", "with_gradient", "without"]

Cond = Mapping[str, Tensor] | None


class Guided(ScoreModel):
    """A model around a model; subclasses write `__call__`, and `known_part` where they know a part exactly."""

    exact: bool = False
    """Whether it knows a part of each example exactly."""

    def __init__(self, model: ScoreModel) -> None:
        self.model = model

    @property
    def imputes(self) -> bool:
        """Whether it, or a model inside, knows a part of each example exactly."""
        return self.exact or (isinstance(self.model, Guided) and self.model.imputes)

    def impute(self, x: Tensor, t: Tensor | float, z: Tensor, cond: Cond) -> Tensor:
        """The state with every known part replaced by that of alpha y + sigma z.

        Args:
            x: The state, (B, *D).
            t: Its time.
            z: Standard normal numbers, (B, *D).
            cond: The conditions of the call.
        """
        if isinstance(self.model, Guided):
            x = self.model.impute(x, t, z, cond)
        if not self.exact:
            return x
        alpha, sigma = self.perturbation.scales(t, x)
        return x + self.known_part(alpha, sigma * z - x, cond)

    def known_part(self, alpha: Scale, off: Tensor, cond: Cond) -> Tensor:
        """The part of alpha y + off that is known, (B, *D), of any `off` (B, *D)."""
        raise NotImplementedError

    @property
    def perturbation(self) -> Perturbation:
        """That of the model inside."""
        return self.model.perturbation


def without(cond: Cond, name: str) -> tuple[dict[str, Tensor], Cond]:
    """Conditions whose names begin with `name`, without that beginning, and the others for the model inside.

    Raises:
        ConfigError: If there are none of that name.
    """
    own = {key[len(name) :]: value for key, value in (cond or {}).items() if key.startswith(name)}
    if not own:
        raise ConfigError(
            "A model that is guided by a measurement is called with it; add what `Guidance.conditions` gives to `cond`."
        )
    return own, {key: value for key, value in (cond or {}).items() if not key.startswith(name)} or None


def moved(q: Prediction, change: Tensor) -> Prediction:
    """The prediction with its expected data changed by `change`, (B, *D).

    It is told as v, which exists at both ends; where there is no noise, as the expected data, since no noise explains
    the change.
    """
    if q.sigma == 0 if isinstance(q.sigma, float) else bool((q.sigma == 0).any()):
        return Prediction(q.x, q.alpha, q.sigma, x0=q.x0 + change, rates=q.rates, log_var=q.log_var)
    v = q.v - (q.sigma + q.alpha**2 / q.sigma) * change
    return Prediction(q.x, q.alpha, q.sigma, v=v, rates=q.rates, log_var=q.log_var)


def steered(q: Prediction, x: Tensor, slope: Tensor) -> Prediction:
    """The prediction with `slope`, (B, *D), added to its score."""
    return Prediction(x, q.alpha, q.sigma, eps=q.eps - q.sigma * slope, rates=q.rates, log_var=q.log_var)


def noiseless(p: Perturbation, t: Tensor | float, x: Tensor) -> bool:
    """Whether there is no noise, so that the data is its own state and no slope of a likelihood can move it.

    Raises:
        SingularError: If there is none for some examples alone.
    """
    _, sigma = p.scales(t, x)
    if isinstance(sigma, float):
        return sigma == 0
    none = sigma == 0
    if bool(none.any()) and not bool(none.all()):
        raise SingularError("A likelihood has no slope where sigma = 0; end the grid before t = 0.")
    return bool(none.all())


def with_gradient(
    model: ScoreModel,
    x: Tensor,
    t: Tensor | float,
    cond: Cond,
    slope: Callable[[Prediction, Callable[[Tensor], Tensor]], Tensor],
) -> tuple[Prediction, Tensor]:
    """A prediction, and what is made of products J^T v with J = d x0 / d x, through the network.

    It works under `torch.no_grad`; where gradients are on, the result can be differentiated again, so that guidances
    can be stacked.

    Args:
        model: The model.
        x: The state, (B, *D); left alone.
        t: See `ScoreModel`.
        cond: See `ScoreModel`.
        slope: Gives what is wanted, (B, *D), from the prediction and the map from v to J^T v, both (B, *D).

    Raises:
        ConfigError: If the model's answer has no gradient.
    """
    again = torch.is_grad_enabled()
    with twice_differentiable():
        at = x if again and x.requires_grad else leaf(x)
        q = model(at, t, cond)
        x0 = q.x0  # derived once, so that all products go through one graph
        if not x0.requires_grad:
            raise ConfigError(
                "This guidance takes the gradient of the model's answer in its state, and this model gives none; use "
                "'linear', or 'posterior' with at=state, which need none."
            )

        def back(v: Tensor) -> Tensor:
            return pull_back(x0, at, v if again else v.detach(), create_graph=again)

        found = slope(q, back)
        if not again:
            q = Prediction(x, q.alpha, q.sigma, eps=q.eps.detach(), rates=q.rates, log_var=q.log_var)
    return q, found if again else found.detach()


def relative_noise(q: Prediction, noise: float, data_std: float) -> Scale:
    """s^2 / r_t^2: the variance of a measurement over that of the data given x.

        r_t^2 = sigma^2 d^2 / (sigma^2 + alpha^2 d^2)

    which is exact for data N(m, d^2 I).

    Args:
        q: The prediction, for its alpha and sigma.
        noise: s, at least 0.
        data_std: d.
    """
    if noise == 0:
        return 0.0
    if isinstance(q.sigma, float) and q.sigma == 0:
        return inf
    return noise**2 * (data_std**-2 + (q.alpha / q.sigma) ** 2)


def conditioned(prior: Gaussian, a: Operator, y: Tensor, shift: Tensor, scale: Tensor, noise: float) -> Gaussian:
    """The law of Gaussian data of which A (shift + scale u) + n was measured, n ~ N(0, noise^2 I).

    Args:
        prior: The data, in the model's units.
        a: The operator.
        y: What was measured, (m,).
        shift: See `fokker_guidance.units`, *D.
        scale: Likewise.
        noise: Standard deviation of the error, at least 0.
    """
    mean, covariance = prior.mean, prior.covariance
    rows = a.matrix() * scale.double().flatten()
    residual = y.double() - a(shift.double().unsqueeze(0)).flatten() - rows @ mean
    gram = rows @ covariance @ rows.T + noise**2 * torch.eye(len(rows), dtype=torch.float64)
    gain = covariance @ rows.T @ torch.linalg.pinv(gram, hermitian=True)
    left = covariance - gain @ rows @ covariance
    # rounding must not make the variance of what is known negative
    values, vectors = torch.linalg.eigh((left + left.T) / 2)
    left = vectors * values.clamp(min=0) @ vectors.T
    return Gaussian(prior.perturbation, (mean + gain @ residual).reshape(prior.event_shape), left)
