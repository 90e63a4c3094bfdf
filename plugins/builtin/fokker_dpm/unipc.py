"""The unified predictor-corrector."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Interval
from torch import Tensor

from fokker.component import component
from fokker.model import ScoreModel
from fokker.noise import Noise
from fokker.perturbation import Perturbation
from fokker.sampler import Claims, State
from fokker_dpm.integrals import Levels, Predicted, total
from fokker_dpm.multistep import REACH, Multistep, Step, Weigh, combine, plan, predicted_by

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
        """One more than that of the predictor, and an evaluation a step."""
        return Claims(order=self.order + 1, schedule_invariant=True, exact_on_point_mass=True)

    @property
    def predicts(self) -> Predicted:
        """The field `prediction`."""
        return self.prediction

    def steps(self, p: Perturbation, grid: Tensor) -> list[Step]:
        """The predictor's steps; see `Multistep.steps`."""
        ends_lower = len(grid) - 1 < self.lower_order_final
        return plan(p, grid, _Halved(self.prediction, self.variant), self.order, self.reach, ends_lower)

    def corrections(self, p: Perturbation, grid: Tensor, steps: list[Step]) -> list[Step]:
        """The corrector's steps, one for each step of the predictor but the last; `m` begins with the new node."""
        levels = Levels.at(p, grid)
        weigh = _Halved(self.prediction, self.variant, corrects=True)
        found = []
        for k, step in enumerate(steps[:-1]):
            start, end = torch.tensor([k]), torch.tensor([k + 1])
            nodes = torch.tensor([[k + 1, *(k - j for j in range(len(step.m)))]])
            usable = bool(levels.ell[nodes].isfinite().all()) and float(levels.ell[k + 1] - levels.ell[k]) > 1e-12
            m = tuple(weigh(levels, start, end, nodes)[0].tolist()) if usable else ()
            found.append(Step(step.x, m))
        return found

    def trajectory(
        self, model: ScoreModel, x: Tensor, grid: Tensor, noise: Noise, cond: Mapping[str, Tensor] | None = None
    ) -> Iterator[State]:
        """See `Sampler.trajectory`."""
        steps = self.steps(model.perturbation, grid)
        corrections = self.corrections(model.perturbation, grid, steps)
        times: list[float] = grid.tolist()
        longest = max((len(step.m) for step in steps), default=1) + 1
        history: list[Tensor] = []
        yield State(times[0], x)
        before = x
        for k, step in enumerate(steps):
            q = model(x, times[k], cond)
            history = [predicted_by(q, self.prediction), *history[: longest - 1]]
            if k and corrections[k - 1].m:
                x = combine(before, corrections[k - 1].x, corrections[k - 1].m, history)
            before = x
            x = combine(x, step.x, step.m, [q.x0] if step.from_x0 else history)
            yield State(times[k + 1], x)


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
