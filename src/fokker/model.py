"""Score models: a state, a time and conditions in, a `Prediction` out.

A model carries the perturbation that it was made for, so that the two cannot be mismatched at a call. Guidance is
a model around a model; an exact law is a model without a network.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from fokker.jacobian import leaf, twice_differentiable
from fokker.label import Label
from fokker.parameterization import Parameterization
from fokker.perturbation import Perturbation, Scale, expand
from fokker.prediction import Prediction, Rates

__all__ = ["Counted", "NetworkModel", "ScoreModel", "rates_at"]

Cond = Mapping[str, Tensor] | None
_LABELS = 8192
"""Labels that a model remembers, as many as times of a grid may have."""


class ScoreModel(ABC):
    """What samplers, objectives and likelihoods see of a model."""

    @property
    @abstractmethod
    def perturbation(self) -> Perturbation:
        """The perturbation whose marginals the model describes."""

    @abstractmethod
    def __call__(self, x: Tensor, t: Tensor | float, cond: Cond = None) -> Prediction:
        """Predict at noisy data.

        Args:
            x: Noisy data, (B, *D).
            t: One time in [0, 1], a float or (), or one per example, (B,).
            cond: Conditioning tensors by name, batch first; class labels under `label`.

        Returns:
            A prediction whose tensors have the shape, dtype and device of `x`.
        """


class NetworkModel(ScoreModel):
    """A network read through a parameterization and told a label.

    Args:
        backbone: Module with `forward(x, label, cond)`, see `fokker.network`.
        perturbation: The perturbation it is trained with.
        parameterization: How its input and output are read.
        label: What it is told of the time.
    """

    def __init__(
        self, backbone: nn.Module, perturbation: Perturbation, parameterization: Parameterization, label: Label
    ) -> None:
        self.backbone = backbone
        self.parameterization = parameterization
        self.label = label
        self._perturbation = perturbation
        self._labels: dict[float, float | int] = {}

    @property
    def perturbation(self) -> Perturbation:
        """The perturbation it is trained with."""
        return self._perturbation

    def __call__(self, x: Tensor, t: Tensor | float, cond: Cond = None) -> Prediction:
        """Scale, evaluate the network, read; see `ScoreModel`."""
        p = self._perturbation
        alpha, sigma = p.scales(t, x)
        differentiated = self.parameterization.differentiates
        output = _gradient(lambda at: self.answer(at, t, cond), x) if differentiated else self.answer(x, t, cond)
        return self.parameterization.predict(output, x, alpha, sigma, rates_at(p, t, x))

    def answer(self, x: Tensor, t: Tensor | float, cond: Cond = None) -> Tensor:
        """What the network says at noisy data, as it is.

        Args:
            x: Noisy data, (B, *D), which the parameterization scales.
            t: See `ScoreModel`.
            cond: See `ScoreModel`.

        Returns:
            The network's output: (B, *D), or the logits of classes, (B, classes); see `fokker.network.Network.answers`.
        """
        alpha, sigma = self._perturbation.scales(t, x)
        output: Tensor = self.backbone(self.parameterization.inputs(x, alpha, sigma), self._label(t, x), cond)
        return output

    def _label(self, t: Tensor | float, x: Tensor) -> Tensor:
        if isinstance(t, float) or t.ndim == 0:
            # a number that is remembered and filled in where the state is: nothing is copied there at a step
            value = self._label_at(float(t))
            dtype = x.dtype if isinstance(value, float) else torch.int64
            return torch.full((x.shape[0],), value, dtype=dtype, device=x.device)
        label = self.label(self._perturbation, t.detach().to("cpu", torch.float64))
        return label.to(x.device, x.dtype if label.is_floating_point() else label.dtype)

    def _label_at(self, t: float) -> float | int:
        found = self._labels.get(t)
        if found is None:
            if len(self._labels) >= _LABELS:
                self._labels.clear()
            found = self.label(self._perturbation, torch.tensor(t, dtype=torch.float64)).item()
            self._labels[t] = found
        return found


def _gradient(answer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Gradient in `x` of the sum of an example's answers, (B, *D), under `torch.no_grad` too.

    It can be differentiated again, in the parameters and in `x`, wherever gradients are on.
    """
    again = torch.is_grad_enabled()
    with twice_differentiable():
        at = x if x.requires_grad else leaf(x)
        energy = answer(at).reshape(len(x), -1).sum(1)
        (gradient,) = torch.autograd.grad(energy.sum(), at, create_graph=again)
        # processes that train together wait for a gradient of every weight, and a constant added to an energy has none
        return gradient + 0 * expand(energy, x) if again else gradient


class Counted(ScoreModel):
    """A model that counts its evaluations.

    `calls` is how often it was called, `rows` of how many states in all: where samples leave the batch before others,
    `rows` over their number is what one of them cost.

    Args:
        model: The model whose calls are counted, inside any guidance.
    """

    def __init__(self, model: ScoreModel) -> None:
        self.model = model
        self.calls = 0
        self.rows = 0

    @property
    def perturbation(self) -> Perturbation:
        """That of the counted model."""
        return self.model.perturbation

    def __call__(self, x: Tensor, t: Tensor | float, cond: Cond = None) -> Prediction:
        """Count one evaluation per sample and pass on."""
        self.calls += 1
        self.rows += len(x)
        return self.model(x, t, cond)


def rates_at(perturbation: Perturbation, t: Tensor | float, x: Tensor) -> Rates:
    """(alpha', sigma') at `t` when they are asked for, shaped to multiply `x`; floats for a single time."""

    def rates() -> tuple[Scale, Scale]:
        if isinstance(t, float) or t.ndim == 0:
            return perturbation.rates_at(float(t))
        d_alpha, d_sigma = perturbation.rates(t.detach().to("cpu", torch.float64))
        return expand(d_alpha.to(x.device, x.dtype), x), expand(d_sigma.to(x.device, x.dtype), x)

    return rates
