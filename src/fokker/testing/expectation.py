"""Expected losses without Monte Carlo: every draw of an objective is replaced by the nodes of a quadrature.

    E[loss] = sum over x0 and over all draws of weight * loss

First one example is run and its draws are recorded; then one batch holds an example for every combination of nodes. The
four Gauss-Hermite nodes of a normal number integrate polynomials up to the seventh degree exactly, and a loss that is
quadratic in a model that is affine in its state is one of the fourth.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from fokker.model import ScoreModel
from fokker.noise import Noise, Time
from fokker.objective import Objective
from fokker.testing.check import NotApplicable

__all__ = ["Draw", "Expectation", "Handed", "Logged", "Rule", "normal_rule", "product", "rules_of"]

DrawKind = Literal["normal", "uniform", "rademacher"]

_ROWS = 1 << 17
"""Combinations of nodes that are still evaluated."""


@dataclass(frozen=True, eq=False)
class Rule:
    """A quadrature: points and their weights, float64.

    Args:
        points: (N, *D).
        weights: (N,), of sum 1.
    """

    points: Tensor
    weights: Tensor


@dataclass(frozen=True, eq=False)
class Draw:
    """One draw that was asked for.

    Args:
        kind: Of which law.
        value: What was given, (B, *E).
    """

    kind: DrawKind
    value: Tensor

    def again(self, noise: Noise) -> "Draw":
        """Another draw of the same law and shape."""
        match self.kind:
            case "normal":
                value = noise(self.value)
            case "uniform":
                value = noise.uniform(self.value)
            case "rademacher":
                value = noise.rademacher(self.value)
        return Draw(self.kind, value)


class Logged(Noise):
    """Another source whose draws are kept.

    Args:
        noise: The source.
    """

    def __init__(self, noise: Noise) -> None:
        self._noise = noise
        self.draws: list[Draw] = []

    def _log(self, kind: DrawKind, value: Tensor) -> Tensor:
        self.draws.append(Draw(kind, value.clone()))
        return value

    def __call__(self, x: Tensor, t: Time | None = None, s: Time | None = None) -> Tensor:
        """The other source's numbers."""
        return self._log("normal", self._noise(x, t, s))

    def uniform(self, x: Tensor) -> Tensor:
        """The other source's numbers."""
        return self._log("uniform", self._noise.uniform(x))

    def rademacher(self, x: Tensor) -> Tensor:
        """The other source's numbers."""
        return self._log("rademacher", self._noise.rademacher(x))

    def rows(self, index: Tensor) -> Noise:
        """Not to be had: draws are kept in the order of the whole batch's."""
        raise TypeError("Draws for some rows of a batch cannot be kept.")


class Handed(Noise):
    """Draws that were made beforehand, in the order in which they are asked for.

    Args:
        draws: The draws; what is asked for must be of the same kinds and shapes.
    """

    def __init__(self, draws: Sequence[Draw]) -> None:
        self._draws = iter(draws)

    def _next(self, kind: DrawKind, x: Tensor) -> Tensor:
        draw = next(self._draws, None)
        if draw is None or draw.kind != kind or draw.value.shape != x.shape:
            there = "nothing" if draw is None else f"{draw.kind} numbers {tuple(draw.value.shape)}"
            raise ValueError(f"{kind} numbers {tuple(x.shape)} were asked for where it drew {there} before")
        return draw.value.to(x.dtype)

    def __call__(self, x: Tensor, t: Time | None = None, s: Time | None = None) -> Tensor:
        """The next draw."""
        return self._next("normal", x)

    def uniform(self, x: Tensor) -> Tensor:
        """The next draw."""
        return self._next("uniform", x)

    def rademacher(self, x: Tensor) -> Tensor:
        """The next draw."""
        return self._next("rademacher", x)

    def rows(self, index: Tensor) -> Noise:
        """Not to be had: the draws are the whole batch's."""
        raise TypeError("Draws that were made beforehand cannot serve some rows of a batch.")


def normal_rule(nodes: int) -> Rule:
    """Gauss-Hermite quadrature of a standard normal number: exact for polynomials of degree 2 nodes - 1."""
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    return Rule(torch.from_numpy(points), torch.from_numpy(weights / weights.sum()))


def product(rules: Sequence[Rule]) -> Rule:
    """The rule of independent numbers, points (N, k), for k rules of one number each.

    Raises:
        NotApplicable: If there are too many combinations.
    """
    sizes = [len(r.weights) for r in rules]
    if prod(sizes) > _ROWS:
        raise NotApplicable(
            f"a loss takes {len(rules)} random numbers, too many to go through all their combinations; check it with "
            "fewer draws"
        )
    index = torch.cartesian_prod(*(torch.arange(n) for n in sizes)).reshape(-1, len(rules)).unbind(1)
    points = torch.stack([r.points[i] for r, i in zip(rules, index, strict=True)], 1)
    weights = torch.stack([r.weights[i] for r, i in zip(rules, index, strict=True)]).prod(0)
    return Rule(points, weights)


def rules_of(draw: Draw, nodes: int) -> list[Rule]:
    """A rule for each number that one example draws."""
    match draw.kind:
        case "normal":
            rule = normal_rule(nodes)
        case "rademacher":
            rule = Rule(torch.tensor([-1.0, 1.0], dtype=torch.float64), torch.full((2,), 0.5, dtype=torch.float64))
        case "uniform":
            points, weights = np.polynomial.legendre.leggauss(nodes)
            rule = Rule(torch.from_numpy((points + 1) / 2), torch.from_numpy(weights / 2))
    return [rule] * draw.value[0].numel()


class Expectation:
    """The expected loss of any model at one time, over the data and over all that an objective draws.

    Args:
        objective: The objective.
        t: The time.
        numbers: Rules of the numbers that the data is made of.
        data: Makes examples (N, *D) of such numbers (N, k).
        draws: What the objective draws for one example.
        nodes: Nodes of each number of a draw, by draw.
        cond: Makes the conditions of such numbers, if there are any.
        turn: Maps all numbers, those of the data and then those of the draws, (N, k), to others of the same law; where
            nodes lie is a choice, and another one can have a symmetry that this one has not.

    Raises:
        NotApplicable: If there are too many combinations.
    """

    def __init__(
        self,
        objective: Objective,
        t: float,
        numbers: Sequence[Rule],
        data: Callable[[Tensor], Tensor],
        draws: Sequence[Draw],
        *,
        nodes: Sequence[int],
        cond: Callable[[Tensor], Mapping[str, Tensor]] | None = None,
        turn: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        drawn = [each for draw, n in zip(draws, nodes, strict=True) for each in rules_of(draw, n)]
        rule = product([*numbers, *drawn])
        points = rule.points if turn is None else turn(rule.points)
        n, used = len(points), len(numbers)
        self._objective, self._weights = objective, rule.weights
        self._x0 = data(points[:, :used])
        self._cond = None if cond is None else cond(points[:, :used])
        self._t = torch.full((n,), t, dtype=torch.float64)
        self._draws = []
        for draw in draws:
            size = draw.value[0].numel()
            self._draws.append(Draw(draw.kind, points[:, used : used + size].reshape(n, *draw.value.shape[1:])))
            used += size

    def __call__(self, model: ScoreModel) -> Tensor:
        """The expected loss, (), differentiable in the model's parameters."""
        losses = self._objective.loss(model, self._x0, self._t, Handed(self._draws), self._cond)
        return (self._weights * losses).sum()
