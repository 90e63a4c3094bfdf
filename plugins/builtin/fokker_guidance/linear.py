"""Measurements by linear operators, without gradients of the network."""

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Annotated

from annotated_types import Ge, Gt
from torch import Tensor

from fokker.component import component
from fokker.exact import Gaussian
from fokker.guidance import Guidance, GuidanceClaims, Subject
from fokker.model import ScoreModel
from fokker.perturbation import Scale
from fokker.prediction import Prediction
from fokker_guidance.answer import Guided, moved, relative_noise, without
from fokker_guidance.measurement import law, measured
from fokker_guidance.operators import Operator, operator
from fokker_guidance.values import Values

__all__ = ["Colorize", "Linear", "Measured", "residual"]


@component
class Linear(Guidance):
    """Correct the expected data by a linear measurement y = A x + n (Wang et al., 2023, eq. 17; Song et al., 2023).

        x0 + r_t^2 A^T (r_t^2 A A^T + s^2 I)^+ (y - A x0),    r_t^2 = sigma^2 d^2 / (sigma^2 + alpha^2 d^2)

    which is the mean of the data given x and y if, given x, it is N(x0, r_t^2 I): exact for data N(m, d^2 I), and so
    for any posterior of it. Without noise, s = 0, it is replacement, (I - A^+ A) x0 + A^+ y, of which `inpaint` and
    `colorize` are cases (Song et al., 2021, appendix I). One evaluation, no gradient: the cheapest of its kind, which
    does not use how known and unknown parts go together at a noise level; `pigdm` does.

    Args:
        operator: What is measured, in the data's own units: a file with a matrix (m, numel), `identity` (denoising),
            `average-K` (blocks of K along each axis but the first: superresolution), `grey`, or a region as in
            `inpaint`.
        values: What was measured: `test` or `train`, where it is made from examples, noise included, of which sample i
            gets example i modulo their number; a file; or m numbers.
        noise: Standard deviation s of the error, in the data's own units.
        data_std: Standard deviation d of the data in the model's units.
    """

    operator: str = "identity"
    values: Values = "test"
    noise: Annotated[float, Ge(0)] = 0.5
    data_std: Annotated[float, Gt(0)] = 1.0

    @property
    def claims(self) -> GuidanceClaims:
        """One evaluation; the bias is that of the kit's example, whose variances are not d^2."""
        return GuidanceClaims(bias=0.55 if self == Linear() else inf)

    def conditions(self, subject: Subject, index: Sequence[int]) -> Mapping[str, Tensor]:
        """See `fokker_guidance.measurement.measured`."""
        a = operator(self.operator, subject.spec.event_shape)
        return measured(f"{self!r}.", a, self.values, self.noise, subject, index)

    def wrap(self, model: ScoreModel) -> ScoreModel:
        """The model with its expected data corrected."""
        return _Corrected(model, f"{self!r}.", lambda shape: operator(self.operator, shape), self.noise, self.data_std)

    def law(self, prior: Gaussian, cond: Mapping[str, Tensor] | None = None) -> Gaussian:
        """The exact posterior given the first sample's measurement."""
        return law(f"{self!r}.", self.operator, self.noise, prior, cond)


@component
class Colorize(Guidance):
    """Find the colours of grey pictures by replacement (Song et al., 2021, appendix I.3).

        x0 + A^+ (y - A x0),    A the mean of the channels at each place

    In an orthonormal basis of the channels whose first vector is grey, that is `inpaint` of the first coordinate, which
    is what the source does. As there, it is not the posterior: see `inpaint`. The first axis of an example is that of
    the channels; where the data's transforms scale them differently, the basis is that of the model's units.

    Args:
        values: The grey levels: `test` or `train`, whose examples are turned grey, of which sample i gets example i
            modulo their number; a file; or the numbers, one for each place.
    """

    values: Values = "test"

    @property
    def claims(self) -> GuidanceClaims:
        """One evaluation; the bias is that of the kit's example."""
        return GuidanceClaims(bias=0.8 if self == Colorize() else inf)

    def conditions(self, subject: Subject, index: Sequence[int]) -> Mapping[str, Tensor]:
        """See `fokker_guidance.measurement.measured`."""
        a = operator("grey", subject.spec.event_shape)
        return measured(f"{self!r}.", a, self.values, 0.0, subject, index)

    def wrap(self, model: ScoreModel) -> ScoreModel:
        """The model with the grey level of its expected data replaced."""
        return _Corrected(model, f"{self!r}.", lambda shape: operator("grey", shape), 0.0, 1.0)

    def law(self, prior: Gaussian, cond: Mapping[str, Tensor] | None = None) -> Gaussian:
        """The exact posterior given the first sample's grey levels."""
        return law(f"{self!r}.", "grey", 0.0, prior, cond)


class Measured(Guided):
    """A model that is told a linear measurement under a name.

    Args:
        model: The model inside.
        name: What the names of its conditions begin with.
        make: The operator on examples of a shape.
    """

    def __init__(self, model: ScoreModel, name: str, make: Callable[[tuple[int, ...]], Operator]) -> None:
        super().__init__(model)
        self._name = name
        self._make = make
        self._made: Operator | None = None

    def own(
        self, x: Tensor, cond: Mapping[str, Tensor] | None
    ) -> tuple[Operator, dict[str, Tensor], Mapping[str, Tensor] | None]:
        """The operator, what was measured, and the conditions of the model inside."""
        mine, rest = without(cond, self._name)
        if self._made is None:
            self._made = self._make(tuple(x.shape[1:]))
        return self._made, mine, rest


def residual(a: Operator, mine: Mapping[str, Tensor], x0: Tensor) -> Tensor:
    """y - A x0 in the data's own units, (B, m), of expected data in the model's units, (B, *D)."""
    return mine["y"] - a(mine["shift"] + mine["scale"] * x0)


class _Corrected(Measured):
    def __init__(
        self,
        model: ScoreModel,
        name: str,
        make: Callable[[tuple[int, ...]], Operator],
        noise: float,
        data_std: float,
    ) -> None:
        super().__init__(model, name, make)
        self._noise, self._data_std = noise, data_std
        self.exact = noise == 0

    def __call__(self, x: Tensor, t: Tensor | float, cond: Mapping[str, Tensor] | None = None) -> Prediction:
        a, mine, rest = self.own(x, cond)
        q = self.model(x, t, rest)
        weight = relative_noise(q, self._noise, self._data_std)
        return moved(q, a.pull(residual(a, mine, q.x0), mine["scale"], weight))

    def known_part(self, alpha: Scale, off: Tensor, cond: Mapping[str, Tensor] | None) -> Tensor:
        a, mine, _ = self.own(off, cond)
        each = alpha.reshape(-1, 1) if isinstance(alpha, Tensor) else alpha
        known = each * (mine["y"] - a(mine["shift"]))
        return a.pull(known + a(mine["scale"] * off), mine["scale"], 0.0)
