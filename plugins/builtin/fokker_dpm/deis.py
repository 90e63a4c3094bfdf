"""Diffusion exponential integrator sampler."""

from typing import Annotated

from annotated_types import Gt, Interval
from torch import Tensor

from fokker.component import component
from fokker.perturbation import Perturbation
from fokker.sampler import Claims
from fokker_dpm.integrals import Predicted
from fokker_dpm.multistep import REACH, Multistep, Start, Step, Weigh, plan

__all__ = ["DEIS"]


@component
class DEIS(Multistep):
    """tAB-DEIS: eps as a polynomial in the time (Zhang & Chen, 2023, eq. 14 and 15).

        x_s = alpha_s / alpha_t x_t + alpha_s sum_j eps_j int L_j(t) d(sigma / alpha)

    Args:
        order: Number of predictions in a step; the source counts from 0.
        reach: Largest ratio of a step to the gaps between the times that it extrapolates from; beyond it the order is
            lowered.
        start: `corrected` makes the first steps, whose orders are low, again with the predictions at their ends, which
            costs no evaluation; `plain` leaves them.
    """

    order: Annotated[int, Interval(ge=1, le=4)] = 3
    reach: Annotated[float, Gt(0)] = REACH
    start: Start = "corrected"

    @property
    def claims(self) -> Claims:
        """Its order, as far as the first steps have it."""
        return Claims(order=min(self.order, 3 if self.start == "corrected" else 2), exact_on_point_mass=True)

    @property
    def predicts(self) -> Predicted:
        """eps."""
        return "eps"

    def steps(self, p: Perturbation, grid: Tensor) -> list[Step]:
        """See `Multistep.steps`."""
        weigh = Weigh("eps", "t")
        again = weigh if self.start == "corrected" else None
        return plan(p, grid, weigh, self.order, self.reach, again=again, corrected=self.order)
