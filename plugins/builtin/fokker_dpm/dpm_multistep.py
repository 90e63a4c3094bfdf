"""DPM-Solver and DPM-Solver++, multistep."""

from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt
from torch import Tensor

from fokker.component import component
from fokker.perturbation import Perturbation
from fokker.sampler import Claims
from fokker_dpm.integrals import Predicted
from fokker_dpm.multistep import REACH, Multistep, Step, Weigh, plan
from fokker_dpm.published import Published

__all__ = ["DPMSolver2M", "DPMSolver3M", "Form"]

Form = Literal["exact", "published"]
"""The exact integrals, or the formulas of the source's code."""


@component
class DPMSolver2M(Multistep):
    """DPM-Solver++(2M): the last two x0, linear in log-SNR (Lu et al., 2022, DPM-Solver++, algorithm 2).

        x_s = sigma_s / sigma_t x_t + alpha_s int exp(ell - ell_s) (m_0 + (ell - ell_t) (m_0 - m_1) / h_0) d ell
        published:  ... + alpha_s (1 - exp(-h)) (m_0 + (m_0 - m_1) h / (2 h_0))

    Args:
        form: Whether the integral is exact, and the first step made again with the prediction at its end; or as
            printed, which replaces ell by its middle.
        prediction: `x0` is DPM-Solver++, `eps` the multistep DPM-Solver.
        lower_order_final: Grids of fewer steps than this end by a step of order 1; the source has 10, diffusers 15.
        reach: Largest ratio of a step to the gap that it extrapolates from; beyond it, in log-SNR, the order is
            lowered.
    """

    nodes: ClassVar[int] = 2

    form: Form = "exact"
    prediction: Literal["x0", "eps"] = "x0"
    lower_order_final: Annotated[int, Ge(0)] = 0
    reach: Annotated[float, Gt(0)] = REACH

    @property
    def claims(self) -> Claims:
        """Order 2 or 3; the printed form of the latter is of order 2, which in eps settles too late to be claimed."""
        printed = 1 if self.nodes == 3 and self.prediction == "eps" else 2
        order = printed if self.form == "published" else self.nodes
        return Claims(order=order, schedule_invariant=True, exact_on_point_mass=True)

    @property
    def predicts(self) -> Predicted:
        """The field `prediction`."""
        return self.prediction

    def steps(self, p: Perturbation, grid: Tensor) -> list[Step]:
        """See `Multistep.steps`."""
        ends_lower = len(grid) - 1 < self.lower_order_final
        if self.form == "published":
            return plan(p, grid, Published(self.prediction, "log-snr"), self.nodes, self.reach, ends_lower)
        weigh = Weigh(self.prediction, "log-snr")
        return plan(p, grid, weigh, self.nodes, self.reach, ends_lower, again=weigh, corrected=self.nodes - 1)


@component
class DPMSolver3M(DPMSolver2M):
    """DPM-Solver++(3M): the last three x0, quadratic in log-SNR (Lu et al., 2022, DPM-Solver++, in its code).

        x_s = sigma_s / sigma_t x_t + alpha_s int exp(ell - ell_s) P(ell) d ell,    P through m_0, m_1, m_2

    The printed form has half of the second difference that the integral has, and is of order 2: see the errata.

    Args:
        form: Whether the integral is exact, and the first steps made again with the predictions at their ends; or that
            of the source's code.
        prediction: `x0` is DPM-Solver++, `eps` the multistep DPM-Solver.
        lower_order_final: Grids of fewer steps than this end by steps of orders 2 and 1; the source has 10,
            diffusers 15.
        reach: Largest ratio of a step to the gaps that it extrapolates from; beyond it, in log-SNR, the order is
            lowered.
    """

    nodes: ClassVar[int] = 3
