"""Linear multistep."""

from typing import Annotated

from annotated_types import Gt, Interval
from torch import Tensor

from fokker.component import component
from fokker.perturbation import Perturbation
from fokker.sampler import Claims
from fokker_dpm.integrals import Predicted
from fokker_dpm.multistep import REACH, Multistep, Start, Step, Weigh, plan

__all__ = ["LMS"]


@component
class LMS(Multistep):
    """Adams-Bashforth with any steps in s = sigma / alpha (Hairer et al., 1993, ch. III.5; k-diffusion's `sample_lms`).

        y = x / alpha,    dy/ds = eps,    y_s = y_t + sum_j eps_j int L_j(s) ds

    Args:
        order: Number of predictions in a step.
        reach: Largest ratio of a step to the gaps between the levels that it extrapolates from; beyond it, in s, the
            order is lowered.
        start: `corrected` makes the first steps, whose orders are low, again with the predictions at their ends, which
            costs no evaluation; `plain` leaves them.
    """

    order: Annotated[int, Interval(ge=1, le=4)] = 4
    reach: Annotated[float, Gt(0)] = REACH
    start: Start = "corrected"

    @property
    def claims(self) -> Claims:
        """Its order, as far as the first steps have it."""
        return Claims(
            order=min(self.order, 3 if self.start == "corrected" else 2),
            schedule_invariant=True,
            exact_on_point_mass=True,
        )

    @property
    def predicts(self) -> Predicted:
        """eps."""
        return "eps"

    def steps(self, p: Perturbation, grid: Tensor) -> list[Step]:
        """See `Multistep.steps`."""
        weigh = Weigh("eps", "sigma")
        again = weigh if self.start == "corrected" else None
        return plan(p, grid, weigh, self.order, self.reach, again=again, corrected=self.order)
