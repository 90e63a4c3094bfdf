"""Measurements by linear operators, through the gradient of the network."""

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Annotated, Literal, TypeAlias

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from fokker.component import component
from fokker.errors import ConfigError
from fokker.exact import Gaussian
from fokker.guidance import Guidance, GuidanceClaims, Subject
from fokker.model import ScoreModel
from fokker.prediction import Prediction
from fokker_guidance.answer import noiseless, relative_noise, steered, with_gradient
from fokker_guidance.linear import Measured, residual
from fokker_guidance.measurement import law, measured
from fokker_guidance.operators import Operator, operator
from fokker_guidance.values import Values

__all__ = ["DPS", "PiGDM"]

_Back: TypeAlias = Callable[[Tensor], Tensor]


_FULL = 64
"""How many numbers may be measured where each takes a backward pass of its own."""


@component
class PiGDM(Guidance):
    """Pseudo-inverse guidance by a linear measurement y = A x + n (Song et al., 2023, section 3).

        score + J^T A^T (A C A^T + s^2 I)^+ (y - A x0),    J = d x0 / d x

    the gradient of log N(y; A x0, A C A^T + s^2 I), with C the covariance of the data given x:

        isotropic   C = r_t^2 I,  r_t^2 = sigma^2 d^2 / (sigma^2 + alpha^2 d^2)    exact for data N(m, d^2 I)
        full        C = (sigma^2 / alpha) J                                        exact for all Gaussian data

    The second is what Tweedie's formula gives of second order (Boys et al., 2023), for a backward pass for each
    measured number; `isotropic` is the source's, for one. The source's sampler weighs the gradient once more; here it
    is what Bayes' rule asks for. Of N(0, [[1, .8], [.8, 1]]) with x_1 = 1 measured without noise, of which x_2 is
    N(.8, .36), 100 steps of the reverse SDE of `vp` make N(.76, .35) with `isotropic`.

    Args:
        operator: What is measured; as in `linear`.
        values: What was measured; as in `linear`.
        noise: Standard deviation s of the error, in the data's own units.
        spread: What is taken for the covariance of the data given x.
        data_std: Standard deviation d of the data in the model's units, for `isotropic`.
    """

    operator: str = "identity"
    values: Values = "test"
    noise: Annotated[float, Ge(0)] = 0.5
    spread: Literal["isotropic", "full"] = "isotropic"
    data_std: Annotated[float, Gt(0)] = 1.0

    @property
    def claims(self) -> GuidanceClaims:
        """One evaluation, with its gradient; exact on Gaussian data if `full`."""
        if self.spread == "full":
            return GuidanceClaims(bias=0)
        return GuidanceClaims(bias=0.6 if self == PiGDM() else inf)

    def conditions(self, subject: Subject, index: Sequence[int]) -> Mapping[str, Tensor]:
        """See `fokker_guidance.measurement.measured`."""
        a = operator(self.operator, subject.spec.event_shape)
        return measured(f"{self!r}.", a, self.values, self.noise, subject, index)

    def wrap(self, model: ScoreModel) -> ScoreModel:
        """The model with the gradient added to its score."""
        return _Pushed(model, f"{self!r}.", self.operator, self._full if self.spread == "full" else self._isotropic)

    def law(self, prior: Gaussian, cond: Mapping[str, Tensor] | None = None) -> Gaussian:
        """The exact posterior given the first sample's measurement."""
        return law(f"{self!r}.", self.operator, self.noise, prior, cond)

    def _isotropic(self, a: Operator, mine: Mapping[str, Tensor], q: Prediction, back: _Back) -> Tensor:
        # (r^2 A A^T + s^2)^-1 = (A A^T + s^2 / r^2)^-1 / r^2
        weight = relative_noise(q, self.noise, self.data_std)
        pull = a.pull(residual(a, mine, q.x0), mine["scale"], weight)
        return back((self.data_std**-2 + (q.alpha / q.sigma) ** 2) * pull)

    def _full(self, a: Operator, mine: Mapping[str, Tensor], q: Prediction, back: _Back) -> Tensor:
        if a.size > _FULL:
            raise ConfigError(
                f"PiGDM(spread=full) takes a backward pass for each measured number, at most {_FULL}; {self.operator} "
                f"measures {a.size}. Take 'isotropic'."
            )
        scale, rest = mine["scale"], residual(a, mine, q.x0)
        units = torch.eye(a.size, dtype=rest.dtype, device=rest.device).unsqueeze(1).expand(-1, *rest.shape)
        slopes = torch.stack([back(scale * a.adjoint(unit)) for unit in units], 1)  # (B, m, *D)
        seen = torch.stack([a(scale * slopes[:, i]) for i in range(a.size)], 1)
        factor = torch.as_tensor(q.sigma**2 / q.alpha, dtype=rest.dtype, device=rest.device).reshape(-1, 1, 1)
        gram = factor * (seen + seen.mT) / 2  # a network's J is symmetric only nearly
        if self.noise:
            identity = torch.eye(a.size, dtype=rest.dtype, device=rest.device)
            weights = torch.linalg.solve(gram + self.noise**2 * identity, rest)
        else:
            weights = (torch.linalg.pinv(gram, hermitian=True) @ rest.unsqueeze(-1)).squeeze(-1)
        return torch.einsum("bm,bm...->b...", weights, slopes)


@component
class DPS(Guidance):
    """Diffusion posterior sampling by a linear measurement y = A x + n (Chung et al., 2023, theorem 1).

        score - w d |y - A x0|^2 / (2 s^2) / dx,    x0 = E[data | x] through the network

    p(y | x) is taken as p(y | x0): the spread of the data given x is left out, so that at high noise the measurement
    counts for more than it says, by 1 + r_t^2 / s^2 of `pigdm`. What was measured is met too closely by all that goes
    with it, and the smaller s is, the more steps keep it from diverging. The source's step, a constant over |y - A x0|
    for each update, depends on the number of steps; here the weight is one on the score, 1 by Bayes' rule. One
    evaluation with its gradient.

    Args:
        operator: What is measured; as in `linear`.
        values: What was measured; as in `linear`.
        noise: Standard deviation s of the error, in the data's own units.
        weight: Factor w of the gradient; 0 leaves the model as it is.
    """

    operator: str = "identity"
    values: Values = "test"
    noise: Annotated[float, Gt(0)] = 0.5
    weight: Annotated[float, Ge(0)] = 1.0

    @property
    def claims(self) -> GuidanceClaims:
        """One evaluation, with its gradient; the bias is that of the kit's example."""
        return GuidanceClaims(neutral={"weight": 0.0}, bias=1.2 if self == DPS() else inf)

    def conditions(self, subject: Subject, index: Sequence[int]) -> Mapping[str, Tensor]:
        """See `fokker_guidance.measurement.measured`."""
        a = operator(self.operator, subject.spec.event_shape)
        return measured(f"{self!r}.", a, self.values, self.noise, subject, index)

    def wrap(self, model: ScoreModel) -> ScoreModel:
        """The model with the gradient added to its score."""
        return _Pushed(model, f"{self!r}.", self.operator, self._slope)

    def law(self, prior: Gaussian, cond: Mapping[str, Tensor] | None = None) -> Gaussian:
        """The exact posterior given the first sample's measurement."""
        return law(f"{self!r}.", self.operator, self.noise, prior, cond)

    def _slope(self, a: Operator, mine: Mapping[str, Tensor], q: Prediction, back: _Back) -> Tensor:
        return back(self.weight / self.noise**2 * mine["scale"] * a.adjoint(residual(a, mine, q.x0)))


class _Pushed(Measured):
    def __init__(
        self,
        model: ScoreModel,
        name: str,
        text: str,
        slope: Callable[[Operator, Mapping[str, Tensor], Prediction, _Back], Tensor],
    ) -> None:
        super().__init__(model, name, lambda shape: operator(text, shape))
        self._slope = slope

    def __call__(self, x: Tensor, t: Tensor | float, cond: Mapping[str, Tensor] | None = None) -> Prediction:
        a, mine, rest = self.own(x, cond)
        if noiseless(self.perturbation, t, x):
            return self.model(x, t, rest)
        q, slope = with_gradient(self.model, x, t, rest, lambda q, back: self._slope(a, mine, q, back))
        return steered(q, x, slope)
