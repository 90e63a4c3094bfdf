"""Exponential Adams-Bashforth."""

from typing import Annotated

from annotated_types import Gt, Interval
from torch import Tensor

from fokker.component import component
from fokker.perturbation import Perturbation
from fokker.sampler import Claims
from fokker_dpm.integrals import Predicted, Variable
from fokker_dpm.multistep import REACH, Multistep, Start, Step, Weigh, plan

__all__ = ["ExponentialAdams"]


@component
class ExponentialAdams(Multistep):
    """Exponential Adams-Bashforth on the probability flow (Hochbruck & Ostermann, 2010; Zhang & Chen, 2023).

        x_s = c x_t + sum_j w_j m_j,    w_j = int L_j(u) d(kernel),    m = eps, x0 or v

    What is linear is solved exactly, and the prediction is replaced by the polynomial in u through its last `order`
    values; see `fokker_dpm.integrals` for c and the kernels. Order 1 is DDIM, whatever is predicted.

    Args:
        order: Number of predictions in a step, once there are as many.
        prediction: What is interpolated: `eps` bends little near the data, `x0` near the noise.
        variable: The coordinate u of the polynomial.
        reach: Largest ratio of a step to the gaps between the levels that it extrapolates from; beyond it, in u, the
            order is lowered.
        start: `corrected` makes the first steps, whose orders are low, again with the predictions at their ends, which
            costs no evaluation; `plain` leaves them.
    """

    order: Annotated[int, Interval(ge=1, le=4)] = 3
    prediction: Predicted = "eps"
    variable: Variable = "log-snr"
    reach: Annotated[float, Gt(0)] = REACH
    start: Start = "corrected"

    @property
    def claims(self) -> Claims:
        """Its order, as far as the first steps have it; a point mass has constant eps and x0 along each path."""
        return Claims(
            order=min(self.order, 3 if self.start == "corrected" else 2),
            schedule_invariant=self.variable != "t",
            exact_on_point_mass=self.prediction != "v",
        )

    @property
    def predicts(self) -> Predicted:
        """The field `prediction`."""
        return self.prediction

    def steps(self, p: Perturbation, grid: Tensor) -> list[Step]:
        """See `Multistep.steps`."""
        weigh = Weigh(self.prediction, self.variable)
        again = weigh if self.start == "corrected" else None
        return plan(p, grid, weigh, self.order, self.reach, again=again, corrected=self.order)
