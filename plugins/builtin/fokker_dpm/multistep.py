"""What all multistep samplers share: the orders of the steps, their coefficients, and the loop.

    x_{k+1} = c_k x_k + sum_j w_kj m_{k-j} (+ z_k noise)

with the predictions m of this step and of those before. The order rises from 1 as the history fills. It is lowered
where a polynomial would be extrapolated out of proportion, and where the coordinate does not exist at the end.

One first step of order 1 leaves an error of order 2, whatever the order of those that follow. The prediction at its end
is evaluated anyway, and with it the step is made again, by interpolation: its local error is then h^3, that of a method
of order 3. A predictor-corrector does so at every step.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from fokker.model import ScoreModel
from fokker.noise import Noise
from fokker.perturbation import Perturbation
from fokker.prediction import Prediction
from fokker.sampler import Sampler, State, add_noise, by_step
from fokker_dpm.integrals import Levels, Predicted, Variable, decay, total, weights

__all__ = ["REACH", "Multistep", "Start", "Step", "Weigh", "combine", "orders", "plan", "predicted_by"]

REACH = 3.0
"""How many times the shortest of its gaps a polynomial is carried on, unless a sampler is told otherwise."""

Start: TypeAlias = Literal["corrected", "plain"]
"""Whether the first steps, whose orders are low, are made again with the predictions at their ends."""


@dataclass(frozen=True)
class Step:
    """The coefficients of one step.

    Args:
        x: Factor of the state.
        m: Factors of the predictions, the newest first.
        z: Standard deviation of the noise.
        from_x0: Whether `m` counts x0 whatever the sampler predicts, since the step starts at alpha = 0.
        again: Factors of the predictions with which the step before is made again first, the newest being the one
            where this step starts; empty where it stays.
    """

    x: float
    m: tuple[float, ...]
    z: float = 0.0
    from_x0: bool = False
    again: tuple[float, ...] = ()


class Weigh:
    """How a method weighs its nodes; the exact integrals here, a published form in a subclass.

    Args:
        predicted: What is interpolated.
        variable: In which coordinate.
        churn: eta^2, the share of the reverse SDE's noise.
    """

    def __init__(self, predicted: Predicted, variable: Variable, churn: float = 0.0) -> None:
        self.predicted, self.variable, self.churn = predicted, variable, churn

    def __call__(self, levels: Levels, start: Tensor, end: Tensor, nodes: Tensor) -> Tensor:
        """Weights, (n, q); see `fokker_dpm.integrals.weights`."""
        return weights(levels, self.predicted, self.variable, start, end, nodes, 1 + self.churn)


class Multistep(Sampler):
    """A sampler that remembers the predictions of earlier steps, within one trajectory."""

    @property
    @abstractmethod
    def predicts(self) -> Predicted:
        """What of the model's prediction it remembers."""

    @abstractmethod
    def steps(self, p: Perturbation, grid: Tensor) -> list[Step]:
        """The coefficients of all steps of a grid, float64 on the host, (N + 1,)."""

    def trajectory(
        self, model: ScoreModel, x: Tensor, grid: Tensor, noise: Noise, cond: Mapping[str, Tensor] | None = None
    ) -> Iterator[State]:
        """See `Sampler.trajectory`."""
        steps = self.steps(model.perturbation, grid)
        times: list[float] = grid.tolist()
        longest = max((max(len(step.m), len(step.again)) for step in steps), default=1)
        history: list[Tensor] = []
        before = x
        yield State(times[0], x)
        for k, step in enumerate(steps):
            q = model(x, times[k], cond)
            history = [predicted_by(q, self.predicts), *history[: longest - 1]]
            if step.again:
                x = combine(before, steps[k - 1].x, step.again, history)
            before = x
            x = combine(x, step.x, step.m, [q.x0] if step.from_x0 else history)
            if step.z:
                source = noise.final if k == len(steps) - 1 else noise
                x = add_noise(x, step.z, source, times[k], times[k + 1])
            yield State(times[k + 1], x)


def predicted_by(q: Prediction, name: Predicted) -> Tensor:
    """The quantity of a prediction that is remembered."""
    return q.eps if name == "eps" else q.x0 if name == "x0" else q.v


def combine(x: Tensor, c: float, w: Sequence[float], m: Sequence[Tensor]) -> Tensor:
    """c x + sum_j w_j m_j as a new tensor, in one pass for each prediction, and one for x unless c = 1.

    Args:
        x: The state, (B, *D).
        c: Its factor.
        w: Factors of the predictions, at least one.
        m: At least as many predictions, (B, *D) each.
    """
    y = torch.add(x, m[0], alpha=w[0]) if c == 1.0 else torch.mul(x, c).add_(m[0], alpha=w[0])
    for j in range(1, len(w)):
        if w[j]:
            y.add_(m[j], alpha=w[j])
    return y


def orders(u: Tensor, order: int, reach: float = REACH, ends_lower: bool = False) -> list[int]:
    """The number of nodes of each step of a grid.

    The latest prediction, and those before it as long as they are at least 1 / `reach` of the step apart in u: a
    polynomial through close nodes, carried far, has nothing to do with the prediction there (the last step of a grid in
    t is many times longer in log-SNR than the one before). Nodes and ends where u is infinite do not count, so that a
    step to sigma = 0 is of order 1 in log-SNR; it is then the exact x0 step.

    Args:
        u: The coordinate at the levels, (N + 1,).
        order: The most that there may be.
        reach: Largest ratio of a step to the gaps of its nodes.
        ends_lower: Whether the last steps have the orders ..., 2, 1.

    Returns:
        N numbers from 1 to `order`.
    """
    at: list[float] = u.tolist()
    n = len(at) - 1
    found = []
    for k in range(n):
        most = min(order, n - k) if ends_lower else order
        step = abs(at[k + 1] - at[k])
        used = 1
        if isfinite(step):
            for j in range(1, min(most, k + 1)):
                gap = abs(at[k - j + 1] - at[k - j])
                # inf is no node; nor is one within rounding of the next, as where times are repeated
                if gap == inf or gap * reach < step or gap <= 1e-12 * abs(at[k]):
                    break
                used += 1
        found.append(used)
    return found


def plan(
    p: Perturbation,
    grid: Tensor,
    weigh: Weigh,
    order: int,
    reach: float = REACH,
    ends_lower: bool = False,
    again: Weigh | None = None,
    corrected: int | None = None,
) -> list[Step]:
    """The steps of a multistep method down a grid, all of one order at a time.

    Args:
        p: The perturbation.
        grid: Decreasing times, float64 on the host, (N + 1,).
        weigh: What weighs the nodes.
        order: Largest number of nodes.
        reach: See `orders`.
        ends_lower: See `orders`.
        again: What weighs the nodes where a step is made again with the prediction at its end; None for never.
        corrected: How many of the first steps are; all of them where it is None.

    Raises:
        ConfigError: If a coefficient is not finite.
    """
    levels = Levels.at(p, grid)
    n = len(grid) - 1
    start = torch.arange(n)
    end = start + 1
    # x0 is what exists at alpha = 0, and there one step of any method of order 1 is the same
    blank = (levels.alpha[:-1] == 0) & (weigh.predicted == "eps")
    factors = decay(levels, weigh.predicted, start, end, weigh.churn)
    factors = torch.where(blank, decay(levels, "x0", start, end), factors)
    table = torch.zeros(n, order, dtype=torch.float64)
    u = levels.coordinate(weigh.variable)
    used = orders(u, order, reach, ends_lower)
    count = torch.tensor(used)
    for q in sorted(set(used)):
        rows = (count == q).nonzero().flatten()
        nodes = rows.unsqueeze(1) - torch.arange(q)
        table[rows, :q] = weigh(levels, rows, rows + 1, nodes)
    table[blank, 0] = total(levels, "x0", start, end)[blank]
    spread = torch.zeros(n, dtype=torch.float64)
    if weigh.churn:
        # all noise is new where the log-SNR starts or ends infinite
        spread = levels.sigma[1:] * (-torch.expm1(-2 * weigh.churn * (levels.ell[1:] - levels.ell[:-1]))).sqrt()
    named = {"x": factors, "z": spread, **{f"m{j}": table[:, j] for j in range(order)}}
    from_x0 = blank.tolist()
    corrections = _corrections(levels, u, used, again, n if corrected is None else corrected, from_x0)
    return [
        Step(c["x"], tuple(c[f"m{j}"] for j in range(used[k])), c["z"], from_x0[k], corrections[k])
        for k, c in enumerate(by_step(named))
    ]


def _corrections(
    levels: Levels, u: Tensor, used: list[int], again: Weigh | None, most: int, from_x0: list[bool]
) -> list[tuple[float, ...]]:
    """Weights with which the step before each step is made again, through its nodes and the one at its end."""
    n = len(used)
    found: list[tuple[float, ...]] = [()] * n
    if again is None:
        return found
    at: list[float] = u.tolist()
    by_count: dict[int, list[int]] = {}
    for k in range(1, min(n, most + 1)):
        length = abs(at[k] - at[k - 1])
        if 1e-12 * abs(at[k]) < length < inf and not from_x0[k - 1]:
            by_count.setdefault(used[k - 1], []).append(k)
    for q, steps in by_count.items():
        end = torch.tensor(steps)
        nodes = end.unsqueeze(1) - torch.arange(q + 1)
        for k, w in zip(steps, again(levels, end - 1, end, nodes).tolist(), strict=True):
            found[k] = tuple(w)
    return found
