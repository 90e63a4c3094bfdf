"""Where an objective is least, found exactly.

    eps = exact eps + theta . features        dE[loss] / dtheta = g + H theta

A loss that is quadratic in the score, as those of score matching are, has an expected gradient that is affine in theta,
and its minimum where that vanishes: at theta = 0, if the objective is right. Expected values are those of
`fokker.testing.expectation`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fokker.exact import Gaussian, Mixture
from fokker.label import Time
from fokker.model import NetworkModel, ScoreModel, rates_at
from fokker.objective import Objective
from fokker.parameterization import Eps
from fokker.perturbation import Perturbation
from fokker.prediction import Prediction
from fokker.testing.check import expect
from fokker.testing.expectation import Draw, Expectation, Rule, normal_rule

__all__ = ["AffineWorld", "Family", "NotQuadratic", "TwoClasses", "TwoModes", "World", "choices_of_nodes", "normals"]

_MEANS, _VARIANCES = (1.0, -0.5), (0.3, 1.5)
_MODES = ((0.6, -1.0, 0.5), (0.4, 1.0, 0.3))
"""Weights, means and variances of two modes that overlap."""
_FEW, _MANY = 4, 32
"""Nodes that are enough for what is polynomial, and for the score of two modes."""
_ENOUGH = 1 << 13
"""Combinations of nodes above which a polynomial gets two nodes for each number."""


class NotQuadratic(Exception):
    """A loss is no quadratic function of the score."""


@dataclass(eq=False)
class Family(ScoreModel):
    """Models about an exact one: eps = exact eps + sum of parameter times feature.

    Args:
        exact: The exact model.
        features: Maps states (N, *D) to features (K, N, *D).
        parameters: Theta, (K,).
    """

    exact: Mixture
    features: Callable[[Tensor], Tensor]
    parameters: Tensor

    @property
    def perturbation(self) -> Perturbation:
        """That of the exact model."""
        return self.exact.perturbation

    def __call__(self, x: Tensor, t: Tensor | float, cond: Mapping[str, Tensor] | None = None) -> Prediction:
        """The exact eps and what is added to it."""
        eps = self.exact(x, t).eps + torch.einsum("k,k...->...", self.parameters, self.features(x))
        return Prediction(x, *self.perturbation.scales(t, x), eps=eps, rates=rates_at(self.perturbation, t, x))


class World:
    """Data whose exact score is known, and models about it.

    Args:
        exact: The exact model of the data.
        features: What the models add to its eps, see `Family`.
        count: Number of features, up to six.
    """

    def __init__(self, exact: Mixture, features: Callable[[Tensor], Tensor], count: int) -> None:
        self.count = count
        self.family = Family(exact, features, torch.zeros(count, dtype=torch.float64))

    def gradient(self, loss: Expectation, at: Tensor | None = None) -> Tensor:
        """Of the expected loss in theta, at the exact score unless `at` says where, (K,)."""
        at = torch.zeros(self.count, dtype=torch.float64) if at is None else at
        self.family.parameters = at.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(self.family), self.family.parameters)
        return gradient

    def minimum(self, loss: Expectation) -> Tensor:
        """The theta, (K,), where a quadratic loss is least.

        Raises:
            NotQuadratic: If the gradient is no affine function of the parameters.
            CheckFailed: If there is no minimum.
        """
        zero = self.gradient(loss)
        hessian = torch.stack([self.gradient(loss, e) - zero for e in torch.eye(self.count, dtype=torch.float64)])
        point = torch.tensor([1.4, -0.7, 1.3, 0.9, -1.2, 0.5], dtype=torch.float64)[: self.count]
        size = float(hessian.abs().max())
        if float((self.gradient(loss, point) - zero - point @ hessian).abs().max()) > 1e-8 * size:
            raise NotQuadratic
        least, *_, largest = torch.linalg.eigvalsh((hessian + hessian.T) / 2).tolist()
        expect(largest > 0, "does not depend on the score, or is greatest at one instead of least")
        expect(least > 1e-9 * largest, f"has no minimum: its least curvature is {least / largest:.2g} of the largest")
        least_at: Tensor = -torch.linalg.solve(hessian, zero)
        return least_at


class AffineWorld(World):
    """Gaussian data of two dimensions, and all affine scores.

    `slope` is that of the exact eps along the whitened state, (2,).

    Args:
        perturbation: The perturbation.
        t: The time.
    """

    def __init__(self, perturbation: Perturbation, t: float) -> None:
        self.mean, self.variance = (torch.tensor(v, dtype=torch.float64) for v in (_MEANS, _VARIANCES))
        self.t = t
        self.alpha, self.sigma = (float(c) for c in perturbation.scales(t, self.mean))
        self.deviation = (self.alpha**2 * self.variance + self.sigma**2).sqrt()
        self.slope = self.sigma / self.deviation
        super().__init__(Gaussian(perturbation, self.mean, self.variance), self.features, 6)

    def features(self, x: Tensor) -> Tensor:
        """e_i u_j and e_i, for the whitened state u, (6, N, 2)."""
        u = torch.cat([(x - self.alpha * self.mean) / self.deviation, torch.ones_like(x[:, :1])], 1)
        return torch.einsum("nj,ik->jink", u, torch.eye(2, dtype=x.dtype)).flatten(0, 1)

    def expectation(self, objective: Objective, draws: list[Draw], *, noise: int | None = None) -> Expectation:
        """The expected loss.

        Args:
            objective: The objective.
            draws: What it draws for one example.
            noise: The draw that is the noise of the state; if given, its nodes and those of x0 are turned so that they
                lie along the state, and along what the state does not tell.
        """
        numbers = sum(d.value[0].numel() for d in draws)
        few = _FEW if noise is not None or _FEW ** (2 + numbers) <= _ENOUGH else 2
        turn = None if noise is None else self._turn(2 + sum(d.value[0].numel() for d in draws[:noise]))
        rules = [normal_rule(few)] * 2
        return Expectation(objective, self.t, rules, self.data, draws, nodes=[few] * len(draws), turn=turn)

    def data(self, z: Tensor) -> Tensor:
        """Examples of standard normal numbers, (N, 2)."""
        return self.mean + self.variance.sqrt() * z

    def _turn(self, first: int) -> Callable[[Tensor], Tensor]:
        of_x0, of_eps = self.alpha * self.variance.sqrt() / self.deviation, self.sigma / self.deviation

        def turn(z: Tensor) -> Tensor:
            along, across = z[:, :2], z[:, first : first + 2]
            x0, eps = of_x0 * along + of_eps * across, of_eps * along - of_x0 * across
            return torch.cat([x0, z[:, 2:first], eps, z[:, first + 2 :]], 1)

        return turn


class TwoModes(World):
    """Data of one dimension with two modes, and scores about the exact one.

    `slope` is about that of the exact eps along the scaled state.

    Args:
        perturbation: The perturbation.
        t: The time.
    """

    def __init__(self, perturbation: Perturbation, t: float) -> None:
        self.weights, self.means, self.variances = (
            torch.tensor(column, dtype=torch.float64) for column in zip(*_MODES, strict=True)
        )
        self.t = t
        alpha, sigma = (float(c) for c in perturbation.scales(t, self.means))
        self.deviation = (alpha**2 + sigma**2) ** 0.5
        self.slope = sigma / self.deviation
        super().__init__(Mixture(perturbation, self.weights, self.means[:, None], self.variances), self.features, 3)

    def features(self, x: Tensor) -> Tensor:
        """1, u and sin u, for the scaled state u, (3, N, 1)."""
        u = x / self.deviation
        return torch.stack([torch.ones_like(u), u, u.sin()])

    def expectation(self, objective: Objective, draws: list[Draw], nodes: list[int]) -> Expectation:
        """The expected loss, with these numbers of nodes for the draws."""
        numbers = [Rule(torch.arange(2.0, dtype=torch.float64), self.weights), normal_rule(_MANY)]
        return Expectation(objective, self.t, numbers, self.data, draws, nodes=nodes)

    def data(self, numbers: Tensor) -> Tensor:
        """Examples of the number of a mode and a standard normal number, (N, 2)."""
        k = numbers[:, 0].long()
        return (self.means[k] + self.variances[k].sqrt() * numbers[:, 1])[:, None]


class TwoClasses:
    """Data of one dimension and two classes, and networks whose logits are about the exact ones.

        log p(y | x) + theta . (1, u, sin u) for class 1,    u the scaled state

    Args:
        perturbation: The perturbation.
        t: The time.
    """

    def __init__(self, perturbation: Perturbation, t: float) -> None:
        self._modes, self._t = TwoModes(perturbation, t), t
        self._logits = _Logits(self._modes)
        self.model = NetworkModel(self._logits, perturbation, Eps(), Time())

    def expectation(self, objective: Objective, draws: list[Draw]) -> Expectation:
        """The expected loss."""
        modes, nodes = self._modes, [_MANY] * len(draws)
        numbers = [Rule(torch.arange(2.0, dtype=torch.float64), modes.weights), normal_rule(_MANY)]
        return Expectation(objective, self._t, numbers, modes.data, draws, nodes=nodes, cond=_class_of)

    def gradient(self, loss: Expectation, at: float = 0.0) -> Tensor:
        """Of the expected loss in theta where each of them is `at`, (3,)."""
        self._logits.theta = torch.full((3,), at, dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(loss(self.model), self._logits.theta)
        return gradient


class _Logits(nn.Module):
    def __init__(self, modes: TwoModes) -> None:
        super().__init__()
        self._modes, self.theta = modes, torch.zeros(3, dtype=torch.float64)

    def forward(self, x: Tensor, label: Tensor, cond: Mapping[str, Tensor] | None = None) -> Tensor:
        added = torch.einsum("k,knj->nj", self.theta, self._modes.features(x))
        exact = self._modes.family.exact.log_shares(x, label.double())
        return exact + torch.cat([torch.zeros_like(added), added], 1)


def _class_of(numbers: Tensor) -> dict[str, Tensor]:
    return {"label": numbers[:, 0].long()}


def choices_of_nodes(draws: list[Draw]) -> Iterator[list[int]]:
    """Many nodes for the draw that is the noise of the state, which may be any; then as many as can be had for all."""
    candidates = list(normals(draws, (1,)))
    for k in candidates or [-1]:
        yield [_MANY if i == k else _FEW for i in range(len(draws))]
    if len(candidates) > 1:
        yield [12] * len(draws)


def normals(draws: list[Draw], shape: tuple[int, ...]) -> Iterator[int]:
    """The draws that may be the noise of a state of this shape."""
    yield from (k for k, draw in enumerate(draws) if draw.kind == "normal" and draw.value.shape[1:] == shape)
