"""Measurements by linear operators, through the gradient of the network."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

from annotated_types import Ge, Gt
from torch import Tensor

from fokker.component import component
from fokker.exact import Gaussian
from fokker.guidance import Guidance, GuidanceClaims, Subject
from fokker.model import ScoreModel
from fokker.prediction import Prediction
from fokker_guidance.answer import relative_noise, steered, with_gradient
from fokker_guidance.linear import Measured, residual
from fokker_guidance.measurement import law, measured
from fokker_guidance.operators import Operator, operator
from fokker_guidance.values import Values

__all__ = ["DPS", "PiGDM"]


@component
class PiGDM(Guidance):
    """Pseudo-inverse guidance by a linear measurement y = A x + n (Song et al., 2023, eq. 7).

        score + J^T A^T (r_t^2 A A^T + s^2 I)^+ (y - A x0),    J = d x0 / d x,
        r_t^2 = sigma^2 d^2 / (sigma^2 + alpha^2 d^2)

    the gradient of log N(y; A x0, r_t^2 A A^T + s^2 I) with the spread of the data given x taken as r_t^2 in every
    direction. It is exact for data N(m, d^2 I). One evaluation with its gradient: about three times the time of one,
    and the memory of training. The source multiplies the gradient by a weight of its own where s = 0, r_t^2 in place
    of its reciprocal's scale; here it is what Bayes' rule gives.

    Args:
        operator: What is measured; as in `linear`.
        values: What was measured; as in `linear`.
        noise: Standard deviation s of the error, in the data's own units.
        data_std: Standard deviation d of the data in the model's units.
    """

    operator: str = "identity"
    values: Values = "test"
    noise: Annotated[float, Ge(0)] = 0.5
    data_std: Annotated[float, Gt(0)] = 1.0

    @property
    def claims(self) -> GuidanceClaims:
        """One evaluation, with its gradient; the bias is that of the kit's example, whose variances are not d^2."""
        return GuidanceClaims(bias=0.6)

    def conditions(self, subject: Subject, index: Sequence[int]) -> Mapping[str, Tensor]:
        """See `fokker_guidance.measurement.measured`."""
        a = operator(self.operator, subject.spec.event_shape)
        return measured(f"{self!r}.", a, self.values, self.noise, subject, index)

    def wrap(self, model: ScoreModel) -> ScoreModel:
        """The model with the gradient added to its score."""
        noise, data_std = self.noise, self.data_std

        def push(a: Operator, mine: Mapping[str, Tensor], q: Prediction) -> Tensor:
            # (r^2 A A^T + s^2)^-1 = (A A^T + s^2 / r^2)^-1 / r^2
            weight = relative_noise(q, noise, data_std)
            pull = a.pull(residual(a, mine, q.x0), mine["scale"], weight)
            return (data_std**-2 + (q.alpha / q.sigma) ** 2) * pull

        return _Pushed(model, f"{self!r}.", self.operator, push, "PiGDM")

    def law(self, prior: Gaussian, cond: Mapping[str, Tensor] | None = None) -> Gaussian:
        """The exact posterior given the first sample's measurement."""
        return law(f"{self!r}.", self.operator, self.noise, prior, cond)


@component
class DPS(Guidance):
    """Diffusion posterior sampling by a linear measurement y = A x + n (Chung et al., 2023, eq. 16).

        score - w d |y - A x0|^2 / (2 s^2) / dx,    x0 = E[data | x] through the network

    p(y | x) is taken as p(y | x0): the spread of the data given x is left out, so that at high noise the measurement
    counts for more than it says, by 1 + r_t^2 / s^2 of `pigdm`; the less noise it has, the more steps are needed.
    The source's step, a constant over |y - A x0| for each update, depends on the number of steps; here the weight is
    one on the score, 1 by Bayes' rule. One evaluation with its gradient.

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
        return GuidanceClaims(neutral={"weight": 0.0}, bias=0.6)

    def conditions(self, subject: Subject, index: Sequence[int]) -> Mapping[str, Tensor]:
        """See `fokker_guidance.measurement.measured`."""
        a = operator(self.operator, subject.spec.event_shape)
        return measured(f"{self!r}.", a, self.values, self.noise, subject, index)

    def wrap(self, model: ScoreModel) -> ScoreModel:
        """The model with the gradient added to its score."""
        factor = self.weight / self.noise**2

        def push(a: Operator, mine: Mapping[str, Tensor], q: Prediction) -> Tensor:
            return factor * mine["scale"] * a.adjoint(residual(a, mine, q.x0))

        return _Pushed(model, f"{self!r}.", self.operator, push, "DPS")

    def law(self, prior: Gaussian, cond: Mapping[str, Tensor] | None = None) -> Gaussian | None:
        """The exact posterior given the first sample's measurement."""
        return law(f"{self!r}.", self.operator, self.noise, prior, cond)


class _Pushed(Measured):
    def __init__(
        self,
        model: ScoreModel,
        name: str,
        text: str,
        push: Callable[[Operator, Mapping[str, Tensor], Prediction], Tensor],
        method: str,
    ) -> None:
        super().__init__(model, name, lambda shape: operator(text, shape))
        self._push, self._method = push, method

    def __call__(self, x: Tensor, t: Tensor | float, cond: Mapping[str, Tensor] | None = None) -> Prediction:
        a, mine, rest = self.own(x, cond)
        q, slope = with_gradient(self.model, x, t, rest, lambda q: self._push(a, mine, q), self._method)
        return steered(q, x, slope)
