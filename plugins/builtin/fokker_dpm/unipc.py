"""The unified predictor-corrector."""

from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Interval
from torch import Tensor

from fokker.component import component
from fokker.perturbation import Perturbation
from fokker.sampler import Claims
from fokker_dpm.integrals import Levels, Predicted, total
from fokker_dpm.multistep import REACH, Multistep, Step, Weigh, plan

__all__ = ["UniPC"]


@component
class UniPC(Multistep):
    """UniPC: a multistep predictor, corrected by the evaluation that the next step needs anyway (Zhao et al., 2023).

        predictor   x'_s = c x_t + sum_j w_j m_j             nodes at t and before (algorithm 2)
        corrector   x_s  = c x_t + w'_s m(x'_s) + sum_j w'_j m_j    and at s, where the next step starts (algorithm 1)

    Solving the source's systems for any number of nodes gives the exact integrals, from which B(h) drops out. It stays
    where the source takes 1/2 for the solution: of two nodes in the predictor, and of one and the new one in the
    corrector, with B(h) = h (`bh1`) or the integral of the kernel (`bh2`). Each step costs one evaluation. The states
    that it yields are predicted ones, the last one too.

    Args:
        order: Number of nodes of the predictor; the corrector has one more, and the method its order.
        variant: The exact integrals, or the source's 1/2 with one of its B(h).
        prediction: What is interpolated, in log-SNR.
        lower_order_final: Grids of fewer steps than this end by lower orders; the source always does.
        reach: Largest ratio of a step to the gaps between the levels that it extrapolates from; beyond it, in log-SNR,
            the order is lowered.
    """

    order: Annotated[int, Interval(ge=1, le=5)] = 2
    variant: Literal["exact", "bh1", "bh2"] = "bh2"
    prediction: Literal["x0", "eps"] = "x0"
    lower_order_final: Annotated[int, Ge(0)] = 0
    reach: Annotated[float, Gt(0)] = REACH

    @property
    def claims(self) -> Claims:
        """One more than that of the predictor, as far as the first steps have it."""
        return Claims(order=min(self.order + 1, 3), schedule_invariant=True, exact_on_point_mass=True)

    @property
    def predicts(self) -> Predicted:
        """The field `prediction`."""
        return self.prediction

    def steps(self, p: Perturbation, grid: Tensor) -> list[Step]:
        """See `Multistep.steps`."""
        ends_lower = len(grid) - 1 < self.lower_order_final
        predictor = _Halved(self.prediction, self.variant)
        corrector = _Halved(self.prediction, self.variant, corrects=True)
        return plan(p, grid, predictor, self.order, self.reach, ends_lower, again=corrector)


class _Halved(Weigh):
    """The exact weights, with 1/2 for two nodes in `bh1` and `bh2`."""

    def __init__(self, predicted: Predicted, variant: str, corrects: bool = False) -> None:
        super().__init__(predicted, "log-snr")
        self.variant, self.corrects = variant, corrects

    def __call__(self, levels: Levels, start: Tensor, end: Tensor, nodes: Tensor) -> Tensor:
        if self.variant == "exact" or nodes.shape[1] != 2:
            return super().__call__(levels, start, end, nodes)
        first = total(levels, self.predicted, start, end)
        h = levels.ell[end] - levels.ell[start]
        half = first / 2
        if self.variant == "bh1":
            scale = levels.alpha[end] if self.predicted == "x0" else -levels.sigma[end]
            half = scale * h / 2
        if self.corrects:
            return torch.stack([half, first - half], dim=1)
        half = half * h / (levels.ell[nodes[:, 0]] - levels.ell[nodes[:, 1]])
        return torch.stack([first + half, -half], dim=1)
