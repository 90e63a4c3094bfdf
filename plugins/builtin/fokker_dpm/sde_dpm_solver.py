"""SDE-DPM-Solver++, multistep."""

from typing import Annotated

from annotated_types import Ge, Gt, Interval
from torch import Tensor

from fokker.component import component
from fokker.perturbation import Perturbation
from fokker.sampler import Claims
from fokker_dpm.dpm_multistep import Form
from fokker_dpm.integrals import Predicted
from fokker_dpm.multistep import REACH, Multistep, Step, Weigh, plan
from fokker_dpm.published import Published

__all__ = ["SDEDPMSolver"]


@component
class SDEDPMSolver(Multistep):
    """SDE-DPM-Solver++ on the reverse SDE, any share of its noise (Lu et al., 2022, DPM-Solver++).

        x_s = sigma_s / sigma_t exp(-eta^2 h) x_t + alpha_s int kappa exp(kappa (ell - ell_s)) x0 d ell
              + sigma_s sqrt(1 - exp(-2 eta^2 h)) z,    kappa = 1 + eta^2

    x0 is a polynomial in log-SNR through its last `order` values. It moves with the noise within a step, of which it
    knows the noise of the step before only: the weak order is at most 2.

    Args:
        eta: 1 is the reverse SDE, 0 the probability flow; k-diffusion's eta is the square of this one.
        order: Number of predictions in a step.
        form: Whether the integrals are exact, or those that are printed.
        lower_order_final: Grids of fewer steps than this end by lower orders; diffusers has 15.
        reach: Largest ratio of a step to the gaps that it extrapolates from; beyond it, in log-SNR, the order is
            lowered.
    """

    eta: Annotated[float, Ge(0)] = 1.0
    order: Annotated[int, Interval(ge=1, le=3)] = 2
    form: Form = "exact"
    lower_order_final: Annotated[int, Ge(0)] = 0
    reach: Annotated[float, Gt(0)] = REACH

    @property
    def claims(self) -> Claims:
        """The order on the probability flow without noise, weak order up to 2 with it."""
        flow = min(self.order, 2) if self.form == "published" else self.order
        return Claims(
            order=None if self.eta else flow,
            weak_order=min(self.order, 2) if self.eta else None,
            stochastic=self.eta > 0,
            schedule_invariant=True,
            exact_on_point_mass=True,
        )

    @property
    def predicts(self) -> Predicted:
        """x0."""
        return "x0"

    def steps(self, p: Perturbation, grid: Tensor) -> list[Step]:
        """See `Multistep.steps`."""
        weigh = (Published if self.form == "published" else Weigh)("x0", "log-snr", self.eta**2)
        return plan(p, grid, weigh, self.order, self.reach, len(grid) - 1 < self.lower_order_final)
