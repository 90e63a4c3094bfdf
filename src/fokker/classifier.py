"""Noise-conditional classifiers: a noisy state and a time in, the probabilities of its classes out.

    log p(y | x_t),    whose gradient in x_t is what sets the score of a class apart from that of all data:

    grad log p_t(x | y) = grad log p_t(x) + grad log p(y | x_t = x)        (Song et al., 2021, eq. 14)

One is a network trained by an objective that teaches classes; of a mixture of Gaussians it is known.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from fokker.exact import Mixture
from fokker.model import NetworkModel
from fokker.perturbation import Perturbation

__all__ = ["Classifier", "MixtureClassifier", "NetworkClassifier"]


class Classifier(ABC):
    """What guidance sees of a classifier.

    Args:
        perturbation: The perturbation whose states it classifies.
        event_shape: Shape of one example, `*D`.
        classes: Number of classes.
    """

    def __init__(self, perturbation: Perturbation, event_shape: tuple[int, ...], classes: int) -> None:
        self.perturbation = perturbation
        self.event_shape = event_shape
        self.classes = classes

    @abstractmethod
    def log_prob(self, x: Tensor, t: Tensor | float) -> Tensor:
        """log p(y | x_t = x) of every class, in nats.

        Args:
            x: Noisy data, (B, *D).
            t: One time in [0, 1], a float or (), or one per example, (B,).

        Returns:
            (B, classes), differentiable in `x` where gradients are on.
        """


class NetworkClassifier(Classifier):
    """A network that answers with the logits of classes.

    Args:
        model: The network, with its perturbation, label and scaling of the input.
        event_shape: Shape of one example.
        classes: Number of classes.
    """

    def __init__(self, model: NetworkModel, event_shape: tuple[int, ...], classes: int) -> None:
        super().__init__(model.perturbation, event_shape, classes)
        self.model = model

    def log_prob(self, x: Tensor, t: Tensor | float) -> Tensor:
        """Log-softmax of the network's answer, where the state is and in its precision, float32 at least."""
        at = x.to(torch.promote_types(x.dtype, torch.float32))
        weight = next(self.model.backbone.parameters())
        if (weight.device, weight.dtype) != (at.device, at.dtype):
            self.model.backbone.to(at.device, at.dtype)
        return self.model.answer(at, t).log_softmax(1).to(x.dtype)


class MixtureClassifier(Classifier):
    """The classifier of the components of a mixture, by Bayes' rule: an oracle.

    Args:
        mixture: The data; component k is class k.
    """

    def __init__(self, mixture: Mixture) -> None:
        super().__init__(mixture.perturbation, mixture.event_shape, len(mixture.weights))
        self.mixture = mixture

    def log_prob(self, x: Tensor, t: Tensor | float) -> Tensor:
        """Logarithms of the responsibilities."""
        return self.mixture.log_shares(x, t)
